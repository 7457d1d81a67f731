"""One event-loop timer for any number of deadlines: the shell side of "the next deadline is a query"."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

LATE_MS: Final = 100
HEARING_S: Final = 0.02


class Alarm:
    """Calls `on_due(now_ms)` on the loop when the earliest announced deadline has come.

    `on_due` returns the next deadline in ms, or None for none. Times are those of `monotonic_ms`.

    An alarm that is late by more than LATE_MS has slept through it: the process was stopped, or starved. So have those
    who were to act before the deadline, or their messages wait to be read. They are heard first.
    """

    __slots__ = ("_at_ms", "_handle", "_loop", "_on_due")

    def __init__(self, loop: asyncio.AbstractEventLoop, on_due: Callable[[int], int | None]) -> None:
        self._loop = loop
        self._on_due = on_due
        self._handle: asyncio.TimerHandle | None = None
        self._at_ms = 0

    def monotonic_ms(self) -> int:
        return int(self._loop.time() * 1000)

    def announce(self, deadline_ms: int | None) -> None:
        """There is a deadline; does nothing when an earlier one is set already."""
        if deadline_ms is None or (self._handle is not None and self._at_ms <= deadline_ms):
            return
        if self._handle is not None:
            self._handle.cancel()
        self._at_ms = deadline_ms
        self._handle = self._loop.call_at(deadline_ms / 1000, self._fire)

    def cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _fire(self) -> None:
        if self.monotonic_ms() - self._at_ms > LATE_MS:
            self._handle = self._loop.call_later(HEARING_S, self._ring)
        else:
            self._ring()

    def _ring(self) -> None:
        self._handle = None
        # Why max: loop timers may fire a fraction of a millisecond early, and would then find nothing due.
        self.announce(self._on_due(max(self.monotonic_ms(), self._at_ms)))
