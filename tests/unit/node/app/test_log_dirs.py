"""Moving replicas between directories: what is refused, and a move under load with everything that hangs on it."""

from __future__ import annotations

import asyncio
import os

import pytest
from tests.unit.node.app.data_path import Place, Topic, World, batch

from odradek.node.app.log_dirs import STEP_BYTES, LogDirsService
from odradek.proto.kafka.errors import ErrorCode
from odradek.storage.disk import DiskError
from odradek.storage.flusher import LogFlusher, OnFailure, Post, SteppedFlusher
from odradek.storage.log_dir import LogDir

UNIQUE = "c" * 32
NO_LIMIT = 1 << 62
D, E = os.path.abspath("d"), os.path.abspath("e")


def elsewhere(path: str) -> str:
    return E if path == D else D


class TwoDirectories(World):
    """A world with the log directories `d` and `e`, named by absolute paths; `flush` steps both flushers."""

    def __init__(self, rate: int = NO_LIMIT) -> None:
        self.steps: list[SteppedFlusher] = []
        super().__init__(paths=("d", "e"))
        self.service = LogDirsService(self.replicas, self.dirs, lambda: 0, lambda: UNIQUE, lambda: rate)

    def _flusher(self, name: str, post: Post, on_failure: OnFailure) -> LogFlusher:
        self.steps.append(SteppedFlusher(name, None, on_failure))
        return self.steps[-1]

    def flush(self) -> None:
        for flusher in self.steps:
            flusher.step()
        self.turn()

    def home(self, topic: str = "t", index: int = 0) -> str:
        return os.path.abspath(self.partition(topic, index).log.home.path)

    def other(self) -> str:
        return elsewhere(self.home())

    async def settle(self) -> None:
        """Until no move is under way."""
        while self.service._moves:
            self.flush()
            await asyncio.sleep(0)


def directory(world: TwoDirectories, path: str) -> LogDir:
    (found,) = [home for home in world.dirs.dirs if os.path.abspath(home.path) == path]
    return found


def filled(batches: int = 5) -> TwoDirectories:
    world = TwoDirectories()
    for number in range(batches):
        world.produce(("t", 0, batch(3, producer_id=7, sequence=3 * number)))
    world.flush()
    return world


async def test_a_replica_moves_and_goes_on() -> None:
    world = filled()
    before, target = world.home(), world.other()
    assert world.service.move(target, "t", 0) is ErrorCode.NONE
    assert world.home() == before
    told: list[tuple[str, int, str]] = []
    world.service.on_moved = lambda log: told.append((log.topic, log.partition, log.home.path))
    await world.settle()
    assert told == [("t", 0, os.path.basename(target))]
    partition = world.partition()
    assert world.home() == target
    assert partition.replica.high_watermark == partition.log.high_watermark == 15
    produced = world.produce(("t", 0, batch(3, producer_id=7, sequence=15)))
    assert not produced.done
    world.flush()
    assert (produced.errors, produced.base_offsets) == (["NONE"], [15])
    again = world.produce(("t", 0, batch(3, producer_id=7, sequence=9)))
    assert again.base_offsets == [9], "a duplicate is known"


async def test_what_waits_for_a_sync_is_answered_by_the_move() -> None:
    world = filled()
    assert world.service.move(world.other(), "t", 0) is ErrorCode.NONE
    waiting = []
    for _ in range(4):
        waiting.append(world.produce(("t", 0, batch(1))))
        world.flush()
        await asyncio.sleep(0)
    last = world.produce(("t", 0, batch(1)))
    await world.settle()
    world.flush()
    assert [one.base_offsets for one in [*waiting, last]] == [[15], [16], [17], [18], [19]]
    assert world.partition().replica.high_watermark == 20


async def test_a_log_that_was_never_written_is_placed_at_once() -> None:
    world = TwoDirectories()
    target = world.other()
    assert world.service.move(target, "t", 0) is ErrorCode.NONE
    assert not world.service._moves
    produced = world.produce(("t", 0, batch(1)))
    world.flush()
    assert (produced.errors, world.home()) == (["NONE"], target)


async def test_a_replica_that_is_there_or_on_its_way_stays_so() -> None:
    world = filled()
    here, there = world.home(), world.other()
    assert world.service.move(here, "t", 0) is ErrorCode.NONE
    assert not world.service._moves
    assert world.service.move(there, "t", 0) is ErrorCode.NONE
    under_way = world.dirs.future("t", 0)
    assert world.service.move(there, "t", 0) is ErrorCode.NONE
    assert world.dirs.future("t", 0) is under_way
    assert world.service.move(here, "t", 0) is ErrorCode.NONE, "that gives the move up"
    assert world.dirs.future("t", 0) is None
    await world.settle()
    assert world.home() == here


async def test_moves_that_are_refused() -> None:
    world = filled()
    world.topics.known["placed"] = Topic("placed", b"p" * 16, [Place(leader=2, isr=(2,), replicas=(2,))])
    move = world.service.move
    assert move("nowhere", "t", 0) is ErrorCode.LOG_DIR_NOT_FOUND
    assert move(E, "no", 0) is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert move(E, "t", 9) is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert move(E, "placed", 0) is ErrorCode.REPLICA_NOT_AVAILABLE
    assert move("nowhere", "x" * 240, 0) is ErrorCode.INVALID_TOPIC_EXCEPTION


async def test_nothing_moves_while_a_directory_is_offline() -> None:
    world = filled()
    here, other = world.home(), directory(world, world.other())
    other.fail(DiskError(other.path, "broken"))
    assert world.service.move(world.other(), "t", 0) is ErrorCode.KAFKA_STORAGE_ERROR
    assert world.home() == here


async def test_a_target_that_fails_ends_the_move_and_nothing_else() -> None:
    world = filled()
    here, target = world.home(), directory(world, world.other())
    assert world.service.move(world.other(), "t", 0) is ErrorCode.NONE
    await asyncio.sleep(0)
    target.fail(DiskError(target.path, "broken"))
    await world.settle()
    produced = world.produce(("t", 0, batch(1)))
    world.flush()
    assert (produced.errors, world.home()) == (["NONE"], here)


async def test_a_deleted_topic_ends_its_move() -> None:
    world = filled()
    assert world.service.move(world.other(), "t", 0) is ErrorCode.NONE
    await asyncio.sleep(0)
    gone = world.topics.known.pop("t")
    world.replicas.on_topics_changed([gone], [])
    await world.settle()
    assert world.dirs.get("t", 0) is None


async def test_two_moves_at_once_and_the_others_wait() -> None:
    world = TwoDirectories()
    partitions = [("t", 0), ("t", 1), ("u", 0), ("u", 1)]
    for topic, index in partitions:
        world.produce((topic, index, batch(1)))
    world.flush()
    for topic, index in partitions:
        target = elsewhere(world.home(topic, index))
        assert world.service.move(target, topic, index) is ErrorCode.NONE
    for _ in range(5):
        await asyncio.sleep(0)
    assert len([1 for one in partitions if (found := world.dirs.future(*one)) and found.size_bytes]) == 2
    await world.settle()
    assert not any(world.dirs.future(*one) for one in partitions)


async def test_a_stop_ends_moves_under_way() -> None:
    world = filled()
    assert world.service.move(world.other(), "t", 0) is ErrorCode.NONE
    await world.service.stop()
    assert not world.service._moves


@pytest.mark.parametrize("rate", [1, NO_LIMIT])
async def test_the_pace_is_that_of_the_configuration(rate: int) -> None:
    world = TwoDirectories(rate)
    for _ in range(3):
        world.produce(("t", 0, batch(1, value=b"v" * 300_000)))
    world.flush()
    assert world.service.move(world.other(), "t", 0) is ErrorCode.NONE
    for _ in range(20):
        world.flush()
        await asyncio.sleep(0)
    future = world.dirs.future("t", 0)
    if rate == 1:
        assert future is not None and future.size_bytes <= STEP_BYTES
        await world.service.stop()
    else:
        assert future is None


def test_directories_tell_what_is_in_them_and_that_they_failed() -> None:
    world = World()
    service = LogDirsService(world.replicas, world.dirs, lambda: 0, lambda: UNIQUE, lambda: NO_LIMIT)
    world.produce(("t", 0, batch(3)))
    world.flush()
    (directory,) = service.directories(None)
    assert os.path.isabs(directory.path) and directory.path.endswith("/d")
    assert directory.error is ErrorCode.NONE and directory.total_bytes > 0
    assert [(topic, index) for topic, index, size in directory.partitions if size] == [("t", 0)]
    assert service.directories([("t", 1)])[0].partitions == []
    world.produce(("t", 0, batch()))
    world.disk.fail_call(1, sticky=True)
    world.flush()
    assert service.directories(None)[0].error is ErrorCode.KAFKA_STORAGE_ERROR
