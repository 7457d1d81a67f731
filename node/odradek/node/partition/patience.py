"""How long a producer is asked to send again what leaves out the batches before it.

A client has several batches under way. When the first of them is refused, or stays behind on the way from the old
leader to this one, those after it must neither be taken (a client reads the success of a later one as that of both) nor
called out of order: for librdkafka that is a reason to begin a new epoch, under which it writes once more whatever it
is not sure of, in any partition. So they are asked for again, and come in order.

Decides: which producers are asked. Does not decide: whether a batch leaves something out (`storage.producer_state`).
Invariants: without followers, and where nothing was refused, nobody is asked; and nobody for much longer than
REPEATED_WITHIN_MS after the first time and the last refusal: what is lost stays lost, and its producer has to hear so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

REPEATED_WITHIN_MS: Final = 2_000
"""A batch that was refused comes again within this time, after those that were under way behind it."""
NOBODY: Final = -1

_FORGOTTEN_AFTER_MS: Final = 60_000
_MOST: Final = 256


class Patience:
    """Of one partition. Implements `storage.producer_state.Patience`; `clock` gives monotonic ms."""

    __slots__ = ("_asked", "_clock", "_new_below", "_refused_ms")

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._new_below = NOBODY
        self._refused_ms: int | None = None
        self._asked: dict[int, tuple[int, int]] = {}  # producer id: asked first and last, oldest first

    def lead(self, epoch_start_offset: int) -> None:
        """This node leads: producers that have written nothing from there on may have left something behind at another
        leader. NOBODY: there is no other."""
        self._new_below = epoch_start_offset

    def on_refused(self) -> None:
        """A batch was sent away that may come again."""
        self._refused_ms = self._clock()

    def asks_again(self, producer_id: int, last_offset: int) -> bool:
        """`last_offset`: of the last batch of this producer in the log, -1 if there is none."""
        now = self._clock()
        is_refusing = self._refused_ms is not None and now - self._refused_ms < REPEATED_WITHIN_MS
        if not is_refusing and last_offset >= self._new_below:
            return False
        first, last = self._asked.pop(producer_id, (now, now))
        if now - last >= _FORGOTTEN_AFTER_MS:
            first = now
        self._asked[producer_id] = first, now
        if len(self._asked) > _MOST:
            del self._asked[next(iter(self._asked))]
        return is_refusing or now - first < REPEATED_WITHIN_MS
