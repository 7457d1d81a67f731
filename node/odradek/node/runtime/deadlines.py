"""Many deadlines, one timer: what is due by when, in buckets of a few milliseconds.

Pure (time is an argument). Parked requests nearly always end before their deadline, so adding and removing must be
one dictionary operation each and leave nothing behind: a heap of 30 s produce deadlines would hold millions.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

GRANULARITY_MS = 8


class Deadlines(Generic[K]):
    """Items with a deadline in ms; an item is due at the end of its bucket, at most GRANULARITY_MS late."""

    __slots__ = ("_bucket_of", "_buckets", "_order")

    def __init__(self) -> None:
        self._buckets: dict[int, dict[K, None]] = {}
        self._bucket_of: dict[K, int] = {}
        self._order: list[int] = []  # heap of bucket numbers; may name buckets that are gone

    def __len__(self) -> int:
        return len(self._bucket_of)

    def add(self, item: K, deadline_ms: int) -> None:
        number = -(-deadline_ms // GRANULARITY_MS)
        bucket = self._buckets.get(number)
        if bucket is None:
            bucket = self._buckets[number] = {}
            heapq.heappush(self._order, number)
        bucket[item] = None
        self._bucket_of[item] = number

    def discard(self, item: K) -> None:
        number = self._bucket_of.pop(item, None)
        if number is not None:
            bucket = self._buckets[number]
            del bucket[item]
            if not bucket:
                del self._buckets[number]

    def next_deadline_ms(self) -> int | None:
        while self._order:
            if self._order[0] in self._buckets:
                return self._order[0] * GRANULARITY_MS
            heapq.heappop(self._order)
        return None

    def pop_due(self, now_ms: int) -> list[K]:
        """Remove and return what is due, earliest first, in the order it was added."""
        due: list[K] = []
        while (deadline_ms := self.next_deadline_ms()) is not None and deadline_ms <= now_ms:
            bucket = self._buckets.pop(heapq.heappop(self._order))
            for item in bucket:
                del self._bucket_of[item]
            due.extend(bucket)
        return due
