"""Time, as a port: tests let it pass without waiting."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    def now_ms(self) -> int:
        """Since 1970, as record timestamps."""

    async def sleep_until(self, at_ms: int) -> None: ...


class SystemClock:
    def now_ms(self) -> int:
        return int(time.time() * 1000)

    async def sleep_until(self, at_ms: int) -> None:
        """A clock that is set back meanwhile makes it longer, never shorter."""
        left_ms = at_ms - self.now_ms()
        while left_ms > 0:
            await asyncio.sleep(left_ms / 1000)
            left_ms = at_ms - self.now_ms()


async def sleep_unless(stopping: asyncio.Event, clock: Clock, until_ms: int) -> bool:
    """Sleep until then; False: `stopping` was set before."""
    if until_ms > clock.now_ms() and not stopping.is_set():
        waits = [
            asyncio.ensure_future(clock.sleep_until(until_ms)),
            asyncio.ensure_future(stopping.wait()),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
    return not stopping.is_set()
