"""Transports over real sockets: free ports, a record of what they say, and nodes that are started and stopped."""

import asyncio
from collections.abc import Callable, Sequence

from tests.compat.servers import quiet_ports

from odradek.raft.core.messages import Heartbeat, Message
from odradek.raft.greeting import Address
from odradek.raft.grpc_transport import GrpcTransport
from odradek.raft.transport_limits import TransportLimits

LOOPBACK = "127.0.0.1"
LIMITS = TransportLimits(retry_first_ms=10, retry_max_ms=50)


def free_ports(count: int) -> list[int]:
    """Such that nobody takes them before they are bound, or while their node is down."""
    return quiet_ports(count)


def addresses(*node_ids: int) -> dict[int, Address]:
    return {
        node_id: (LOOPBACK, port) for node_id, port in zip(node_ids, free_ports(len(node_ids)), strict=True)
    }


class Record:
    """What a transport told its owner, and a way to wait for it."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.messages: list[tuple[int, Message]] = []
        self.batches = 0
        self._news = asyncio.Event()

    def on_batch(self, batch: Sequence[tuple[int, Message]]) -> None:
        self.batches += 1
        self.messages.extend(batch)
        self.ring()

    def on_found(self, peer: int) -> None:
        self.note(f"found {peer}")

    def on_lost(self, peer: int) -> None:
        self.note(f"lost {peer}")

    def note(self, event: str) -> None:
        self.events.append(event)
        self.ring()

    def ring(self) -> None:
        """Whoever waits looks again."""
        self._news.set()

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            self._news.clear()
            await self._news.wait()

    async def heard(self, event: str, times: int = 1) -> None:
        await self.until(lambda: self.events.count(event) >= times)


class Node:
    """A transport, and the record of it."""

    def __init__(
        self,
        node_id: int,
        peers: dict[int, Address],
        cluster_id: str = "abc",
        limits: TransportLimits = LIMITS,
    ) -> None:
        self.record = Record()
        self.cluster_id = cluster_id
        self.greetings = 0
        self.address = peers[node_id]
        self.transport = GrpcTransport(
            node_id,
            self._name_cluster,
            peers,
            self.record.on_batch,
            self.record.on_lost,
            self.record.on_found,
            limits,
        )

    def _name_cluster(self) -> str:
        self.greetings += 1
        self.record.ring()
        return self.cluster_id

    async def greets(self, times: int) -> None:
        """Until it has greeted so many times more, as caller or callee."""
        wanted = self.greetings + times
        await self.record.until(lambda: self.greetings >= wanted)

    async def __aenter__(self) -> "Node":
        await self.transport.start(*self.address)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.transport.stop()

    def say(self, to: int, term: int) -> None:
        self.transport.send(to, [(0, Heartbeat(self.transport.node_id, to, term, 0))])

    def terms(self) -> list[int]:
        """Of what was heard."""
        return [message.term for _, message in self.record.messages]

    async def hears(self, term: int) -> None:
        await self.record.until(lambda: term in self.terms())
