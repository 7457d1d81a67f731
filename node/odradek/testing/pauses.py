"""Waiting that ends with the broker. One for each life of a node."""

from __future__ import annotations

import asyncio


class Pauses:
    """Use on one event loop: `sleep`, and `end` when the node stops."""

    def __init__(self) -> None:
        self._ended = asyncio.Event()

    async def sleep(self, seconds: float) -> bool:
        """True when the time is over, False when the broker stops before."""
        if seconds <= 0:
            return not self._ended.is_set()
        try:
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        except TimeoutError:
            return True
        return False

    def end(self) -> None:
        """Whoever sleeps wakes up, and nobody sleeps any more."""
        self._ended.set()
