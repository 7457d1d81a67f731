"""The disk of a simulated machine: a `MemoryDisk` that fails as told, and syncs that take time.

Decides how long a sync takes and what it covers: what was written before it began (`MemoryDisk.begin`). A power cut
leaves what is durable and any part of the rest. Does not decide when faults come (`faults`).

`DelayedFlusher` and `DelayedSyncer` stand for the threads of production, in the simulator's one thread: one sync at a
time, everything that came meanwhile goes into the next, and completions come through the loop, so a process that
dies in between never hears of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random

from odradek.storage.disk import DiskError, DiskFullError, DiskSyncError, Syncable
from odradek.storage.durations import new_durations
from odradek.storage.flusher import FlushedLog, LogFlusher, OnFailure, Post, Round, sync_each
from odradek.storage.memory_disk import MemoryDisk

_SYNCS = ("sync", "sync_dir", "sync_volume")
_TAKES_ROOM = ("append", "create", "makedirs")


@dataclass
class DiskHealth:
    """How the disk is now. Times in microseconds."""

    sync_min_us: int = 100
    sync_max_us: int = 1_000
    syncs_fail: bool = False
    is_full: bool = False


class SimDisk(MemoryDisk):
    """One machine's disk; it outlives processes and power cuts."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self.health = DiskHealth()
        self.random = random
        self.has_failed_sync = False
        """A sync failed: what it should have kept is lost, though processes go on seeing it until a reboot."""

    def reboot(self) -> None:
        """The machine starts anew: page cache and locks are gone."""
        self.crash(self.random)
        self.has_failed_sync = False

    def count(self, operation: str, path: str, on_failure: Callable[[], None] | None = None) -> None:
        """See `MemoryDisk.count`; the health of the disk decides besides."""
        super().count(operation, path, on_failure)
        if self.health.syncs_fail and operation in _SYNCS:
            self.has_failed_sync = True
            if on_failure is not None:
                on_failure()
            raise DiskSyncError(path, "simulated: the device reports an error")
        if self.health.is_full and operation in _TAKES_ROOM:
            raise DiskFullError(path, "simulated: no space left")

    def sync_time_s(self) -> float:
        return self.random.randint(self.health.sync_min_us, self.health.sync_max_us) / 1e6

    def release_locks(self) -> None:
        """The process that held them is gone."""
        self._locks.clear()

    def durable_view(self, path: str) -> bytearray | None:
        """As `durable`, not copied: not to be changed or kept."""
        node = self._durable.get(path)
        return None if node is None else node.durable

    def view(self, path: str) -> bytearray | None:
        """What processes see of a file, not copied."""
        node = self._names.get(path)
        return None if node is None else node.data

    def segments(self, folder: str, *, durable: bool) -> list[str]:
        """The segments of a log in order of their offsets."""
        names = self._durable if durable else self._names
        return sorted(name for name in names if name.startswith(folder) and name.endswith(".log"))

    def files(self) -> list[str]:
        """Every file that processes see, in a fixed order."""
        return sorted(path for path, node in self._names.items() if node is not None)

    def size(self, path: str) -> int:
        return len(self._file(path).data)

    def flusher(self, name: str, post: Post, on_failure: OnFailure) -> LogFlusher:
        """See `FlusherFactory`."""
        return DelayedFlusher(self, on_failure)


class _Worker:
    """The sync thread that both kinds have: one job after the other, each takes its time."""

    def __init__(self, disk: SimDisk, on_failure: Callable[[DiskError], None]) -> None:
        self._disk = disk
        self._on_failure = on_failure
        self._loop = asyncio.get_running_loop()
        self._end: Callable[[], None] | None = None  # completes the job under way
        self._timer: asyncio.TimerHandle | None = None
        self.failed = False

    def is_idle(self) -> bool:
        return self._timer is None and self._end is None

    def wake(self) -> None:
        """Begin soon, unless a job is under way: a thread takes a moment to run."""
        if self.is_idle() and not self.failed:
            self._timer = self._loop.call_later(self._disk.random.randrange(1, 100) / 1e6, self._begin)

    def _begin(self) -> None:
        self._timer = None
        job = self.take_job()
        if job is None:
            return
        sync, report = job
        try:
            complete = self._disk.begin(sync)
        except DiskError as error:
            self._loop.call_later(self._disk.sync_time_s(), self._fail, error)
            self.failed = True
            return

        def end() -> None:
            self._end = None
            complete()
            report()
            if self.has_job():
                self.wake()

        self._end = end
        self._loop.call_later(self._disk.sync_time_s(), self._ended, end)

    def _ended(self, end: Callable[[], None]) -> None:
        if self._end is end:
            end()

    def _fail(self, error: DiskError) -> None:
        self._on_failure(error)

    def finish(self) -> None:
        """Do at once what is left."""
        if self._end is not None:
            self._end()
        while self.has_job() and not self.failed:
            if self._timer is not None:
                self._timer.cancel()
            self._begin()
            if self._end is not None:
                self._end()

    def take_job(self) -> tuple[Callable[[], None], Callable[[], None]] | None:
        """What to sync, and whom to tell."""
        raise NotImplementedError

    def has_job(self) -> bool:
        raise NotImplementedError


class DelayedFlusher(_Worker):
    """As `ThreadFlusher`."""

    def __init__(self, disk: SimDisk, on_failure: Callable[[DiskError], None]) -> None:
        super().__init__(disk, on_failure)
        self.synced_targets = 0
        self.durations = new_durations()
        self._round = Round()
        self._is_closed = False

    def submit(self, log: FlushedLog, end_offset: int, generation: int, target: Syncable) -> None:
        """See `LogFlusher.submit`."""
        assert not self._is_closed, "the flusher is used after close"
        self._round.add((log, end_offset, generation, target))
        self.wake()

    def close(self) -> None:
        """See `LogFlusher.close`."""
        self.finish()
        self._is_closed = True

    def has_job(self) -> bool:
        return bool(self._round.targets)

    def take_job(self) -> tuple[Callable[[], None], Callable[[], None]] | None:
        if not self._round.targets:
            return None
        round_, self._round = self._round, Round()
        return partial(sync_each, list(round_.targets)), round_.report


class DelayedSyncer(_Worker):
    """As Raft's `ThreadSyncer`; takes the place of its `InlineSyncer`, which leaves no time for a power cut."""

    def __init__(
        self, disk: SimDisk, post: Callable[[Callable[[], None]], None], on_failure: OnFailure
    ) -> None:
        super().__init__(disk, on_failure)
        self._post = post
        self._requests: list[tuple[Callable[[], None], Callable[[], None]]] = []

    def _fail(self, error: DiskError) -> None:
        self._post(partial(self._on_failure, error))

    def submit(self, sync: Callable[[], None], done: Callable[[], None]) -> None:
        """See `Syncer.submit`."""
        self._requests.append((sync, done))
        self.wake()

    def close(self) -> None:
        """See `Syncer.close`."""
        self.finish()

    def has_job(self) -> bool:
        return bool(self._requests)

    def take_job(self) -> tuple[Callable[[], None], Callable[[], None]] | None:
        if not self._requests:
            return None
        requests, self._requests = self._requests, []

        def sync() -> None:
            for each in dict.fromkeys(sync for sync, _ in requests):
                each()

        def report() -> None:
            for _, done in requests:
                self._post(done)

        return sync, report
