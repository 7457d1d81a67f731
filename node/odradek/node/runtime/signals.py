"""Signals that end a node: the first one asks, the second one does not.

Decides: which signals, and what the second one does. The default action of the system comes back with the
first signal, so a second one ends the process even if its event loop hangs."""

from __future__ import annotations

import asyncio
import signal
from typing import Final

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """Waits for the first stop signal; a context, so that the process gets its old handlers back."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._received: asyncio.Future[signal.Signals] = loop.create_future()
        self._before = {number: signal.getsignal(number) for number in STOP_SIGNALS}

    def __enter__(self) -> StopSignals:
        for number in STOP_SIGNALS:
            self._loop.add_signal_handler(number, self._on_signal, number)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            self._loop.remove_signal_handler(number)
            signal.signal(number, handler)

    async def wait(self) -> signal.Signals:
        """The first signal. May be awaited more than once."""
        return await asyncio.shield(self._received)

    def _on_signal(self, number: signal.Signals) -> None:
        for each in STOP_SIGNALS:
            self._loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_DFL)
        if not self._received.done():
            self._received.set_result(number)
