"""One reader over partitions and a coordinator in memory: what it is given, and what a rebalance does."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import cast

import pytest
from tests.unit.node.app.coordinator_in_memory import MEMBER, CoordinatorInMemory
from tests.unit.node.app.partitions_in_memory import CONTEXT, PartitionsInMemory

from odradek.node.app.consume.consumer import MESSAGE_BYTES_MAX, Consumer, Surroundings
from odradek.node.app.consume.values import (
    Assigned,
    Assignment,
    Committed,
    ConsumeError,
    Delivered,
    Event,
    OffsetReset,
    Position,
    Revoking,
    Seeked,
    Subscription,
)
from odradek.node.app.coordinators import Coordinators
from odradek.node.app.leaders import Leaders
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.record_batch import Record, build_batch

E = ErrorCode
HOUR_MS = 3_600_000


class Reader:
    """The way back: keeps what it is told. `gate` closed: it takes no more."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.delivered: list[list[Delivered]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def deliver(self, delivered: Sequence[Delivered]) -> None:
        self.delivered.append(list(delivered))
        await self.gate.wait()

    async def tell(self, event: Event) -> None:
        self.events.append(event)
        await self.gate.wait()

    @property
    def offsets(self) -> list[tuple[int, int]]:
        return [
            (one.partition, record.offset)
            for each in self.delivered
            for one in each
            for record in one.records
        ]


class World:
    def __init__(self, what: Subscription | Assignment | None = None, **counts: int) -> None:
        self.memory = PartitionsInMemory(**(counts or {"t": 2}))
        self.coordinator = CoordinatorInMemory()
        self.reader = Reader()
        around = Surroundings(
            cast(Leaders, self.memory),
            cast(Coordinators, self.coordinator),
            lambda: sorted({topic for topic, _ in self.memory.partitions}),
            self.memory.count,
        )
        what = what or Subscription(frozenset("t"))
        self.consumer = Consumer(CONTEXT, what, around, self.reader)
        self.task = asyncio.get_running_loop().create_task(self.consumer.run())

    def write(self, index: int, *values: bytes, topic: str = "t") -> None:
        self.memory.write(
            topic, index, build_batch([Record(at, 1, None, value, ()) for at, value in enumerate(values)])
        )

    async def until(self, is_so: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not is_so():  # noqa: ASYNC110  (what is at work tells nobody)
                await asyncio.sleep(0.001)

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    async def end(self) -> None:
        self.consumer.end()
        await self.task
        await self.consumer.farewell("done", leaves=True)
        assert self.memory.parked == []

    async def failure(self) -> ConsumeError:
        with pytest.raises(ConsumeError) as raised:
            await self.task
        await self.consumer.farewell("failed", leaves=True)
        return raised.value


def group(**more: object) -> Subscription:
    what = Subscription(frozenset("t"), group_id="g", session_timeout_ms=HOUR_MS, commit_interval_ms=HOUR_MS)
    return what._replace(**more)  # type: ignore[arg-type]


async def test_nothing_is_asked_for_without_credit_and_no_more_given() -> None:
    world = World()
    world.write(0, *[b"v"] * 10)
    await world.settle()
    assert world.reader.events == [Assigned([("t", 0, 0), ("t", 1, 0)])] and world.memory.fetches == 0
    for credit, count in ((3, 3), (1, 4), (100, 10)):
        world.consumer.grant(credit)
        await world.settle()
        assert world.reader.offsets == [(0, offset) for offset in range(count)]
    await world.end()


async def test_a_reader_that_takes_nothing_is_read_nothing_more_for() -> None:
    world = World()
    world.consumer.grant(1000)
    await world.settle()
    world.reader.gate.clear()
    world.write(0, b"a")
    await world.settle()
    before = world.memory.fetches
    for _ in range(10):
        world.write(0, b"b")
        await world.settle()
    assert world.memory.fetches == before and world.reader.offsets == [(0, 0)]
    world.reader.gate.set()
    await world.until(lambda: len(world.reader.offsets) == 11)
    await world.end()


async def test_messages_stay_below_their_limit() -> None:
    world = World()
    world.write(0, *[bytes(size) for size in (600_000, 600_000, 3_000_000, 10)])
    world.write(1, bytes(400_000))
    world.consumer.grant(100)
    await world.until(lambda: len(world.reader.offsets) == 5)
    for message in world.reader.delivered:
        sizes = [len(record.value or b"") for one in message for record in one.records]
        assert len(sizes) == 1 or sum(sizes) <= MESSAGE_BYTES_MAX
    await world.end()


async def test_a_seek_is_answered_before_what_comes_from_there() -> None:
    world = World()
    world.write(0, *[b"v"] * 5)
    world.consumer.grant(100)
    await world.settle()
    world.reader.delivered.clear()
    world.consumer.seek("t", 0, Position(3), 7)
    await world.until(lambda: world.reader.offsets)
    assert world.reader.events[-1] == Seeked(7, "t", 0, 3)
    assert world.reader.offsets == [(0, 3), (0, 4)]
    world.consumer.seek("t", 9, Position(3), 8)
    await world.settle()
    assert world.reader.events[-1] == Seeked(8, "t", 9, -1)
    await world.end()


async def test_paused_partitions_wait() -> None:
    world = World()
    world.consumer.grant(100)
    await world.settle()
    world.consumer.pause([("t", 0), ("t", 9)], is_paused=True)
    world.write(0, b"a")
    world.write(1, b"b")
    await world.settle()
    assert world.reader.offsets == [(1, 0)]
    world.consumer.pause([("t", 0)], is_paused=False)
    await world.settle()
    assert world.reader.offsets == [(1, 0), (0, 0)]
    await world.end()


async def test_a_node_that_cannot_be_reached_is_asked_again() -> None:
    world = World()
    world.memory.fetch_errors = {("t", 0): E.NETWORK_EXCEPTION}
    world.memory.leaders["t", 1] = None
    world.write(0, b"a")
    world.write(1, b"b")
    world.consumer.grant(100)
    await world.until(lambda: world.reader.offsets == [(0, 0)])
    world.memory.leaders["t", 1] = 1
    await world.until(lambda: world.reader.offsets == [(0, 0), (1, 0)])
    await world.end()


async def test_what_cannot_be_read_ends_it() -> None:
    world = World()
    world.memory.fetch_errors = {("t", 0): E.TOPIC_AUTHORIZATION_FAILED}
    world.consumer.grant(1)
    assert (await world.failure()).error is E.TOPIC_AUTHORIZATION_FAILED
    world = World(Assignment([("t", 0, Position(9))], offset_reset=OffsetReset.NONE))
    world.consumer.grant(1)
    assert (await world.failure()).error is E.OFFSET_OUT_OF_RANGE


@pytest.mark.parametrize("key", [("t", 2), ("t", -1), ("u", 0)])
async def test_partitions_that_do_not_exist(key: tuple[str, int]) -> None:
    world = World(Assignment([(*key, None)]))
    assert (await world.failure()).error is E.UNKNOWN_TOPIC_OR_PARTITION


async def test_an_assigned_partition_that_goes_ends_it() -> None:
    world = World(Assignment([("t", 0, None)]))
    world.consumer.grant(1)
    await world.settle()
    world.consumer.on_metadata()
    await world.settle()
    assert not world.task.done()
    world.memory.partitions.clear()
    world.consumer.on_metadata()
    assert (await world.failure()).error is E.UNKNOWN_TOPIC_OR_PARTITION


# -- in a group


async def test_a_member_reads_commits_and_leaves() -> None:
    world = World(group())
    world.write(1, b"a", b"b")
    world.consumer.grant(100)
    await world.until(lambda: world.reader.offsets)
    assert world.reader.events == [Assigned([("t", 0, 0), ("t", 1, 0)], MEMBER, 1)]
    world.consumer.commit([("t", 1, 1, "")], 5)
    await world.settle()
    assert world.reader.events[-1] == Committed(5, [("t", 1, E.NONE)])
    world.consumer.acknowledge("t", 1, 1)
    await world.end()
    assert world.coordinator.committed_offsets == {("t", 1): 2}
    (left,) = world.coordinator.leaves
    assert left.members[0].member_id == MEMBER


@pytest.mark.parametrize("how", ["acknowledge", "commit"])
async def test_a_rebalance_waits_for_what_was_delivered(how: str) -> None:
    world = World(group())
    world.write(0, b"a", b"b", b"c")
    world.consumer.grant(100)
    await world.until(lambda: world.reader.offsets)

    def done(offset: int) -> None:
        if how == "acknowledge":
            world.consumer.acknowledge("t", 0, offset)
        else:
            world.consumer.commit([("t", 0, offset + 1, "")], offset)

    done(0)
    await world.settle()
    membership = world.consumer.membership
    assert membership is not None
    membership.must_rejoin = True
    world.consumer.wake()
    await world.settle()
    assert isinstance(world.reader.events[-1], Revoking) and len(world.coordinator.joins) == 1
    world.write(0, b"d")
    await world.settle()
    assert len(world.reader.offsets) == 3
    done(2)
    await world.until(lambda: len(world.coordinator.joins) == 2)
    await world.until(lambda: len(world.reader.offsets) == 4)
    assert (
        Assigned([("t", 1, 0), ("t", 0, 3)], MEMBER, 2) in world.reader.events
        or Assigned([("t", 0, 3), ("t", 1, 0)], MEMBER, 2) in world.reader.events
    )
    await world.end()


async def test_commits_are_answered_while_others_keep_a_rebalance_waiting() -> None:
    world = World(group())
    await world.settle()
    world.coordinator.gate = asyncio.Event()
    membership = world.consumer.membership
    assert membership is not None
    membership.must_rejoin = True
    world.consumer.wake()
    await world.until(lambda: len(world.coordinator.joins) == 2)
    world.consumer.commit([("t", 0, 0, "")], 9)
    await world.until(lambda: Committed(9, [("t", 0, E.NONE)]) in world.reader.events)
    world.coordinator.gate.set()
    await world.end()


async def test_a_reader_that_ends_while_it_joins_waits_for_nobody() -> None:
    world = World(group(instance_id="i"))
    world.coordinator.gate = asyncio.Event()
    await world.settle()
    await world.end()
    # It may be a member by now, and nobody has told it its id: it leaves by its name.
    (left,) = world.coordinator.leaves
    assert (left.members[0].member_id, left.members[0].instance_id) == ("", "i")


async def test_a_missed_generation_means_to_begin_where_the_group_is() -> None:
    world = World(group())
    world.write(0, b"a", b"b", b"c")
    world.consumer.grant(100)
    await world.until(lambda: len(world.reader.offsets) == 3)
    membership = world.consumer.membership
    assert membership is not None
    world.coordinator.committed_offsets["t", 0] = 1  # by whoever had it meanwhile
    world.coordinator.generation += 1
    membership.must_rejoin = True
    world.consumer.wake()
    await world.until(lambda: len(world.reader.offsets) == 5)
    assert world.reader.offsets[3:] == [(0, 1), (0, 2)]
    assert not membership.was_lost
    await world.end()


async def test_a_fenced_member_ends() -> None:
    world = World(group())
    await world.settle()
    membership = world.consumer.membership
    assert membership is not None
    world.coordinator.beat = E.FENCED_INSTANCE_ID
    membership._on_beat_due()
    assert (await world.failure()).error is E.FENCED_INSTANCE_ID


async def test_topics_that_come_while_it_joins_are_noticed() -> None:
    world = World(group())
    world.coordinator.gate = asyncio.Event()
    await world.settle()
    world.memory.partitions["t", 2] = PartitionsInMemory(t=1).partitions["t", 0]
    world.consumer.on_metadata()
    world.coordinator.assignment = {"t": [0]}  # divided by somebody who did not know of it either
    world.coordinator.gate.set()
    await world.settle()
    assert len(world.coordinator.joins) == 1
    pattern = World(Subscription(frozenset(), re.compile("t.*"), "g", session_timeout_ms=HOUR_MS))
    pattern.coordinator.gate = asyncio.Event()
    await pattern.settle()
    pattern.memory.partitions["t2", 0] = PartitionsInMemory(t=1).partitions["t", 0]
    pattern.consumer.on_metadata()
    pattern.coordinator.gate.set()
    await pattern.until(lambda: len(pattern.coordinator.joins) == 2)
    await world.end()
    await pattern.end()


async def test_a_member_that_was_fenced_while_it_joined_takes_nothing_with_it() -> None:
    world = World(group(instance_id="i"))
    world.coordinator.gate = asyncio.Event()
    world.coordinator.join_errors = [E.FENCED_INSTANCE_ID]
    await world.settle()
    world.task.cancel()
    await world.settle()
    world.coordinator.gate.set()
    await world.settle()
    await world.consumer.farewell("the stream broke", leaves=True)
    assert world.coordinator.leaves == []


async def test_a_member_that_joined_after_all_leaves() -> None:
    world = World(group(instance_id="i"))
    world.coordinator.gate = asyncio.Event()
    await world.settle()
    world.task.cancel()
    await world.settle()
    world.coordinator.gate.set()
    await world.settle()
    await world.consumer.farewell("the stream broke", leaves=True)
    assert world.coordinator.leaves[0].members[0].member_id == MEMBER
