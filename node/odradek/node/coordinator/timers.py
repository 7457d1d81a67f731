"""Deadlines by key, made for deadlines that are pushed back far more often than they are met.

A session deadline moves with every heartbeat. Moving one later is a dictionary write: its place in the heap
stays, and when that place comes up the key goes back in at its true deadline. Only a deadline that moves
earlier costs a push.

Pure: time is an argument. Invariant: every key in `_deadline_of` has a heap entry no later than its deadline,
so `next_deadline_ms` may be early (a wake-up that finds nothing due) and is never late.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Timers(Generic[K]):
    """At most one deadline per key, in ms of the monotonic clock."""

    __slots__ = ("_deadline_of", "_heap", "_sequence", "_slot_of")

    def __init__(self) -> None:
        self._deadline_of: dict[K, int] = {}
        self._slot_of: dict[K, int] = {}
        self._heap: list[tuple[int, int, K]] = []
        self._sequence = 0

    def __len__(self) -> int:
        return len(self._deadline_of)

    def set(self, key: K, deadline_ms: int) -> None:
        self._deadline_of[key] = deadline_ms
        slot_ms = self._slot_of.get(key)
        if slot_ms is None or deadline_ms < slot_ms:
            self._push(key, deadline_ms)

    def deadline_of(self, key: K) -> int | None:
        return self._deadline_of.get(key)

    def cancel(self, key: K) -> None:
        # The heap entry stays behind until its time comes; `_slot_of` keeps it usable if the key returns.
        self._deadline_of.pop(key, None)

    def clear(self) -> None:
        self._deadline_of.clear()
        self._slot_of.clear()
        self._heap.clear()

    @property
    def next_deadline_ms(self) -> int | None:
        """When to look again; None when nothing is set. Drops what was cancelled from the front."""
        heap = self._heap
        while heap:
            slot_ms, _, key = heap[0]
            if key in self._deadline_of and self._slot_of.get(key) == slot_ms:
                return slot_ms
            self._drop_front()
        return None

    def pop_due(self, now_ms: int) -> K | None:
        """Remove and return the earliest key whose deadline is at or before `now_ms`; None when there is
        none.
        """
        heap = self._heap
        while heap and heap[0][0] <= now_ms:
            slot_ms, _, key = self._drop_front()
            deadline_ms = self._deadline_of.get(key)
            if deadline_ms is None or self._slot_of.get(key, slot_ms) < slot_ms:
                continue
            if deadline_ms > now_ms:
                if key not in self._slot_of:
                    self._push(key, deadline_ms)
                continue
            del self._deadline_of[key]
            return key
        return None

    def _push(self, key: K, deadline_ms: int) -> None:
        self._sequence += 1
        self._slot_of[key] = deadline_ms
        heapq.heappush(self._heap, (deadline_ms, self._sequence, key))

    def _drop_front(self) -> tuple[int, int, K]:
        entry = heapq.heappop(self._heap)
        if self._slot_of.get(entry[2]) == entry[0]:
            del self._slot_of[entry[2]]
        return entry
