"""What waits for partitions to change: a parked fetch, and the watch that a fetch session keeps on its partitions.

A session's watch lives as long as the session, parked fetch or not: it notes which partitions changed, so that the
next request visits only those. It decides which change is worth a wake-up; what is read then is `fetch`'s.
"""

from __future__ import annotations

from typing import Final, Protocol, cast

from odradek.node.app.fetch_command import FetchCommand, FetchResult
from odradek.node.partition.fetch_session import FetchPartition, FetchPlan, FetchSession
from odradek.node.partition.replicas import FetchWaiter, Partition
from odradek.node.partition.waiters import ADVANCED, APPENDED, BROKEN, STARTED, PartitionWatchers
from odradek.node.runtime.deferred import Deferred

_WAKES_CONSUMER: Final = ADVANCED | BROKEN
_WAKES_FOLLOWER: Final = APPENDED | BROKEN


class Retries(Protocol):
    """`FetchService`."""

    def retry(self, pending: PendingFetch) -> None: ...
    def forget(self, pending: PendingFetch) -> None: ...


class PendingFetch:
    """A parked fetch. `watch` is its session's; without a session it watches by itself."""

    __slots__ = (
        "_service",
        "_tells_at_once",
        "_wakes",
        "command",
        "deferred",
        "found_bytes",
        "is_broken",
        "must_tell",
        "plan",
        "watch",
    )

    def __init__(
        self,
        service: Retries,
        command: FetchCommand,
        plan: FetchPlan,
        watch: SessionWatch | None,
        tells_high_watermark_at_once: bool,
    ) -> None:
        self._service = service
        self.command = command
        self.plan = plan
        self.watch = watch
        self.found_bytes = 0
        """At the last look."""
        self.is_broken = False
        """Since the last look a partition became something else."""
        self.must_tell = False
        """There is something to say without records."""
        is_follower = command.replica_id >= 0
        self._wakes = _WAKES_FOLLOWER if is_follower else _WAKES_CONSUMER
        # A follower hears of deleted records at once, because whoever deleted them waits for it.
        self._tells_at_once = 0
        if is_follower:
            self._tells_at_once = STARTED | ADVANCED if tells_high_watermark_at_once else STARTED
        self.deferred: Deferred[FetchResult] = Deferred(on_abandon=self._abandon)

    def added_bytes(self) -> int:
        """At most what became readable since the last look."""
        partitions = self.plan.partitions if self.watch is None else list(self.watch.session.dirty)
        is_follower = self.command.replica_id >= 0
        added = 0
        for asked in partitions:
            readable = asked.readable
            if readable is not None:
                ever = readable.appended_bytes if is_follower else readable.visible_bytes
                added += ever - asked.seen_bytes
        return added

    def on_change(self, partition: Partition, change: int) -> bool:
        """See `FetchWaiter`."""
        if change & BROKEN:
            self.is_broken = True
        if change & self._tells_at_once:
            self.must_tell = True
        return bool(change & (self._wakes | self._tells_at_once))

    def wake(self) -> None:
        """See `FetchWaiter`."""
        if not self.deferred.done:
            self._service.retry(self)

    def _abandon(self) -> None:
        self._service.forget(self)


class SessionWatch:
    """Keeps `session.dirty` up to date."""

    __slots__ = ("_asked", "_watchers", "parked", "session")

    def __init__(self, session: FetchSession, watchers: PartitionWatchers[Partition, FetchWaiter]) -> None:
        self.session = session
        self.parked: PendingFetch | None = None
        self._watchers = watchers
        self._asked: dict[Partition, FetchPartition] = {}

    def track(self, asked: FetchPartition) -> None:
        """`asked` was looked at: hear of changes of what it was found to be."""
        partition = cast(Partition | None, asked.readable)
        if partition is not None and partition not in self._asked:
            self._asked[partition] = asked
            self._watchers.add(self, (partition,))

    def drop(self, asked: FetchPartition) -> None:
        """It is in the session no longer."""
        partition = cast(Partition | None, asked.readable)
        if partition is not None and self._asked.get(partition) is asked:
            self._let_go(partition)

    def close(self) -> None:
        """The session has ended."""
        self._watchers.discard(self)
        self._asked.clear()

    def on_change(self, partition: Partition, change: int) -> bool:
        """See `FetchWaiter`."""
        asked = self._asked[partition]
        self.session.dirty[asked] = None
        if partition.is_closed:
            self._let_go(partition)
        return self.parked is not None and self.parked.on_change(partition, change)

    def wake(self) -> None:
        """See `FetchWaiter`."""
        if self.parked is not None:
            self.parked.wake()

    def _let_go(self, partition: Partition) -> None:
        del self._asked[partition]
        self._watchers.remove(self, partition)
