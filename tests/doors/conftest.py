"""One node for all tests of the doors, in this process, and three ways into it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.doors.api_door import ApiDoor, DirectCarrier, GrpcCarrier
from tests.doors.door import Door
from tests.doors.kafka_door import KafkaDoor
from tests.doors.streams import DirectWire, GrpcWire, Wire, eventually

from odradek.node.broker import Broker
from odradek.node.config import load_config
from odradek.node.grpc_api.methods import Method
from odradek.node.grpc_api.services import servicers
from odradek.node.services import Services

#: Short waits, so that a rebalance is noticed at once and no test waits for a clock.
SETTINGS = (
    "group.initial.rebalance.delay.ms=0",
    "group.min.session.timeout.ms=100",
    "log.flush.interval.messages=1",
    "auto.create.topics.enable=false",
    "offsets.topic.num.partitions=4",
    "odradek.grpc.listener=127.0.0.1:0",
    "socket.request.max.bytes=6000000",
)
DOORS = ("direct", "kafka", "grpc")
NewTopic = Callable[..., Any]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All in one loop: the node lives in it."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


class NodeInside:
    """A node in this process."""

    def __init__(self, data: Path, *settings: str) -> None:
        config = load_config(data=str(data), listen="127.0.0.1:0", assignments=[*SETTINGS, *settings]).config
        self.broker = Broker(config)

    async def start(self) -> NodeInside:
        await self.broker.start()
        return self

    @property
    def services(self) -> Services:
        return self.broker._services

    @property
    def kafka_address(self) -> str:
        return self.broker.addresses[0]

    @property
    def grpc_address(self) -> str:
        address = self.broker.grpc_address
        assert address is not None
        return address

    def methods(self) -> dict[str, Method]:
        """The servicers' methods by "Service/Method", without a server."""
        others: Any = None
        return {
            f"{servicer.service.rpartition('.')[2]}/{method.name}": method
            for servicer in servicers(self.services, others)
            for method in servicer.methods()
        }

    def door(self, name: str) -> Door:
        if name == "kafka":
            return KafkaDoor(self.kafka_address)
        if name == "grpc":
            return ApiDoor(GrpcCarrier(self.grpc_address))
        return ApiDoor(DirectCarrier(self.methods()))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[NodeInside]:
    node = await NodeInside(tmp_path_factory.mktemp("doors")).start()
    yield node
    await node.broker.stop()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def doors(node: NodeInside) -> AsyncIterator[dict[str, Door]]:
    doors = {name: node.door(name) for name in DOORS}
    yield doors
    for door in doors.values():
        await door.close()


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest, doors: dict[str, Door]) -> Door:
    """Each door in turn."""
    return doors[request.param]


_numbers = count()


@pytest.fixture
def new_name() -> Callable[[], str]:
    """Names that nobody had before, for topics and groups."""
    return lambda: f"doors-{next(_numbers)}"


@pytest.fixture
def new_topic(doors: dict[str, Door]) -> NewTopic:
    """Create a topic (through the Kafka door) and return its name."""

    async def create(partitions: int = 1, **configs: str) -> str:
        name = f"doors-{next(_numbers)}"
        settings = {key.replace("_", "."): value for key, value in configs.items()}
        assert await doors["kafka"].create_topic(name, partitions, settings) == "NONE"
        return name

    return create


@pytest_asyncio.fixture(loop_scope="session")
async def node_door(node: NodeInside) -> AsyncIterator[Callable[[str], Door]]:
    """Another door by its name, with a connection of its own."""
    opened: list[Door] = []

    def open_one(name: str) -> Door:
        opened.append(node.door(name))
        return opened[-1]

    yield open_one
    for one in opened:
        await one.close()


@pytest_asyncio.fixture(loop_scope="session")
async def open_wire(node: NodeInside) -> AsyncIterator[Callable[..., Wire]]:
    """Begin a Consume call: at the gRPC door, or ("direct") at the servicer. What is still open is cancelled."""
    opened: list[Wire] = []
    carriers: list[GrpcCarrier] = []

    def open_one(how: str = "grpc", client_id: str | None = None, timeout_s: float | None = None) -> Wire:
        if how == "direct":
            opened.append(DirectWire(DirectCarrier(node.methods(), client_id)))
        else:
            carriers.append(GrpcCarrier(node.grpc_address, client_id))
            opened.append(GrpcWire(carriers[-1], timeout_s))
        return opened[-1]

    yield open_one
    for wire in opened:
        wire.cancel()
    for carrier in carriers:
        await carrier.close()


@pytest.fixture(params=["direct", "grpc"])
def stream_door(request: pytest.FixtureRequest) -> str:
    """The two ways to a Consume stream; Kafka has none."""
    return str(request.param)


@pytest.fixture
def kafka(doors: dict[str, Door]) -> Door:
    return doors["kafka"]


@pytest_asyncio.fixture(loop_scope="session")
async def nothing_stays(node: NodeInside) -> AsyncIterator[None]:
    """At the end of the test no reader is left, and no task of one."""
    yield
    await nothing_is_left(node)


async def nothing_is_left(node: NodeInside) -> None:
    service: Any = node.services.consume

    async def left() -> tuple[int, int]:
        return len(service), len(service._farewells)

    await eventually(left, lambda found: found == (0, 0))
    names = [getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks()]
    assert not [name for name in names if name.startswith(("Consumer.", "Membership.", "Lanes.", "_read"))]
