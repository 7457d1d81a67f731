from __future__ import annotations

import asyncio

from tests.unit.client.patterns.memory_log import JumpingClock, StandingClock

from odradek.client.patterns.clock import SystemClock, sleep_unless


async def test_a_time_that_has_passed_is_not_waited_for() -> None:
    clock = SystemClock()
    await clock.sleep_until(0)
    before = clock.now_ms()
    await clock.sleep_until(before + 2)
    assert clock.now_ms() >= before + 2


async def test_sleep_ends_when_its_time_has_come() -> None:
    clock = JumpingClock(100)
    assert await sleep_unless(asyncio.Event(), clock, 150)
    assert clock.slept_ms == [50]


async def test_sleep_ends_when_stopped() -> None:
    stopping = asyncio.Event()
    clock = StandingClock(100)
    sleeping = asyncio.create_task(sleep_unless(stopping, clock, 150))
    await clock.fell_asleep.wait()
    stopping.set()
    assert not await sleeping
    assert not await sleep_unless(stopping, clock, 150)
