"""Bookkeeping of parked requests: produces until their offset is below the high watermark, fetches until there are
bytes. Pure: time is an argument, whoever parks gets told by the returned values, never called back from here.

One wake-up answers: an advance of the high watermark completes every produce whose offset it passes, and names each
parked fetch of that partition once. Adding and removing cost a few dictionary operations.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Generic, TypeVar

W = TypeVar("W")
P = TypeVar("P")


class OffsetWaiters(Generic[W]):
    """Those of one partition that wait for an offset to be passed, in the order of their appends."""

    __slots__ = ("_queue",)

    def __init__(self) -> None:
        self._queue: deque[tuple[int, W]] = deque()

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, end_offset: int, waiter: W) -> None:
        """`waiter` is done when the high watermark reaches `end_offset`.

        A duplicate of an earlier batch waits with the newest: the order of the queue is what makes it cheap.
        """
        if self._queue:
            end_offset = max(end_offset, self._queue[-1][0])
        self._queue.append((end_offset, waiter))

    def advance(self, high_watermark: int) -> list[W]:
        """Take out whoever waited for no more than `high_watermark`."""
        queue = self._queue
        passed: list[W] = []
        while queue and queue[0][0] <= high_watermark:
            passed.append(queue.popleft()[1])
        return passed

    def clear(self) -> list[W]:
        """Take out everyone: the replica cannot serve them any more."""
        everyone = [waiter for _, waiter in self._queue]
        self._queue.clear()
        return everyone


class PartitionWatchers(Generic[P, W]):
    """Who wants to hear of an advance of which partitions; each watcher watches many, each partition has many."""

    __slots__ = ("_by_partition", "_partitions_of")

    def __init__(self) -> None:
        self._by_partition: dict[P, dict[W, None]] = {}
        self._partitions_of: dict[W, tuple[P, ...]] = {}

    def __len__(self) -> int:
        return len(self._partitions_of)

    def add(self, watcher: W, partitions: Iterable[P]) -> None:
        watched = tuple(partitions)
        self._partitions_of[watcher] = watched
        for partition in watched:
            self._by_partition.setdefault(partition, {})[watcher] = None

    def discard(self, watcher: W) -> None:
        for partition in self._partitions_of.pop(watcher, ()):
            watchers = self._by_partition.get(partition)
            if watchers is not None and watcher in watchers:
                del watchers[watcher]
                if not watchers:
                    del self._by_partition[partition]

    def of(self, partition: P) -> list[W]:
        watchers = self._by_partition.get(partition)
        return list(watchers) if watchers else []
