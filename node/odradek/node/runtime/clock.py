"""The wall clock: the one place that reads it for timestamps of records.

Everything that decides by time takes `now_ms` as an argument; shells pass this function on.
"""

from __future__ import annotations

import time


def wall_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000
