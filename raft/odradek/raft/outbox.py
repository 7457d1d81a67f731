"""What waits to leave for one peer: a queue with a limit in bytes and one in messages.

Decides what is lost when the peer does not keep up: the oldest. Raft copes with every loss; the newest messages carry
the term, the commit index and the position that the leader believes in now, while the oldest have been given up by
their sender long ago. Order is kept among those that leave. Does not decide when something is sent.
"""

from collections import deque
from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class _Waiting(NamedTuple, Generic[T]):
    weight: int
    since_ms: int
    item: T


class Outbox(Generic[T]):
    """`bytes_max` and `items_max` bound what waits. `lost` counts what was thrown away since the start."""

    def __init__(self, bytes_max: int, items_max: int) -> None:
        assert bytes_max > 0 and items_max > 0, (bytes_max, items_max)
        self.lost = 0
        self._bytes_max = bytes_max
        self._items_max = items_max
        self._waiting: deque[_Waiting[T]] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def waiting_bytes(self) -> int:
        return self._bytes

    def put(self, item: T, weight: int, now_ms: int) -> None:
        """`weight` in bytes. An item heavier than the whole outbox is lost itself."""
        if weight > self._bytes_max:
            self.lost += 1
            return
        self._waiting.append(_Waiting(weight, now_ms, item))
        self._bytes += weight
        while self._bytes > self._bytes_max or len(self._waiting) > self._items_max:
            self._drop_first()

    def take(self, bytes_max: int) -> Sequence[T]:
        """The oldest items of together at most `bytes_max`, but one at least; nothing if nothing waits."""
        taken: list[T] = []
        waiting = self._waiting
        while waiting and (not taken or waiting[0].weight <= bytes_max):
            first = waiting.popleft()
            self._bytes -= first.weight
            bytes_max -= first.weight
            taken.append(first.item)
        return taken

    def drop_older(self, since_ms: int) -> None:
        """Lose what was put before `since_ms`: nobody waits for it any more."""
        while self._waiting and self._waiting[0].since_ms < since_ms:
            self._drop_first()

    def clear(self) -> None:
        """Lose everything."""
        self.lost += len(self._waiting)
        self._waiting.clear()
        self._bytes = 0

    def _drop_first(self) -> None:
        self._bytes -= self._waiting.popleft().weight
        self.lost += 1
