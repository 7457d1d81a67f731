"""Group commit: order, coalescing, failure; with the real thread, which is made to wait by events, never by time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Queue

import pytest

from odradek.storage.disk import DiskError, DiskSyncError
from odradek.storage.durations import SUM
from odradek.storage.flusher import PARALLEL_FROM, NameSync, SteppedFlusher, ThreadFlusher
from odradek.storage.memory_disk import MemoryDisk

WAIT_S = 10


class Log:
    """What is told to a log."""

    def __init__(self) -> None:
        self.flushed: list[tuple[int, int]] = []

    def on_flushed(self, end_offset: int, generation: int) -> None:
        self.flushed.append((end_offset, generation))


class Target:
    """Counts its syncs; holds the syncing thread until it is released, when asked to."""

    def __init__(self, *, held: bool = False, error: DiskError | None = None) -> None:
        self.syncs = 0
        self.threads: set[int] = set()
        self.entered = threading.Event()
        self.released = threading.Event()
        self.error = error
        if not held:
            self.released.set()

    def sync(self) -> None:
        self.entered.set()
        assert self.released.wait(WAIT_S)
        self.syncs += 1
        self.threads.add(threading.get_ident())
        if self.error is not None:
            raise self.error


class Loop:
    """The loop thread: what was posted, run one at a time by the test."""

    def __init__(self) -> None:
        self.posted: Queue[Callable[[], None]] = Queue()
        self.failures: list[DiskError] = []
        self.flusher = ThreadFlusher("data", self.posted.put, self.failures.append)

    def run_one(self) -> None:
        self.posted.get(timeout=WAIT_S)()

    def run_rest(self) -> int:
        count = 0
        while not self.posted.empty():
            self.posted.get_nowait()()
            count += 1
        return count


def test_what_comes_in_during_a_sync_is_one_round() -> None:
    loop = Loop()
    first, second = Target(held=True), Target()
    log, other = Log(), Log()
    loop.flusher.submit(log, 1, 0, first)
    assert first.entered.wait(WAIT_S)
    for end in range(2, 50):
        loop.flusher.submit(log, end, 0, first)
        loop.flusher.submit(other, end, 0, second)
    first.released.set()
    loop.run_one()
    assert log.flushed == [(1, 0)], "only what was submitted before the sync began"
    loop.run_one()
    assert log.flushed == [(1, 0), (49, 0)]
    assert other.flushed == [(49, 0)]
    assert (first.syncs, second.syncs) == (2, 1)
    loop.flusher.close()
    assert loop.run_rest() == 0, "one wake-up per round"
    assert sum(loop.flusher.durations[:SUM]) == loop.flusher.rounds == 2
    assert loop.flusher.durations[SUM] > 0
    assert threading.get_ident() not in first.threads


def test_close_syncs_what_was_submitted() -> None:
    loop = Loop()
    held, target, log = Target(held=True), Target(), Log()
    loop.flusher.submit(log, 1, 0, held)
    assert held.entered.wait(WAIT_S)
    loop.flusher.submit(log, 2, 0, target)
    held.released.set()
    loop.flusher.close()
    loop.run_rest()
    assert log.flushed[-1] == (2, 0)
    assert target.syncs == 1


def test_a_failed_sync_is_reported_once_and_ends_everything() -> None:
    loop = Loop()
    error = DiskSyncError("data/x", "broken")
    held, broken, later = Target(held=True), Target(error=error), Target()
    log, other = Log(), Log()
    loop.flusher.submit(log, 1, 0, held)
    assert held.entered.wait(WAIT_S)
    loop.flusher.submit(log, 2, 0, broken)
    loop.flusher.submit(other, 7, 0, Target())
    held.released.set()
    loop.run_one()
    loop.run_one()
    assert loop.failures == [error]
    loop.flusher.submit(log, 3, 0, later)
    loop.flusher.close()
    assert loop.run_rest() == 0
    assert log.flushed == [(1, 0)]
    assert other.flushed == [], "nothing of the round of a failed sync is reported"
    assert (broken.syncs, later.syncs) == (1, 0)
    assert loop.flusher.failed


def test_a_round_of_many_files_is_shared_between_threads() -> None:
    loop = Loop()
    held, log = Target(held=True), Log()
    loop.flusher.submit(log, 1, 0, held)
    assert held.entered.wait(WAIT_S)
    # All of them wait for the last one to be entered, which one thread could not do.
    targets = [Target(held=True) for _ in range(PARALLEL_FROM)]
    for target in targets:
        loop.flusher.submit(log, 2, 0, target)
    held.released.set()
    entered = sum(target.entered.wait(WAIT_S) for target in targets[:2])
    assert entered == 2, "two syncs run at the same time"
    for target in targets:
        target.released.set()
    loop.run_one()
    loop.run_one()
    loop.flusher.close()
    assert log.flushed == [(1, 0), (2, 0)]
    assert [target.syncs for target in targets] == [1] * PARALLEL_FROM


@pytest.mark.parametrize("broken_at", range(PARALLEL_FROM + 2))
def test_a_failure_in_any_thread_counts(broken_at: int) -> None:
    loop = Loop()
    held, log = Target(held=True), Log()
    loop.flusher.submit(log, 1, 0, held)
    assert held.entered.wait(WAIT_S)
    for number in range(PARALLEL_FROM + 2):
        error = DiskSyncError("data/x", "broken") if number == broken_at else None
        loop.flusher.submit(log, 2, 0, Target(error=error))
    held.released.set()
    loop.flusher.close()
    loop.run_rest()
    assert len(loop.failures) == 1
    assert log.flushed == [(1, 0)]


def test_submitting_is_the_same_without_a_thread() -> None:
    scheduled: list[Callable[[], None]] = []
    failures: list[DiskError] = []
    flusher = SteppedFlusher("data", scheduled.append, failures.append)
    log, target = Log(), Target()
    for end in (1, 2, 3):
        flusher.submit(log, end, 4, target)
    assert len(scheduled) == 1 and not log.flushed
    scheduled.pop()()
    assert log.flushed == [(3, 4)]
    assert target.syncs == 1
    error = DiskSyncError("data/x", "broken")
    flusher.submit(log, 5, 4, Target(error=error))
    flusher.step()
    flusher.submit(log, 6, 4, target)
    flusher.close()
    assert failures == [error] and flusher.failed
    assert target.syncs == 1 and log.flushed == [(3, 4)]


def test_a_name_that_is_gone_needs_no_sync() -> None:
    disk = MemoryDisk()
    NameSync(disk, "data", is_directory=True).sync()
    NameSync(disk, "data/file").sync()
    disk.makedirs("data")
    disk.open("data/file", create=True).append([b"x"])
    NameSync(disk, "data/file").sync()
    NameSync(disk, "data", is_directory=True).sync()
    NameSync(disk, ".", is_directory=True).sync()
    disk.crash()
    assert disk.read("data/file") == b"x"


def test_a_listener_that_raises_does_not_keep_the_others_waiting() -> None:
    class Broken(Log):
        def on_flushed(self, end_offset: int, generation: int) -> None:
            raise ValueError(f"listener {end_offset}")

    flusher = SteppedFlusher("data", None, lambda error: None)
    log = Log()
    flusher.submit(Broken(), 1, 0, Target())
    flusher.submit(Broken(), 2, 0, Target())
    flusher.submit(log, 3, 0, Target())
    with pytest.raises(ValueError, match="listener 1"):
        flusher.step()
    assert log.flushed == [(3, 0)] and not flusher.failed
