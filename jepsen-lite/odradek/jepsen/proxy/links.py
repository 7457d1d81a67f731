"""The links of the proxy: a listening port each, and what its connections share.

Decides: what becomes of the connections when a link changes or goes. Does not decide: who asks for it (`service`).
"""

from __future__ import annotations

import asyncio

from odradek.jepsen.proxy.behaviour import Behaviour
from odradek.jepsen.proxy.exchange import LinkState
from odradek.jepsen.proxy.relay import Conduit, End

#: How long the closing of a link waits for late requests and replays that arrive because it closes.
CLOSE_TIMEOUT_S = 2.0


class Link:
    """From a port of the proxy to a target."""

    def __init__(self, target: tuple[str, int], behaviour: Behaviour) -> None:
        self._target = target
        self._state = LinkState(behaviour)
        self._server: asyncio.Server | None = None
        self._conduits: set[Conduit] = set()
        self._none_left = asyncio.Event()
        self._ordinal = 0

    async def open(self, address: str) -> int:
        """Listens. Returns the port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, address, 0, backlog=512)
        return int(self._server.sockets[0].getsockname()[1])

    def _accept(self) -> End:
        self._ordinal += 1
        self._state.counts["connections"] += 1
        conduit = Conduit(self._state, self._ordinal, self._target, self._on_closed)
        self._conduits.add(conduit)
        return conduit.client

    def _on_closed(self, conduit: Conduit) -> None:
        self._conduits.discard(conduit)
        if not self._conduits:
            self._none_left.set()

    def change(self, behaviour: Behaviour) -> None:
        """For new connections, and for those that can; the others are reset."""
        self._state.change(behaviour)
        for conduit in list(self._conduits):
            if not conduit.change():
                self._state.counts["reset_by_change"] += 1

    def reset(self, *, deliver: bool) -> None:
        """All connections of now. With `deliver`, what was held back arrives at once, without its client."""
        for conduit in list(self._conduits):
            if deliver:
                conduit.release()
            else:
                conduit.abort()

    def counts(self) -> dict[str, int]:
        """What happened so far, and `open`: the connections of now."""
        return {**self._state.counts, "open": len(self._conduits)}

    async def close(self, *, deliver: bool) -> dict[str, int]:
        """No connection is left. With `deliver`, what was held back arrives first, now. Returns the last counts."""
        if self._server is not None:
            self._server.close()
        if deliver and self._conduits:
            self._none_left.clear()
            for conduit in list(self._conduits):
                conduit.release()
            try:
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await self._none_left.wait()
            except TimeoutError:
                self._state.counts["not_ended_in_time"] += len(self._conduits)
        for conduit in list(self._conduits):
            conduit.end()
        return self.counts()
