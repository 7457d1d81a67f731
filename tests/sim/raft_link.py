"""Raft's messages between simulated nodes: each batch may be lost, late, doubled or overtaken.

That is less than a stream gives and all that Raft asks for. A broken connection is noticed as with a stream: when a
process ends, the others hear of it (unless its machine lost its power or a link is cut), and when it is back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.sim.network import Machine, Network

from odradek.node.ports import Address, Batch

OnSend = Callable[[int, int, Batch], None]


@dataclass
class RaftDirectory:
    """Who listens for Raft where, now; and who wants to see every batch that is sent (from, to, batch)."""

    network: Network
    on_send: OnSend | None = None
    links: dict[Address, RaftLink] = field(default_factory=dict)

    def on_process_end(self, machine: Machine) -> None:
        """A process is gone; tell those that can be told."""
        gone = [link for link in self.links.values() if link.machine is machine]
        for link in gone:
            del self.links[link.address]
        for link in gone:
            for other in self.links.values():
                self._tell(machine, other, other.on_peer_lost, link.node_id)

    def on_start(self, started: RaftLink) -> None:
        self.links[started.address] = started
        for other in self.links.values():
            if other is not started:
                self._tell(started.machine, other, other.on_peer_found, started.node_id)
                self._tell(other.machine, started, started.on_peer_found, other.node_id)

    def _tell(self, source: Machine, other: RaftLink, hear: Callable[[int], None], node_id: int) -> None:
        if source.has_power:
            self.network.send(source, other.machine, lambda: hear(node_id))


class RaftLink:
    """See `RaftTransport`."""

    def __init__(
        self,
        directory: RaftDirectory,
        machine: Machine,
        node_id: int,
        peers: Mapping[int, Address],
        on_batch: Callable[[Batch], None],
        on_peer_lost: Callable[[int], None],
        on_peer_found: Callable[[int], None],
    ) -> None:
        self.machine = machine
        self.node_id = node_id
        self.address: Address = (machine.address, 0)
        self.on_batch = on_batch
        self.on_peer_lost = on_peer_lost
        self.on_peer_found = on_peer_found
        self._directory = directory
        self._peers = dict(peers)

    @property
    def port(self) -> int:
        return self.address[1]

    async def start(self, host: str, port: int) -> None:
        """See `RaftTransport.start`."""
        self.address = (self.machine.address, port or self.machine.free_port())
        self._directory.on_start(self)

    def set_peers(self, peers: Mapping[int, Address]) -> None:
        self._peers = dict(peers)

    def send(self, to: int, batch: Batch) -> None:
        """See `Transport.send`."""
        directory = self._directory
        if directory.on_send is not None:
            directory.on_send(self.node_id, to, batch)
        address = self._peers.get(to)
        target = None if address is None else directory.network.machines.get(address[0])
        if target is None or address is None:
            return

        def deliver() -> None:
            link = directory.links.get(address)
            if link is not None:
                link.on_batch(batch)

        directory.network.send(self.machine, target, deliver)

    async def stop(self) -> None:
        """See `RaftTransport.stop`."""
        if self._directory.links.get(self.address) is self:
            del self._directory.links[self.address]
            for other in self._directory.links.values():
                self._directory._tell(self.machine, other, other.on_peer_lost, self.node_id)
