import asyncio
import time

import pytest

from odradek.node.runtime import alarm as alarm_module
from odradek.node.runtime.alarm import LATE_MS, Alarm


async def test_the_earliest_announced_deadline_rings_and_the_next_one_follows() -> None:
    rung: list[int] = []
    done = asyncio.Event()

    def on_due(now_ms: int) -> int | None:
        rung.append(now_ms)
        if len(rung) == 2:
            done.set()
            return None
        return now_ms + 5

    alarm = Alarm(asyncio.get_running_loop(), on_due)
    start = alarm.monotonic_ms()
    alarm.announce(start + 60_000)
    alarm.announce(start + 5)
    alarm.announce(start + 90_000)
    await asyncio.wait_for(done.wait(), 10)
    assert start + 5 <= rung[0] <= rung[1]


async def test_a_cancelled_alarm_is_silent() -> None:
    rung: list[int] = []

    def on_due(now_ms: int) -> int | None:
        rung.append(now_ms)
        return None

    alarm = Alarm(asyncio.get_running_loop(), on_due)
    alarm.announce(alarm.monotonic_ms())
    alarm.cancel()
    await asyncio.sleep(0)
    assert rung == []


def oversleep() -> None:
    """The process is stopped, and with it the loop."""
    time.sleep(0.01 + (LATE_MS + 50) / 1000)


async def test_who_was_asleep_as_well_is_heard_before_an_alarm_that_overslept() -> None:
    """What waits in a socket takes a few turns of the loop from there to whom it concerns."""
    loop = asyncio.get_running_loop()
    told: list[str] = []
    done = asyncio.Event()

    def on_due(now_ms: int) -> int | None:
        told.append("due")
        done.set()
        return None

    def hear(turns: int) -> None:
        if turns:
            loop.call_soon(hear, turns - 1)
        else:
            told.append("heard")

    alarm = Alarm(loop, on_due)
    alarm.announce(alarm.monotonic_ms() + 10)
    loop.call_at(loop.time() + 0.02, hear, 5)
    oversleep()
    await asyncio.wait_for(done.wait(), 10)
    assert told == ["heard", "due"]


async def test_an_alarm_that_overslept_can_be_cancelled_and_set_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(alarm_module, "HEARING_S", 0.3)
    rung: list[int] = []
    alarm = Alarm(asyncio.get_running_loop(), rung.append)
    for is_cancelled in (True, False):
        alarm.announce(alarm.monotonic_ms() - LATE_MS - 50)
        for _ in range(3):
            await asyncio.sleep(0)
        if is_cancelled:
            alarm.cancel()
        alarm.announce(alarm.monotonic_ms() + 60_000 if is_cancelled else alarm.monotonic_ms())
        await asyncio.sleep(0.5)
        assert len(rung) == (0 if is_cancelled else 1)
        alarm.cancel()
