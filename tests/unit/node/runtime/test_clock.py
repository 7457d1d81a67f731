"""The wall clock counts milliseconds since the epoch."""

from __future__ import annotations

import time

from odradek.node.runtime.clock import wall_ms


def test_it_is_the_system_clock_in_milliseconds() -> None:
    before = int(time.time() * 1000)
    now = wall_ms()
    after = int(time.time() * 1000)
    assert before - 1 <= now <= after + 1
