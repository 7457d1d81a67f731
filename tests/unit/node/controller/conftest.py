"""A controller without Raft: entries are applied one turn of the loop after they were proposed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from odradek.node.config import NodeConfig
from odradek.node.controller.controller import Controller
from odradek.node.controller.effective import EffectiveConfigs
from odradek.node.controller.image import EMPTY_IMAGE, BrokerImage, Endpoint, MetadataImage
from odradek.node.controller.records import ClusterRecord, Record, RegisterBrokerRecord
from odradek.node.controller.state import MetadataState
from odradek.node.runtime.alarm import Alarm

_ROOT = str(Path(__file__).resolve().parents[4])
if _ROOT not in sys.path:
    sys.path.insert(0, _ROOT)  # for what is shared between folders of tests


class SteppedLog:
    """A metadata log that keeps what was proposed until `commit`, or commits at once."""

    def __init__(self, machine: MetadataState, *, at_once: bool = True) -> None:
        self.machine = machine
        self.at_once = at_once
        self.is_leader = True
        self.leader_id: int | None = 1
        self.entries: list[bytes] = []
        self.waiting: list[tuple[bytes, asyncio.Future[int]]] = []

    def read_index(self) -> asyncio.Future[int]:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        future.set_result(0)
        return future

    def propose(self, data: bytes) -> asyncio.Future[int]:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.waiting.append((data, future))
        if self.at_once:
            asyncio.get_running_loop().call_soon(self.commit)
        return future

    def commit(self) -> None:
        data, future = self.waiting.pop(0)
        self.entries.append(data)
        self.machine.apply(len(self.entries), data)
        future.set_result(len(self.entries))

    def fail(self, error: Exception) -> None:
        self.waiting.pop(0)[1].set_exception(error)


def new_alarm(on_due: Callable[[int], int | None]) -> Alarm:
    return Alarm(asyncio.get_running_loop(), on_due)


def broker(
    broker_id: int, rack: str | None = None, *, fenced: bool = False, directories: int = 1
) -> BrokerImage:
    return BrokerImage(
        broker_id,
        epoch=0,
        incarnation_id=bytes([broker_id]) * 16,
        endpoints={"PLAINTEXT": Endpoint(f"host{broker_id}", 9092, "PLAINTEXT")},
        rack=rack,
        fenced=fenced,
        directories=tuple(bytes([broker_id, number]) * 8 for number in range(directories)),
    )


def image_of(*brokers: BrokerImage, records: tuple[Record, ...] = ()) -> MetadataImage:
    """The image of a cluster with these brokers, after `records`."""
    state = MetadataState(lambda delta, image: None)
    founding: list[Record] = [ClusterRecord(cluster_id="a-cluster")]
    founding += [RegisterBrokerRecord.of(one) for one in brokers]
    return state.preview(EMPTY_IMAGE, [*founding, *records])


@pytest.fixture
def make_broker() -> Callable[..., BrokerImage]:
    return broker


@pytest.fixture
def make_image() -> Callable[..., MetadataImage]:
    return image_of


@pytest.fixture
def image() -> MetadataImage:
    """A cluster of one broker, number 1, without topics."""
    return image_of(broker(1))


@pytest.fixture
def after() -> Callable[[MetadataImage, list[Record]], MetadataImage]:
    return MetadataState(lambda delta, image: None).preview


@pytest.fixture
def random() -> Random:
    return Random(7)


@pytest.fixture
def effective() -> EffectiveConfigs:
    return EffectiveConfigs(NodeConfig({"num.partitions": "3"}))


@pytest.fixture
def make_alarm() -> Callable[[Callable[[int], int | None]], Alarm]:
    return new_alarm


@pytest.fixture
def stepped() -> type[SteppedLog]:
    return SteppedLog


@pytest.fixture
async def controller(effective: EffectiveConfigs) -> Controller:
    """Started, on a log that commits by itself."""
    controller = Controller(1, effective, Random(7), new_alarm)
    controller.attach(SteppedLog(controller.machine))
    await controller.start("a-cluster", broker(1))
    return controller
