"""What the workers of the gRPC door have in common.

Decides: the names of errors (see `outcomes`), and how an asyncio program runs until it is told to stop.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Final

from odradek.client.errors import ClosedError, DeliveryTimeoutError, OdradekError

_LOOK_S: Final = 0.1


def error_name(error: BaseException) -> str:
    """Its reason, or its status; or the name of its class, if it is none of the client's own."""
    if isinstance(error, DeliveryTimeoutError):
        return "DELIVERY_TIMEOUT" if error.is_unknown else "DELIVERY_TIMEOUT_NOT_WRITTEN"
    if isinstance(error, ClosedError):
        return "CLOSED"
    return error.reason if isinstance(error, OdradekError) else type(error).__name__


async def sleep(seconds: float, stopping: threading.Event) -> None:
    """Sleep, but not for long once it is time to stop."""
    while seconds > 0 and not stopping.is_set():
        await asyncio.sleep(min(seconds, _LOOK_S))
        seconds -= _LOOK_S


async def within(seconds: float, work: Coroutine[Any, Any, Any]) -> None:
    """Do it, or give up after so long. Errors of clients that are being closed are nobody's."""
    try:
        async with asyncio.timeout(seconds):
            await work
    except (TimeoutError, OdradekError):
        pass
