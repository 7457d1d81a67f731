"""A network inside one process: for tests, for simulation, and for trying things out.
 Decides which messages arrive: all of them, in order, unless a link is cut. Invariant: a message is delivered
from the event loop, never from inside `send`.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from .core.messages import Message


class Receiver(Protocol):
    """A `RaftHost`."""

    node_id: int

    def receive(self, batch: Sequence[tuple[int, Message]]) -> None:
        """Take messages, each with its group id."""


class MemoryNetwork:
    """The transport of all its hosts: pass it to each, and `connect` each once it has started."""

    def __init__(self, delay_ms: int = 0) -> None:
        self.delay_ms = delay_ms
        self._hosts: dict[int, Receiver] = {}
        self._cut: set[tuple[int, int]] = set()

    def connect(self, host: Receiver) -> None:
        """Deliver to `host` from now on; it replaces an earlier host of the same node."""
        self._hosts[host.node_id] = host

    def disconnect(self, node_id: int) -> None:
        """Lose what is sent to this node."""
        self._hosts.pop(node_id, None)

    def cut(self, *sides: set[int]) -> None:
        """Lose what is sent between the sides, until `mend`."""
        self._cut = {
            (a, b) for one in sides for other in sides if one is not other for a in one for b in other
        }

    def mend(self) -> None:
        """Lose nothing any more."""
        self._cut = set()

    def send(self, to: int, batch: Sequence[tuple[int, Message]]) -> None:
        """See `Transport.send`."""
        asyncio.get_running_loop().call_later(self.delay_ms / 1000, self._deliver, to, tuple(batch))

    def _deliver(self, to: int, batch: Sequence[tuple[int, Message]]) -> None:
        host = self._hosts.get(to)
        if host is not None and (batch[0][1].sender, to) not in self._cut:
            host.receive(batch)
