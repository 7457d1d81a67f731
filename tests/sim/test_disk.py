"""The sync workers of the simulation must keep what real threads keep: order, one job at a time, nothing twice."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.sim.disk import DelayedFlusher, DelayedSyncer, SimDisk
from tests.sim.loop import HostLoop, Scheduler

from odradek.storage.disk import DiskError


class Log:
    """A log that notes what became durable."""

    def __init__(self) -> None:
        self.flushed: list[int] = []

    def on_flushed(self, end_offset: int, generation: int) -> None:
        self.flushed.append(end_offset)


class Bench:
    """A process with a disk."""

    def __init__(self) -> None:
        self.world = Scheduler(Random(1))
        self.loop = HostLoop(self.world, "a")
        self.disk = SimDisk(Random(2))
        self.disk.makedirs("d")
        self.disk.sync_dir("")
        self.file = self.disk.open("d/f", create=True)
        self.disk.sync_dir("d")
        self.failures: list[DiskError] = []

    def on_loop(self, action: Callable[[], object]) -> None:
        self.loop.call_soon(action)
        self.run(0)

    def run(self, microseconds: int) -> None:
        self.world.run(self.world.now_us + microseconds)


def test_a_flush_takes_time_and_covers_what_was_written_before() -> None:
    bench, log = Bench(), Log()
    flushers: list[DelayedFlusher] = []
    bench.on_loop(lambda: flushers.append(DelayedFlusher(bench.disk, bench.failures.append)))
    bench.file.append([b"one"])
    flushers[0].submit(log, 1, 0, bench.file)
    bench.run(99)
    assert not log.flushed and bench.disk.durable("d/f") == b""
    bench.file.append([b"two"])
    flushers[0].submit(log, 2, 0, bench.file)
    bench.world.run_while(lambda: not log.flushed, bench.world.now_us + 5_000)
    assert log.flushed == [1] and bench.disk.durable("d/f") == b"one"
    bench.run(5_000)
    assert log.flushed == [1, 2] and bench.disk.durable("d/f") == b"onetwo"


def test_close_makes_everything_durable_at_once() -> None:
    bench, log = Bench(), Log()
    flushers: list[DelayedFlusher] = []
    bench.on_loop(lambda: flushers.append(DelayedFlusher(bench.disk, bench.failures.append)))
    for number in (1, 2, 3):
        bench.file.append([b"x"])
        flushers[0].submit(log, number, 0, bench.file)
        bench.run(120)
    flushers[0].close()
    assert log.flushed[-1] == 3 and bench.disk.durable("d/f") == b"xxx"


def test_after_a_failed_sync_nothing_is_reported_any_more() -> None:
    bench = Bench()
    done: list[int] = []
    syncers: list[DelayedSyncer] = []

    def post(callback: Callable[[], None]) -> None:
        bench.loop.call_soon(callback)

    bench.on_loop(lambda: syncers.append(DelayedSyncer(bench.disk, post, bench.failures.append)))
    bench.file.append([b"one"])
    syncers[0].submit(bench.file.sync, lambda: done.append(1))
    bench.run(5_000)
    assert done == [1]
    bench.disk.health.syncs_fail = True
    syncers[0].submit(bench.file.sync, lambda: done.append(2))
    bench.run(5_000)
    bench.disk.health.syncs_fail = False
    syncers[0].submit(bench.file.sync, lambda: done.append(3))
    bench.run(5_000)
    assert done == [1] and len(bench.failures) == 1
