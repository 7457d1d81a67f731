"""A link counts its connections, and leaves none."""

from __future__ import annotations

import pytest
from tests.unit.jepsen.proxy.loopback import Target
from tests.unit.jepsen.proxy.requests_made import answer, request

from odradek.jepsen.proxy.behaviour import Behaviour
from odradek.jepsen.proxy.links import Link


async def _asked(port: int) -> object:
    import asyncio

    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request(1, 1))
    assert await reader.readexactly(len(answer(1))) == answer(1)
    return reader, writer


async def test_reset_ends_the_connections_of_now_and_no_later_ones() -> None:
    async with Target() as target:
        link = Link(target.address, Behaviour())
        port = await link.open("127.0.0.1")
        first = await _asked(port)
        assert link.counts()["open"] == 1
        link.reset(deliver=False)
        await target.ends.get()
        second = await _asked(port)
        assert first is not second and link.counts()["connections"] == 2
        assert (await link.close(deliver=True))["open"] == 0
        await target.ends.get()
        with pytest.raises(OSError):
            await _asked(port)
