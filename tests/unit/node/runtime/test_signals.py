"""The first signal is reported and gives the second one back to the system."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from odradek.node.runtime.signals import STOP_SIGNALS, StopSignals


@pytest.mark.parametrize("number", STOP_SIGNALS)
async def test_the_first_signal_is_reported_and_the_next_would_kill(number: signal.Signals) -> None:
    with StopSignals(asyncio.get_running_loop()) as signals:
        os.kill(os.getpid(), number)
        assert await asyncio.wait_for(signals.wait(), 10) is number
        assert all(signal.getsignal(each) is signal.SIG_DFL for each in STOP_SIGNALS)
        assert await signals.wait() is number


async def test_the_old_handlers_come_back() -> None:
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    with StopSignals(asyncio.get_running_loop()):
        pass
    assert [signal.getsignal(number) for number in STOP_SIGNALS] == before


async def test_a_waiter_that_gives_up_does_not_take_the_signal_along() -> None:
    with StopSignals(asyncio.get_running_loop()) as signals:
        waiter = asyncio.ensure_future(signals.wait())
        await asyncio.sleep(0)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        os.kill(os.getpid(), signal.SIGTERM)
        assert await asyncio.wait_for(signals.wait(), 10) is signal.SIGTERM
