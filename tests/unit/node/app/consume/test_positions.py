"""Where to begin: what was said, what is committed, or an end."""

from __future__ import annotations

from typing import Any, cast

import pytest
from tests.unit.node.app.coordinator_in_memory import CoordinatorInMemory
from tests.unit.node.app.partitions_in_memory import PartitionsInMemory

from odradek.node.app.consume.positions import Positions
from odradek.node.app.consume.progress import Progress
from odradek.node.app.consume.values import (
    Assignment,
    ConsumeError,
    OffsetReset,
    Position,
    Subscription,
)
from odradek.node.app.coordinators import Coordinators
from odradek.node.app.leaders import Leaders
from odradek.node.app.list_offsets import LATEST
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.record_batch import Record, build_batch

E = ErrorCode


class World:
    def __init__(self, what: Subscription | Assignment) -> None:
        self.memory = PartitionsInMemory(t=3)
        for index in range(3):
            records = [Record(at, 100 + at, None, b"v", ()) for at in range(10)]
            self.memory.write("t", index, build_batch(records))
        self.coordinator = CoordinatorInMemory()
        leaders, coordinators = cast(Leaders, self.memory), cast(Coordinators, self.coordinator)
        self.positions = Positions(leaders, coordinators, what)
        self.progress = Progress()
        self.fresh = self.progress.replace([("t", index) for index in range(3)], keeps=False)

    async def find(self) -> list[int]:
        await self.positions.find(self.fresh, 0.0)
        return [one.position for one in self.fresh]


def group(reset: OffsetReset = OffsetReset.EARLIEST) -> Subscription:
    return Subscription(frozenset("t"), group_id="g", offset_reset=reset)


async def test_committed_ones_go_on_and_others_are_reset() -> None:
    for reset, expected in ((OffsetReset.EARLIEST, [0, 4, 0]), (OffsetReset.LATEST, [10, 4, 10])):
        world = World(group(reset))
        world.coordinator.committed_offsets = {("t", 1): 4}
        world.coordinator.fetch_errors = [E.NOT_COORDINATOR, E.COORDINATOR_LOAD_IN_PROGRESS]
        assert await world.find() == expected
        assert world.fresh[1].committed == 4


async def test_nothing_committed_and_nothing_to_choose() -> None:
    with pytest.raises(ConsumeError) as raised:
        await World(group(OffsetReset.NONE)).find()
    assert raised.value.error is E.OFFSET_OUT_OF_RANGE


async def test_what_was_said_counts_once() -> None:
    starts: list[Any] = [("t", 0, Position(7)), ("t", 1, Position(timestamp=103)), ("t", 2, None)]
    world = World(Assignment(starts))
    assert await world.find() == [7, 3, 0]
    world.fresh = world.progress.replace([("t", 0)], keeps=False)
    assert await world.find() == [0]


async def test_positions_are_looked_up() -> None:
    world = World(group())
    for at, offset in (
        (Position(5), 5),
        (Position(timestamp=0), 0),
        (Position(timestamp=109), 9),
        (Position(timestamp=110), 10),
        (Position(timestamp=LATEST), 10),
    ):
        world.memory.look_up_errors = [E.NOT_LEADER_OR_FOLLOWER]
        assert await world.positions.look_up(("t", 0), at) == offset
        world.memory.look_up_errors = []
    world.memory.look_up_errors = [E.TOPIC_AUTHORIZATION_FAILED]
    with pytest.raises(ConsumeError):
        await world.positions.look_up(("t", 0), Position(timestamp=0))


async def test_an_end_that_cannot_be_found_now_is_found_later() -> None:
    world = World(Subscription(frozenset("t")))
    world.memory.look_up_errors = [E.LEADER_NOT_AVAILABLE]
    assert sorted(await world.find()) == [-1, 0, 0]
    assert await world.positions.find_missing(world.progress, 0.05) == []
    (found,) = await world.positions.find_missing(world.progress, 1.0)
    assert found.position == 0
    world.positions.reset(found, "gone")
    world.memory.look_up_errors = [E.TOPIC_AUTHORIZATION_FAILED]
    with pytest.raises(ConsumeError):
        await world.positions.find_missing(world.progress, 2.0)


async def test_a_group_that_cannot_be_asked() -> None:
    world = World(group())
    world.coordinator.fetch_errors = [E.GROUP_AUTHORIZATION_FAILED]
    with pytest.raises(ConsumeError) as raised:
        await world.find()
    assert raised.value.error is E.GROUP_AUTHORIZATION_FAILED
