"""The control of the proxy: one JSON object on a line asks, one answers.

    {"do": "open", "link": "7", "target": ["10.77.0.11", 9092], "behaviour": {...}}   {"port": 40123}
    {"do": "change", "link": "7", "behaviour": {...}}                                 {"counts": {...}}
    {"do": "reset", "link": "7", "deliver": true}                                     {"counts": {...}}
    {"do": "counts", "link": "7"}                                                     {"counts": {...}}
    {"do": "close", "link": "7", "deliver": true}                                     {"counts": {...}}

A command that cannot be carried out is answered with {"error": "..."}. The end of the input ends the proxy, so that
none outlives the run that started it.
Decides: what the commands mean. Does not decide: what a link does (`links`).
"""

from __future__ import annotations

import json
from typing import Any

from odradek.jepsen.proxy.behaviour import from_json
from odradek.jepsen.proxy.links import Link


class Service:
    """All links of one proxy. `address` is where they listen."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._links: dict[str, Link] = {}

    async def answer(self, line: str) -> str:
        """The answer to one command, without the end of the line."""
        try:
            asked = json.loads(line)
            told = await self._carry_out(asked)
        except (ValueError, KeyError, TypeError, AssertionError, OSError) as error:
            told = {"error": f"{type(error).__name__}: {error}"}
        return json.dumps(told, separators=(",", ":"))

    async def _carry_out(self, asked: dict[str, Any]) -> dict[str, Any]:
        what, name = asked["do"], str(asked["link"])
        if what == "open":
            if name in self._links:
                raise ValueError(f"link {name} is open")
            host, port = asked["target"]
            link = Link((host, int(port)), from_json(asked["behaviour"]))
            told = {"port": await link.open(self._address)}
            self._links[name] = link
            return told
        link = self._links[name]
        if what == "change":
            link.change(from_json(asked["behaviour"]))
        elif what == "reset":
            link.reset(deliver=bool(asked.get("deliver")))
        elif what == "close":
            del self._links[name]
            return {"counts": await link.close(deliver=bool(asked.get("deliver")))}
        elif what != "counts":
            raise ValueError(f"nothing is called {what}")
        return {"counts": link.counts()}

    async def close(self) -> None:
        """Every link, at once."""
        while self._links:
            await self._links.popitem()[1].close(deliver=False)
