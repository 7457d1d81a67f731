"""How much is due: operations at an even rate, without catching up for long.

Decides: how many operations may begin now. Times are ns of one monotonic clock, handed in.
"""

from __future__ import annotations

from typing import Final

_NS: Final = 1_000_000_000
_BURST_S: Final = 0.1


class Pace:
    """`rate` operations a second; what was not used of the last tenth of a second may be made up for."""

    def __init__(self, rate: float, now: int) -> None:
        if rate <= 0:
            raise ValueError(f"a rate of {rate} operations a second")
        self._rate = rate
        self._burst = max(1.0, rate * _BURST_S)
        self._tokens = 1.0
        self._then = now

    def due(self, now: int) -> int:
        """How many may begin now, if none of those due before was left out: tell by `take` how many did."""
        self._tokens = min(self._burst, self._tokens + (now - self._then) * self._rate / _NS)
        self._then = now
        return int(self._tokens)

    def take(self, count: int) -> None:
        self._tokens -= count

    def wait_s(self) -> float:
        """Until one is due, in seconds; at least 0."""
        return max(0.0, (1.0 - self._tokens) / self._rate)
