"""How often a failed piece of work is tried, and how long to wait before. Pure: `Random` is an argument.

The wait doubles (`factor`) from `first_delay_ms` up to `max_delay_ms`, and varies by `jitter` (0.2: up to a fifth
more or less), so that what failed together does not come back together.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random


class Reject(Exception):
    """Raised by a handler: this record will never succeed, do not try it again."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    max_attempts: int = 5
    first_delay_ms: int = 1_000
    factor: float = 2.0
    max_delay_ms: int = 60_000
    jitter: float = 0.2

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ValueError("max_attempts must be at least 1")
        if self.first_delay_ms < 0 or self.max_delay_ms < 0 or self.factor < 1 or not 0 <= self.jitter <= 1:
            raise ValueError("delays must not be negative, factor at least 1, jitter between 0 and 1")

    def delay_ms(self, attempts: int, error: BaseException, random: Random) -> int | None:
        """The wait after `attempts` failed attempts (1, 2, ...). None: give up."""
        assert attempts >= 1, attempts
        if attempts >= self.max_attempts or isinstance(error, Reject):
            return None
        # The exponent is bounded: a float overflows long after the greatest delay was reached.
        delay = min(self.first_delay_ms * self.factor ** min(attempts - 1, 64), self.max_delay_ms)
        return round(delay * (1 + self.jitter * (2 * random.random() - 1)))
