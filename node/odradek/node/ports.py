"""What a node takes from the world: disk, group commit, wall clock, chance, and consensus between nodes.

Decides only what production uses; a simulation gives others. Time itself and the sockets are those of the event
loop. Everything here is made before the node exists, so nothing below `broker` can reach around it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from odradek.node.runtime.clock import wall_ms
from odradek.raft.core.messages import Message
from odradek.storage.disk import Disk
from odradek.storage.flusher import FlusherFactory
from odradek.storage.os_disk import OsDisk
from odradek.storage.ring_flusher import ring_or_thread

Address = tuple[str, int]
Batch = Sequence[tuple[int, Message]]
"""What one node sends another in one turn: messages with the number of their Raft group."""


class RaftTransport(Protocol):
    """A Raft `Transport` between processes, with a life."""

    @property
    def port(self) -> int:
        """Where it listens, once started."""

    async def start(self, host: str, port: int) -> None:
        """Listen, and begin to connect to the peers. Raises OSError where it cannot listen."""

    def send(self, to: int, batch: Batch) -> None:
        """See `odradek.raft.ports.Transport.send`."""

    async def stop(self) -> None: ...


class RaftTransportFactory(Protocol):
    def __call__(
        self,
        node_id: int,
        cluster_id: Callable[[], str],
        peers: Mapping[int, Address],
        on_batch: Callable[[Batch], None],
        on_peer_lost: Callable[[int], None],
        on_peer_found: Callable[[int], None],
    ) -> RaftTransport:
        """`cluster_id` may be empty until the cluster is founded. The callables are called on the loop."""


@dataclass(frozen=True, slots=True)
class NodePorts:
    """`open_disk` takes the number of files to keep open. `is_threaded`: syncs of Raft may use threads."""

    open_disk: Callable[[int], Disk]
    flusher: FlusherFactory
    wall_ms: Callable[[], int]
    random: Random
    raft_transport: RaftTransportFactory
    is_threaded: bool = True


def system_ports(loop: asyncio.AbstractEventLoop) -> NodePorts:
    """The real ones."""
    return NodePorts(OsDisk, ring_or_thread(loop), wall_ms, Random(os.urandom(16)), _grpc_transport)


def _grpc_transport(
    node_id: int,
    cluster_id: Callable[[], str],
    peers: Mapping[int, Address],
    on_batch: Callable[[Batch], None],
    on_peer_lost: Callable[[int], None],
    on_peer_found: Callable[[int], None],
) -> RaftTransport:
    # Why here: a node on its own never loads gRPC.
    from odradek.raft.grpc_transport import GrpcTransport

    return GrpcTransport(node_id, cluster_id, peers, on_batch, on_peer_lost, on_peer_found)
