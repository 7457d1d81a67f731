"""A broker inside the test process, with faults to order.

    import pytest
    from odradek.testing import Broker

    async def test_orders_arrive():
        async with Broker() as broker:                       # in memory, on free ports, in a few milliseconds
            await broker.create_topic("orders", partitions=3)
            with broker.faults.fail("RecordService/Publish", error="NOT_ENOUGH_REPLICAS", times=2):
                ...
            async with broker.producer() as producer:
                await producer.publish("orders", b"one", key=b"k")
            async with broker.consumer("orders", group_id="readers") as consumer:
                assert (await anext(aiter(consumer))).value == b"one"

    def test_with_any_client_of_kafka(odradek_broker):       # the pytest fixture: a broker in a thread of its own
        from confluent_kafka import Producer
        odradek_broker.faults.fail("Produce", error="NOT_LEADER_OR_FOLLOWER", times=1, topic="orders")
        producer = Producer({"bootstrap.servers": odradek_broker.bootstrap_servers})
        producer.produce("orders", b"one")                   # refused once, and tried again by the client
        assert producer.flush(10) == 0
        assert odradek_broker.faults.fired["Produce"] == 1

`Broker` lives on the caller's event loop, `BrokerThread` on one of its own, and the fixtures are in `pytest_plugin`.
Names are imported at first use, so that pytest can load the plugin without loading a broker.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from odradek.testing.broker import Broker as Broker
    from odradek.testing.broker_thread import BrokerThread as BrokerThread
    from odradek.testing.faults import Fault as Fault
    from odradek.testing.faults import Faults as Faults

__all__ = ["Broker", "BrokerThread", "Fault", "Faults"]

_MODULES = {"Broker": "broker", "BrokerThread": "broker_thread", "Fault": "faults", "Faults": "faults"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
