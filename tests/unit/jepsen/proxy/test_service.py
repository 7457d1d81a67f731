"""Commands and their answers; a command that makes no sense is answered, and ends nothing."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.unit.jepsen.proxy.loopback import Target
from tests.unit.jepsen.proxy.requests_made import answer, request

from odradek.jepsen.proxy.behaviour import Behaviour, Pace, same, to_json
from odradek.jepsen.proxy.service import Service


async def _ask(service: Service, **asked: Any) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(await service.answer(json.dumps(asked)))
    return told


async def test_the_life_of_a_link() -> None:
    service = Service("127.0.0.1")
    async with Target() as target:
        opened = await _ask(
            service, do="open", link="7", target=target.address, behaviour=to_json(Behaviour())
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", opened["port"])
        writer.write(request(1, 5))
        assert await reader.readexactly(len(answer(5))) == answer(5)
        changed = await _ask(service, do="change", link="7", behaviour=to_json(same(Pace(delay_ms=1.0))))
        assert changed["counts"]["open"] == 1
        assert (await _ask(service, do="counts", link="7"))["counts"]["connections"] == 1
        assert "counts" in await _ask(service, do="reset", link="7", deliver=True)
        closed = await _ask(service, do="close", link="7", deliver=True)
        assert closed["counts"]["open"] == 0
        assert "KeyError" in (await _ask(service, do="counts", link="7"))["error"]


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "[]",
        "{}",
        '{"do": "fly", "link": "1"}',
        '{"do": "open", "link": "2", "target": ["127.0.0.1", 1], "behaviour": {"drop_every": 1}}',
        '{"do": "open", "link": "2", "target": ["127.0.0.1", 1], "behaviour": {"speed": 1}}',
        '{"do": "open", "link": "1", "target": ["127.0.0.1", 1], "behaviour": {}}',
    ],
)
async def test_what_cannot_be_done_is_said(line: str) -> None:
    service = Service("127.0.0.1")
    await _ask(service, do="open", link="1", target=["127.0.0.1", 1], behaviour={})
    assert json.loads(await service.answer(line))["error"]
    assert "counts" in await _ask(service, do="counts", link="1")
    await service.close()
