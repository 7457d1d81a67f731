"""Which readers there are, and what becomes of a place when its stream ends, breaks or fails."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from tests.unit.node.app.consume.test_consumer import HOUR_MS, Reader
from tests.unit.node.app.coordinator_in_memory import CoordinatorInMemory
from tests.unit.node.app.partitions_in_memory import CONTEXT, PartitionsInMemory

from odradek.node.app.consume import service
from odradek.node.app.consume.consumer import Consumer, Surroundings
from odradek.node.app.consume.service import ConsumeService
from odradek.node.app.consume.values import ConsumeError, Subscription
from odradek.node.app.coordinators import Coordinators
from odradek.node.app.leaders import Leaders
from odradek.proto.kafka.errors import ErrorCode

E = ErrorCode


class World:
    def __init__(self, instance_id: str | None = None) -> None:
        self.memory, self.coordinator, self.reader = PartitionsInMemory(t=1), CoordinatorInMemory(), Reader()
        self.service = ConsumeService(
            Surroundings(
                cast(Leaders, self.memory),
                cast(Coordinators, self.coordinator),
                lambda: ["t"],
                self.memory.count,
            )
        )
        what = Subscription(frozenset("t"), group_id="g", instance_id=instance_id, session_timeout_ms=HOUR_MS)
        self.consumer: Consumer = self.service.open(CONTEXT, what, self.reader)
        self.task = asyncio.get_running_loop().create_task(self.service.serve(self.consumer))

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)


async def test_who_ends_has_left_when_it_is_over() -> None:
    world = World()
    await world.settle()
    assert len(world.service) == 1
    world.consumer.end()
    await world.task
    assert len(world.service) == 0 and len(world.coordinator.leaves) == 1


async def test_who_is_cut_leaves_too() -> None:
    world = World()
    await world.settle()
    world.task.cancel()
    await world.settle()
    assert world.task.cancelled() and len(world.service) == 0 and len(world.coordinator.leaves) == 1


@pytest.mark.parametrize("way", ["cancelled", "cannot be read"])
async def test_an_instance_that_is_cut_is_waited_for(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    grace = asyncio.Event()

    class Sleeps:
        """`asyncio` as the service sees it: its grace lasts as long as the test says."""

        async def sleep(self, pause_s: float) -> None:
            assert pause_s == service.RECONNECT_GRACE_S
            await grace.wait()

        def __getattr__(self, name: str) -> object:
            return getattr(asyncio, name)

    monkeypatch.setattr(service, "asyncio", Sleeps())
    world = World("i")
    await world.settle()
    if way == "cancelled":
        world.task.cancel()
    else:
        world.consumer.fail(ConsumeError(E.NETWORK_EXCEPTION))
    await world.settle()
    assert world.coordinator.leaves == [] and world.task.done()
    grace.set()
    await world.settle()
    assert len(world.coordinator.leaves) == 1
    if way != "cancelled":
        assert world.task.exception() is not None


async def test_who_was_fenced_takes_nothing_with_it() -> None:
    world = World("i")
    await world.settle()
    world.consumer.fail(ConsumeError(E.FENCED_INSTANCE_ID))
    with pytest.raises(ConsumeError):
        await world.task
    await world.settle()
    assert world.coordinator.leaves == []


async def test_who_failed_leaves() -> None:
    world = World()
    await world.settle()
    world.consumer.fail(ConsumeError(E.OFFSET_OUT_OF_RANGE))
    with pytest.raises(ConsumeError):
        await world.task
    await world.settle()
    assert len(world.coordinator.leaves) == 1


async def test_a_node_that_stops_ends_all_and_takes_no_more() -> None:
    world = World()
    await world.settle()
    await world.service.stop()
    with pytest.raises(ConsumeError) as raised:
        await world.task
    assert raised.value.error is E.BROKER_NOT_AVAILABLE
    # The place is kept: the reader may come back to it at another node.
    assert world.coordinator.leaves == []
    again = world.service.open(CONTEXT, Subscription(frozenset("t")), world.reader)
    with pytest.raises(ConsumeError):
        await world.service.serve(again)


async def test_new_metadata_reaches_the_readers() -> None:
    world = World()
    await world.settle()
    world.memory.partitions["t", 1] = PartitionsInMemory(t=1).partitions["t", 0]
    world.service.on_image({"others", "tt"})
    await world.settle()
    assert len(world.coordinator.joins) == 1, "it is not about these"
    world.service.on_image({"others", "t"})
    await world.settle()
    assert len(world.coordinator.joins) == 2
    world.consumer.end()
    await world.task
