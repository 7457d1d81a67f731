"""A broker on the test's event loop: what it is made of, that it restarts, and that nothing of it is left."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import pytest
from tests.compat.servers import HOST, quiet_ports

from odradek.client import (
    InvalidRequestError,
    NodeUnavailableError,
    TopicExistsError,
    TopicPartition,
)
from odradek.proto.kafka.api import ApiKey, request_class
from odradek.proto.kafka.headers import RequestHeader, encode_request_frame
from odradek.proto.kafka.messages.classic_group import HeartbeatRequest
from odradek.proto.kafka.messages.fetch import FetchRequest
from odradek.testing import Broker
from odradek.testing.broker import DEFAULTS, settings_as_text

WAIT_S = 20
LOOK_S = 0.05


async def ask(broker: Broker, key: ApiKey, request: Any, version: int) -> Any:
    assert broker._seam is not None
    return await broker._seam.ask(key, request, version)


async def topics(broker: Broker) -> dict[str, int]:
    """The number of partitions by topic."""
    response = await ask(broker, ApiKey.METADATA, request_class(ApiKey.METADATA)(topics=None), 12)
    return {topic.name: len(topic.partitions) for topic in response.topics}


async def setting(broker: Broker, kind: int, name: str, key: str) -> str | None:
    describe: Any = request_class(ApiKey.DESCRIBE_CONFIGS)
    resource = describe.DescribeConfigsResource(
        resource_type=kind, resource_name=name, configuration_keys=[key]
    )
    response = await ask(broker, ApiKey.DESCRIBE_CONFIGS, describe(resources=[resource]), 4)
    value: str | None = response.results[0].configs[0].value
    return value


async def read(broker: Broker, topic: str, count: int) -> list[bytes | None]:
    async with broker.consumer(partitions={TopicPartition(topic, 0): 0}) as consumer:
        return [(await asyncio.wait_for(anext(aiter(consumer)), WAIT_S)).value for _ in range(count)]


# -- what it is


async def test_topics_are_made_as_asked_and_can_be_used_at_once() -> None:
    async with Broker(grpc=False) as broker:
        assert (
            await broker.create_topic("orders", partitions=3, configs={"cleanup.policy": "compact"})
            == "orders"
        )
        assert await topics(broker) == {"orders": 3}
        assert await setting(broker, 2, "orders", "cleanup.policy") == "compact"
        with pytest.raises(TopicExistsError):
            await broker.create_topic("orders")
        with pytest.raises(InvalidRequestError):
            await broker.create_topic("no spaces")


async def test_faults_do_not_meet_the_tests_own_way_in() -> None:
    async with Broker(grpc=False) as broker:
        broker.faults.fail("CreateTopics", error="POLICY_VIOLATION")
        await broker.create_topic("orders")
        assert broker.faults.fired == {}


async def test_settings_have_effect_and_defaults_suit_tests() -> None:
    settings = {"num.partitions": 3, "log.retention.ms": 1000, "auto.create.topics.enable": False}
    async with Broker(grpc=False, settings=settings) as broker:
        await broker.create_topic("orders", partitions=-1)
        assert await topics(broker) == {"orders": 3}
        for name, value in {**DEFAULTS, **settings_as_text(settings)}.items():
            assert await setting(broker, 4, "1", name) == value


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        (
            {"num.partition": 3},
            "num.partition is not a known setting of a broker; did you mean num.partitions",
        ),
        ({"num.partitions": "many"}, "num.partitions"),
        ({"listeners": "PLAINTEXT://127.0.0.1:1"}, "see port"),
        ({"log.dirs": "data"}, "the broker's own"),
        ({"retention.ms": 1}, "topic's setting of a broker"),
    ],
)
def test_wrong_settings_are_refused_before_anything_starts(settings: dict[str, Any], hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        Broker(settings=settings, grpc=False)


def test_settings_are_written_as_a_file_has_them() -> None:
    assert settings_as_text({"a": True, "b": 3, "c": "x", "d": 0.5}) == {
        "a": "true",
        "b": "3",
        "c": "x",
        "d": "0.5",
    }


async def test_clients_of_odradek_are_made_for_it() -> None:
    async with Broker() as broker:
        await broker.create_topic("orders")
        async with broker.producer(linger_ms=0) as producer:
            await producer.publish("orders", b"one")
        async with broker.consumer("orders", group_id="readers") as consumer:
            record = await asyncio.wait_for(anext(aiter(consumer)), WAIT_S)
        assert (record.topic, record.value) == ("orders", b"one")
        async with broker.admin() as admin:
            assert [topic.name async for topic in admin.list_topics()] == ["orders"]


async def test_without_grpc_there_is_no_port_for_it() -> None:
    async with Broker(grpc=False) as broker:
        with pytest.raises(RuntimeError, match="grpc=True"):
            broker.producer()


async def test_it_has_no_address_before_it_runs_and_nothing_to_ask() -> None:
    broker = Broker(grpc=False)
    with pytest.raises(RuntimeError, match="not been started"):
        _ = broker.bootstrap_servers
    with pytest.raises(RuntimeError, match="does not run"):
        await broker.create_topic("orders")
    await broker.stop()


async def test_it_runs_once_at_a_time() -> None:
    async with Broker(grpc=False) as broker:
        with pytest.raises(RuntimeError, match="runs already"):
            await broker.start()


# -- its data


async def test_a_restart_keeps_data_in_memory_addresses_and_faults() -> None:
    async with Broker() as broker:
        await broker.create_topic("orders")
        async with broker.producer() as producer:
            await producer.publish("orders", b"one")
            addresses = broker.bootstrap_servers, broker.grpc_servers
            broker.faults.fail("Fetch", error="UNKNOWN_SERVER_ERROR")
            await broker.restart()
            assert addresses == (broker.bootstrap_servers, broker.grpc_servers)
            assert broker.faults.is_armed("Fetch")
            await producer.publish("orders", b"two")
        assert await read(broker, "orders", 2) == [b"one", b"two"]


async def test_data_in_a_directory_outlives_the_broker(tmp_path: Path) -> None:
    async with Broker(data=tmp_path) as broker:
        await broker.create_topic("orders")
        async with broker.producer() as producer:
            await producer.publish("orders", b"one")
    async with Broker(data=str(tmp_path)) as broker:
        assert await read(broker, "orders", 1) == [b"one"]
        with pytest.raises(ValueError, match="in use"):
            await Broker(data=tmp_path, grpc=False).start()


async def test_brokers_at_once_keep_to_themselves() -> None:
    async with Broker(grpc=False) as one, Broker() as two:
        await one.create_topic("orders")
        one.faults.fail("Produce", error="CORRUPT_MESSAGE")
        assert await topics(two) == {}
        assert not two.faults.is_armed("Produce")
        assert one.bootstrap_servers != two.bootstrap_servers


async def test_a_port_that_is_taken_is_said() -> None:
    async with Broker(grpc=False) as broker:
        port = int(broker.bootstrap_servers.rpartition(":")[2])
        with pytest.raises(ValueError, match="cannot listen"):
            await Broker(grpc=False, port=port).start()


# -- its end


Held = tuple[int, set[threading.Thread], set[asyncio.Task[Any]]]
NOTHING: Held = (0, set(), set())


def held() -> Held:
    """Descriptors, threads and tasks of this process."""
    gc.collect()
    return len(os.listdir("/proc/self/fd")), set(threading.enumerate()), asyncio.all_tasks()


async def held_at_rest() -> Held:
    """When two looks are equal: gRPC closes its sockets in threads of its own, after `close` has returned."""
    last, now = None, held()
    while now != last:
        await asyncio.sleep(LOOK_S)
        last, now = now, held()
    return now


async def left_since(before: Held) -> Held:
    """What is held beyond that: as soon as nothing is, or after `WAIT_S`."""
    deadline = time.monotonic() + WAIT_S
    while True:
        count, threads, tasks = held()
        left = max(0, count - before[0]), threads - before[1], tasks - before[2]
        if left == NOTHING or time.monotonic() > deadline:
            return left
        await asyncio.sleep(LOOK_S)


async def use(broker: Broker) -> None:
    await broker.create_topic("orders")
    async with broker.producer() as producer, broker.consumer("orders", group_id="readers") as consumer:
        await producer.publish("orders", b"one")
        await asyncio.wait_for(anext(aiter(consumer)), WAIT_S)


@pytest.mark.parametrize("on_disk", [False, True])
async def test_nothing_is_left_when_it_ends(tmp_path: Path, on_disk: bool) -> None:
    async with Broker() as broker:  # what is made once for the process
        await use(broker)
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    logged = logging.root.handlers[:], logging.root.level, logging.getLogger("odradek").handlers[:]
    before = await held_at_rest()
    nodes = []
    for number in range(3):
        data = tmp_path / str(number) if on_disk else None
        port, grpc_port = quiet_ports(2)  # nobody takes them while the broker is down
        async with Broker(data=data, port=port, grpc_port=grpc_port) as broker:
            await use(broker)
            _, writer = await asyncio.open_connection(HOST, port)
            broker.faults.delay("RecordService/Publish", seconds=1000)
            nodes.append(weakref.ref(broker._node))
            await broker.restart()
        writer.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(HOST, port)
    assert await left_since(before) == NOTHING
    assert [node() for node in nodes] == [None] * 3
    assert handlers == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert logged == (logging.root.handlers, logging.root.level, logging.getLogger("odradek").handlers)


async def test_nothing_is_left_of_a_start_that_fails() -> None:
    async with Broker(grpc=False) as broker:
        port = int(broker.bootstrap_servers.rpartition(":")[2])
        before = await held_at_rest()
        with pytest.raises(ValueError, match="cannot listen"):
            await Broker(grpc=False, port=port).start()
        assert await left_since(before) == NOTHING


async def test_a_call_that_waits_for_a_fault_does_not_hold_up_the_end() -> None:
    async with Broker() as broker:
        await broker.create_topic("orders")
        broker.faults.delay("TopicService/GetTopic", seconds=1000)
        async with broker.admin() as admin:
            asking = asyncio.ensure_future(admin.get_topic("orders"))
            async with asyncio.timeout(WAIT_S):
                while not broker.faults.fired:
                    assert not asking.done()
                    await asyncio.sleep(0.001)
                await broker.stop()
            asking.cancel()
            with pytest.raises((NodeUnavailableError, asyncio.CancelledError)):
                await asking


async def test_a_request_that_waits_for_a_fault_leaves_no_task() -> None:
    async with Broker(grpc=False) as broker:
        broker.faults.delay("Heartbeat", seconds=1000)
        host, _, port = broker.bootstrap_servers.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        before = asyncio.all_tasks()
        writer.writelines(
            encode_request_frame(RequestHeader(ApiKey.HEARTBEAT, 4, 1, "test"), HeartbeatRequest())
        )
        async with asyncio.timeout(WAIT_S):
            while not broker.faults.fired:
                assert not reader.at_eof()
                await asyncio.sleep(0.001)
        assert len(asyncio.all_tasks()) == len(before) + 1
        await broker.stop()
        assert asyncio.all_tasks() == before
        assert await reader.read() == b""
        writer.close()


async def test_a_peer_that_does_not_read_does_not_hold_up_the_end() -> None:
    async with Broker() as broker:
        await broker.create_topic("orders")
        async with broker.producer() as producer:
            for _ in range(20):
                await producer.publish("orders", bytes(900_000))
        host, _, port = broker.bootstrap_servers.rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # asyncio's own transport has it
        part = FetchRequest.FetchPartition(partition=0, partition_max_bytes=50_000_000)
        fetch = FetchRequest(
            max_wait_ms=10_000,
            min_bytes=15_000_000,
            max_bytes=50_000_000,
            topics=[FetchRequest.FetchTopic(topic="orders", partitions=[part])],
        )
        writer.writelines(encode_request_frame(RequestHeader(ApiKey.FETCH, 11, 1, "test"), fetch))
        assert broker._node is not None
        listener = broker._node._listeners[0]
        async with asyncio.timeout(WAIT_S):
            while listener.bytes_out < 15_000_000:
                await asyncio.sleep(0.001)
                assert listener.connection_count == 1
            await broker.stop()
        assert listener.connection_count == 0
        writer.transport.abort()
