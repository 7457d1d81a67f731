"""Percentiles of many latencies in little memory. Pure.

Buckets grow by 2%, so that a percentile is that exact, however many values there were."""

from __future__ import annotations

from math import ceil, exp, floor, log
from typing import Any, Final

_GROWTH: Final = log(1.02)
_SMALLEST_MS: Final = 0.001

PERCENTILES: Final = (50.0, 95.0, 99.0, 99.9)


class Latencies:
    """Values in milliseconds."""

    def __init__(self) -> None:
        self._buckets: dict[int, int] = {}
        self.count = 0
        self.total_ms = 0.0
        self.max_ms = 0.0

    def add(self, latency_ms: float, times: int = 1) -> None:
        bucket = floor(log(max(latency_ms, _SMALLEST_MS)) / _GROWTH)
        self._buckets[bucket] = self._buckets.get(bucket, 0) + times
        self.count += times
        self.total_ms += latency_ms * times
        self.max_ms = max(self.max_ms, latency_ms)

    def percentile(self, percent: float) -> float:
        """The value that so many percent are not above; 0 if there are none."""
        wanted = ceil(self.count * percent / 100)
        seen = 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= wanted:
                return min(exp((bucket + 0.5) * _GROWTH), self.max_ms)
        return 0.0

    def summary(self) -> dict[str, Any]:
        """Average, percentiles and maximum in ms, as a verb prints them."""
        named = {
            f"p{percent:g}".replace(".", "_") + "_ms": self.percentile(percent) for percent in PERCENTILES
        }
        average = self.total_ms / self.count if self.count else 0.0
        values = {"average_ms": average, **named, "max_ms": self.max_ms}
        return {name: round(value, 3) for name, value in values.items()}
