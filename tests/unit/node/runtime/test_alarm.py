import asyncio

from odradek.node.runtime.alarm import Alarm


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
