"""The wall clock of one simulated machine: off by a skew, and stepped now and then. Only records carry it."""

from __future__ import annotations

from tests.sim.loop import Scheduler

EPOCH_MS = 1_750_000_000_000
"""When every run begins."""


class WallClock:
    """Milliseconds since the epoch, as this machine believes."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.offset_ms = 0
        self._scheduler = scheduler

    def now_ms(self) -> int:
        return EPOCH_MS + self._scheduler.now_ms + self.offset_ms

    def step(self, by_ms: int) -> None:
        """Somebody sets the clock."""
        self.offset_ms += by_ms
