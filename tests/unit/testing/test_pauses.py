"""Sleeping that ends with the broker."""

import asyncio

from odradek.testing.pauses import Pauses


async def test_a_pause_ends_by_itself() -> None:
    pauses = Pauses()
    assert await pauses.sleep(0.001)
    assert await pauses.sleep(0)


async def test_whoever_sleeps_is_woken_by_the_end_and_nobody_sleeps_after_it() -> None:
    pauses = Pauses()
    sleeping = asyncio.create_task(pauses.sleep(1000))
    await asyncio.sleep(0)
    pauses.end()
    assert not await asyncio.wait_for(sleeping, 10)
    assert not await pauses.sleep(1000)
    assert not await pauses.sleep(0)
