"""Bookkeeping of parked requests: produces until their offset is safe, fetches until there is something to read.
Pure: time is an argument, whoever parks gets told by the returned values, never called back from here.

One wake-up answers: an advance completes every produce whose offset it passes, and names each watcher of the
partition once. Adding and removing cost a few dictionary operations; a partition that nobody waits for holds nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final, Generic, TypeVar

W = TypeVar("W")
P = TypeVar("P")

# What may have happened to a watched partition; bits, because several things may in one turn of the loop.
APPENDED: Final = 1
"""There are new records, not yet below the high watermark: what followers wait for."""
ADVANCED: Final = 2
"""The high watermark moved: what consumers wait for."""
STARTED: Final = 4
"""The log starts later than before."""
BROKEN: Final = 8
"""It is not what it was: deleted, offline, led by another, or with another leader epoch."""


class OffsetWaiters(Generic[W]):
    """Those of one partition that wait for an offset to be passed, in the order of their appends."""

    __slots__ = ("_queue",)

    def __init__(self) -> None:
        # Why lazy: a deque takes 600 bytes, and there are two for each of thousands of partitions.
        self._queue: deque[tuple[int, W]] | None = None

    def __len__(self) -> int:
        return len(self._queue) if self._queue else 0

    def add(self, end_offset: int, waiter: W) -> None:
        """`waiter` is done when the high watermark reaches `end_offset`.

        A duplicate of an earlier batch waits with the newest: the order of the queue is what makes it cheap.
        """
        queue = self._queue
        if queue is None:
            queue = self._queue = deque()
        elif queue:
            end_offset = max(end_offset, queue[-1][0])
        queue.append((end_offset, waiter))

    def advance(self, high_watermark: int) -> list[W]:
        """Take out whoever waited for no more than `high_watermark`."""
        queue = self._queue
        passed: list[W] = []
        while queue and queue[0][0] <= high_watermark:
            passed.append(queue.popleft()[1])
        return passed

    def clear(self) -> list[W]:
        """Take out everyone: the replica cannot serve them any more."""
        everyone = [waiter for _, waiter in self._queue or ()]
        self._queue = None
        return everyone


class PartitionWatchers(Generic[P, W]):
    """Who wants to hear of changes of which partitions; each watcher watches many, each partition has many."""

    __slots__ = ("_by_partition", "_partitions_of")

    def __init__(self) -> None:
        self._by_partition: dict[P, dict[W, None]] = {}
        self._partitions_of: dict[W, dict[P, None]] = {}

    def __len__(self) -> int:
        return len(self._partitions_of)

    def add(self, watcher: W, partitions: Iterable[P]) -> None:
        watched = self._partitions_of.setdefault(watcher, {})
        for partition in partitions:
            watched[partition] = None
            self._by_partition.setdefault(partition, {})[watcher] = None

    def remove(self, watcher: W, partition: P) -> None:
        """It watches this one no longer."""
        watched = self._partitions_of.get(watcher)
        if watched is not None and partition in watched:
            del watched[partition]
            self._forget(partition, watcher)
            if not watched:
                del self._partitions_of[watcher]

    def discard(self, watcher: W) -> None:
        for partition in self._partitions_of.pop(watcher, ()):
            self._forget(partition, watcher)

    def _forget(self, partition: P, watcher: W) -> None:
        watchers = self._by_partition[partition]
        del watchers[watcher]
        if not watchers:
            del self._by_partition[partition]

    def has(self, partition: P) -> bool:
        """Whether anybody watches it."""
        return partition in self._by_partition

    def of(self, partition: P) -> list[W]:
        watchers = self._by_partition.get(partition)
        return list(watchers) if watchers else []
