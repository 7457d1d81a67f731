"""A log moves to another directory while it is written: the copy, the change of places, and what a crash leaves."""

from __future__ import annotations

from contextlib import suppress
from random import Random

import pytest
from tests.unit.storage.kit import NOW_MS, SMALL, TOPIC_ID, Storage, append, batch, read_all

from odradek.proto.kafka.errors import ErrorCode
from odradek.storage.disk import DiskError, DiskFullError
from odradek.storage.future_log import TAIL_BYTES_MAX, FutureLog, SourceGoneError, future_name
from odradek.storage.log import PartitionLog
from odradek.storage.log_config import LogConfig
from odradek.storage.log_dirs import LogDirs

UNIQUE = "ab" * 16
FUTURE = future_name("t-0", UNIQUE)


def filled(batches: int = 12, config: LogConfig = SMALL) -> tuple[Storage, PartitionLog]:
    """A log of several segments in the first of two directories, durable."""
    storage = Storage(paths=("a", "b"))
    log = storage.dirs.open("t", 0, TOPIC_ID, config, "a")
    for number in range(batches):
        result = log.append_as_leader(
            batch(2, value=b"v" * 60, producer=(7, 0, 2 * number), timestamp=NOW_MS + number), 3, NOW_MS
        )
        assert result.error is ErrorCode.NONE
    storage.flush()
    return storage, log


def begin(storage: Storage, log: PartitionLog) -> FutureLog:
    target = next(home for home in storage.dirs.dirs if home is not log.home)
    return storage.dirs.begin_move(log, target, UNIQUE)


def copy(storage: Storage, future: FutureLog, budget: int = 700) -> None:
    """Step until it is ready."""
    while not future.is_ready():
        if not future.step(budget):
            future.submit()
            storage.flush()


def move(storage: Storage, log: PartitionLog, budget: int = 700) -> PartitionLog:
    future = begin(storage, log)
    copy(storage, future, budget)
    return storage.dirs.finish_move(future, NOW_MS)


def test_the_name_is_kafkas() -> None:
    assert future_name("t-0", UNIQUE) == f"t-0.{UNIQUE}-future"


@pytest.mark.parametrize("budget", [1, 700, 1 << 20])
def test_everything_is_there_afterwards(budget: int) -> None:
    storage, log = filled()
    batches, end = read_all(log), log.log_end_offset
    producers, epochs = log.active_producers(), log.end_offset_for_epoch(3)
    assert log.advance_log_start_offset(3) is ErrorCode.NONE
    log.high_watermark = 20
    moved = move(storage, log, budget)
    assert moved.home.path == "b" and moved is storage.dirs.get("t", 0)
    assert (moved.log_start_offset, moved.log_end_offset, moved.flushed_offset) == (3, end, end)
    assert moved.high_watermark == 20
    assert read_all(moved) == batches[1:]
    assert (moved.active_producers(), moved.end_offset_for_epoch(3)) == (producers, epochs)
    assert log.is_offline
    assert storage.disk.listdir("b/t-0") and not storage.disk.exists("a/t-0")
    assert not storage.disk.exists("b/t-0/.odradek-moved")
    assert storage.dirs.future("t", 0) is None


def test_the_moved_log_goes_on_where_it_was() -> None:
    storage, log = filled()
    moved = move(storage, log)
    heard: list[int] = []
    moved.flush_listener = lambda log: heard.append(log.flushed_offset)
    again = moved.append_as_leader(batch(2, value=b"v" * 60, producer=(7, 0, 22)), 3, NOW_MS)
    assert (again.error, again.duplicate, again.base_offset) == (ErrorCode.NONE, True, 22)
    assert append(moved).base_offset == 24
    storage.flush()
    assert heard == [25]
    end = moved.log_end_offset
    for restart in (storage.restart, storage.kill, storage.crash):
        restart()
        found = storage.open()
        assert (found.home.path, found.log_end_offset) == ("b", end)
        assert len(read_all(found)) == 13


def test_what_is_written_meanwhile_comes_along() -> None:
    storage, log = filled()
    future = begin(storage, log)
    while future.step(500):
        append(log, value=b"w" * 40)
        if len(read_all(log)) > 40:
            break
    copy(storage, future)
    append(log, 3)  # not synced, here or there, when the two change places
    flushed = log.flushed_offset
    moved = storage.dirs.finish_move(future, NOW_MS)
    assert moved.log_end_offset == log.log_end_offset or moved.log_end_offset > flushed
    assert moved.flushed_offset == moved.log_end_offset
    assert read_all(moved)[-1][1] == moved.log_end_offset - 1
    storage.crash()
    assert storage.open().log_end_offset == moved.log_end_offset


def test_a_log_that_is_cut_off_and_grows_again_is_copied_anew() -> None:
    storage, log = filled()
    future = begin(storage, log)
    while future.step(10_000):
        pass
    log.truncate_to(10)
    for _ in range(12):
        append(log, 2, value=b"x" * 60)  # as long as before
    copy(storage, future)
    moved = storage.dirs.finish_move(future, NOW_MS)
    data = moved.read(10, 10_000, moved.log_end_offset)
    assert isinstance(data, (bytes, memoryview)) and b"x" * 60 in bytes(data)
    assert moved.log_end_offset == 34


def test_a_truncation_makes_a_copy_that_was_ready_unready() -> None:
    storage, log = filled()
    future = begin(storage, log)
    copy(storage, future)
    log.truncate_to(20)
    assert not future.is_ready()


def test_what_retention_drops_goes_from_the_copy_too() -> None:
    storage, log = filled()
    future = begin(storage, log)
    while future.step(10_000):
        pass
    before = future.size_bytes
    assert log.advance_log_start_offset(22) is ErrorCode.NONE
    log.high_watermark = 24
    log.run_maintenance(NOW_MS + 400_000)
    copy(storage, future)
    assert future.size_bytes < before
    moved = storage.dirs.finish_move(future, NOW_MS)
    assert (moved.log_start_offset, read_all(moved)[0][0]) == (22, 22)


def test_it_is_ready_when_little_is_missing_and_the_rest_is_durable() -> None:
    storage, log = filled(config=LogConfig())
    future = begin(storage, log)
    assert not future.is_ready() or future.lag_bytes() <= TAIL_BYTES_MAX
    future.step(1 << 20)
    assert (future.lag_bytes(), future.offset_lag(), future.is_synced) == (0, 0, False)
    heard: list[bool] = []
    future.on_synced = lambda: heard.append(future.is_ready())
    future.submit()
    storage.flush()
    assert heard == [True]
    append(log, value=b"v" * (TAIL_BYTES_MAX + 1))
    assert not future.is_ready()
    assert future.lag_bytes() > TAIL_BYTES_MAX and future.offset_lag() == 1


def test_the_copy_is_described_in_its_directory() -> None:
    storage, log = filled()
    future = begin(storage, log)
    future.step(log.size_bytes // 2)
    here, there = storage.dirs.describe()
    assert [(topic, partition) for topic, partition, _ in here.partitions] == [("t", 0)]
    ((topic, partition, size, lag),) = there.futures
    assert (topic, partition, size) == ("t", 0, future.size_bytes)
    assert 0 < lag < 24
    assert not storage.dirs.describe([("t", 1)])[1].futures


def test_a_move_that_is_given_up_leaves_the_log_where_it_is() -> None:
    storage, log = filled()
    future = begin(storage, log)
    future.step(500)
    storage.dirs.cancel_move("t", 0)
    with pytest.raises(SourceGoneError):
        future.step(500)
    assert storage.dirs.future("t", 0) is None
    storage.dirs.run_maintenance(NOW_MS + 2000)
    assert not storage.disk.exists(f"b/{FUTURE}")
    assert append(log).base_offset == 24
    assert move(storage, log).log_end_offset == 25


def test_a_deleted_topic_ends_the_move() -> None:
    storage, log = filled()
    future = begin(storage, log)
    future.step(500)
    storage.dirs.delete("t", 0, NOW_MS)
    with pytest.raises(SourceGoneError):
        future.step(500)
    assert storage.dirs.future("t", 0) is None


def test_an_end_in_between_leaves_the_log_and_removes_the_copy() -> None:
    for end in (Storage.restart, Storage.kill, Storage.crash):
        storage, log = filled()
        begin(storage, log).step(900)
        end(storage)
        storage.dirs.run_maintenance(NOW_MS + 2000)
        assert (storage.open().home.path, storage.open().log_end_offset) == ("a", 24)
        assert not storage.disk.exists(f"b/{FUTURE}")


def test_a_log_that_was_never_written_is_placed_elsewhere() -> None:
    storage = Storage(paths=("a", "b"))
    log = storage.dirs.open("t", 0, TOPIC_ID, SMALL, "a")
    placed = storage.dirs.place(log, storage.dirs.dirs[1])
    assert log.is_offline and placed is storage.open()
    append(placed)
    assert (placed.home.path, storage.dirs.dirs[0].log_count, storage.dirs.dirs[1].log_count) == ("b", 0, 1)


def test_a_log_that_was_loaded_and_never_written_moves() -> None:
    storage = Storage(paths=("a", "b"))
    log = storage.dirs.open("t", 0, TOPIC_ID, SMALL, "a")
    log.load(NOW_MS)
    moved = move(storage, log)
    assert append(moved).base_offset == 0
    storage.flush()
    storage.crash()
    assert (storage.open().home.path, storage.open().log_end_offset) == ("b", 1)
    assert storage.dirs.open("t", 0, b"?" * 16, SMALL).log_end_offset == 0, "another topic of that name"


def test_a_name_that_was_here_before_leaves_nothing_behind() -> None:
    storage, log = filled()
    assert log.advance_log_start_offset(8) is ErrorCode.NONE
    there = move(storage, log)
    append(there)
    storage.flush()
    back = move(storage, there)
    assert (back.home.path, back.log_start_offset, back.log_end_offset) == ("a", 8, 25)
    storage.crash()
    found = storage.open()
    assert (found.home.path, found.log_start_offset, found.log_end_offset) == ("a", 8, 25)


def test_a_full_target_ends_the_move_and_nothing_else() -> None:
    storage, log = filled()
    future = begin(storage, log)
    storage.memory.fail_call(1, full=True, sticky=True)
    with pytest.raises(DiskFullError) as failed:
        copy(storage, future)
    storage.memory.heal()
    storage.dirs.on_move_failed(future, failed.value)
    assert not storage.failures and storage.dirs.future("t", 0) is None
    assert append(log).base_offset == 24


@pytest.mark.parametrize(("path", "at_fault"), [("b/x.log", "b"), ("b", "b"), ("a/t-0/x.log", "a")])
def test_the_directory_at_fault_goes_offline(path: str, at_fault: str) -> None:
    storage, log = filled()
    storage.dirs.on_move_failed(begin(storage, log), DiskError(path, "broken"))
    assert [home.path for home, _ in storage.failures] == [at_fault]


class TestChangingPlaces:
    """A crash after every disk call of the change: one of the two is there, whole, and stays."""

    def ready(self) -> tuple[Storage, FutureLog]:
        storage, log = filled()
        assert log.advance_log_start_offset(3) is ErrorCode.NONE
        storage.dirs.run_maintenance(NOW_MS)
        future = begin(storage, log)
        copy(storage, future)
        append(log)
        storage.flush()
        return storage, future

    def calls(self) -> int:
        storage, future = self.ready()
        before = storage.memory.calls
        storage.dirs.finish_move(future, NOW_MS)
        return storage.memory.calls - before

    def check(self, storage: Storage) -> str:
        log = storage.dirs.open("t", 0, TOPIC_ID, SMALL, "a")
        assert (log.log_start_offset, log.log_end_offset) == (3, 25)
        assert [first for first, _ in read_all(log)] == [*range(2, 24, 2), 24]
        append(log)
        storage.flush()
        home = log.home.path
        storage.dirs.run_maintenance(NOW_MS + 100_000)
        storage.crash()  # which may undo removals
        storage.dirs.run_maintenance(NOW_MS + 100_000)
        log = storage.open()
        assert (log.home.path, log.log_end_offset) == (home, 26)
        others = [name for name in storage.disk.listdir("ab".replace(home, "")) if name.startswith("t-0")]
        assert not others, "the other one is gone for good"
        return home

    @pytest.mark.parametrize("seed", [None, 1, 2, 3])
    def test_power_cut(self, seed: int | None) -> None:
        homes = set()
        for call in range(1, self.calls() + 2):
            storage, future = self.ready()
            storage.memory.fail_call(call, sticky=True)
            with suppress(DiskError):
                storage.dirs.finish_move(future, NOW_MS)
            storage.crash(None if seed is None else Random(seed * 1000 + call))
            homes.add(self.check(storage))
        assert homes == {"a", "b"}

    def test_kill(self) -> None:
        homes = set()
        for call in range(1, self.calls() + 2):
            storage, future = self.ready()
            storage.memory.fail_call(call, sticky=True)
            with suppress(DiskError):
                storage.dirs.finish_move(future, NOW_MS)
            storage.memory.heal()
            storage.kill()
            homes.add(self.check(storage))
        assert homes == {"a", "b"}

    def test_a_call_that_fails_loses_nothing(self) -> None:
        for call in range(1, self.calls() + 1):
            storage, future = self.ready()
            storage.memory.fail_call(call)
            try:
                storage.dirs.finish_move(future, NOW_MS)
            except DiskError:
                assert future.is_over
            storage.crash(Random(call))
            assert storage.open().log_end_offset == 25, call

    def test_a_full_disk_loses_nothing_and_stops_nothing(self) -> None:
        given_up = 0
        for call in range(1, self.calls() + 1):
            storage, future = self.ready()
            storage.memory.fail_call(call, full=True)
            try:
                storage.dirs.finish_move(future, NOW_MS)
            except DiskFullError:
                given_up += 1
            log = storage.dirs.get("t", 0)
            assert log is not None
            if not storage.failures:
                assert append(log).base_offset == 25
            storage.flush()
            storage.crash(Random(call))
            assert storage.open().log_end_offset >= 25
        assert given_up > 5

    def test_a_directory_that_cannot_be_read_may_have_the_log(self) -> None:
        storage, future = self.ready()
        future.complete()  # and killed here
        log = future.source
        future.target.expect("t-0", log.log_end_offset, log.log_start_offset, log.high_watermark)
        storage.dirs.release_locks()
        storage.memory.fail_call(1)
        storage.dirs = storage._start()  # directory a fails
        assert [home.path for home, _ in storage.failures] == ["a"]
        assert storage.open().is_offline
        storage.kill()
        assert self.check(storage) == "a"


def test_a_stop_forgets_moves_under_way() -> None:
    storage, log = filled()
    future = begin(storage, log)
    future.step(500)
    dirs: LogDirs = storage.dirs
    dirs.close()
    assert future.is_over
