"""Waiting for a change: all who wait hear of it, and nobody waits for ever."""

from __future__ import annotations

import asyncio

from odradek.node.app.image_changes import ImageChanges

LONG_S = 600.0


async def test_a_change_wakes_all_who_wait() -> None:
    changes = ImageChanges()
    waiting = [asyncio.create_task(changes.wait(LONG_S)) for _ in range(3)]
    await asyncio.sleep(0)
    changes.announce()
    await asyncio.gather(*waiting)
    late = asyncio.create_task(changes.wait(LONG_S))
    await asyncio.sleep(0)
    assert not late.done()
    changes.announce()
    changes.announce()
    await late


async def test_when_the_time_is_up() -> None:
    changes = ImageChanges()
    await changes.wait(0)
    await changes.wait(-1)
    changes.announce()


async def test_one_who_gives_up_does_not_take_the_others_along() -> None:
    changes = ImageChanges()
    waiting = [asyncio.create_task(changes.wait(LONG_S)) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    assert waiting[0].cancelled() and not waiting[1].done()
    changes.announce()
    await waiting[1]
