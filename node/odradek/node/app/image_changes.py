"""Waiting for the cluster's metadata to change: a use case that has to try again does so when there is a reason."""

from __future__ import annotations

import asyncio


class ImageChanges:
    def __init__(self) -> None:
        self._next: asyncio.Future[None] | None = None

    def announce(self) -> None:
        """There is a new image."""
        waiting, self._next = self._next, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    async def wait(self, timeout_s: float) -> None:
        """Return with the next image, or when the time is up."""
        if self._next is None or self._next.done():
            self._next = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.shield(self._next)
        except TimeoutError:
            return
