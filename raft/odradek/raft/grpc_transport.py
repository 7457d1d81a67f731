"""Raft's messages between processes: a gRPC stream to each peer, and a server for theirs.

Decides nothing: `greeting` judges who belongs together, `grpc_link` when to dial, `outbox` what is lost. Invariants:
`send` neither blocks nor raises; `on_peer_lost` follows each `on_peer_found` once, in the turn of the loop that learns
of the break; a node without peers neither listens nor loads gRPC (which costs 0.1 s and 13 MB).

A refusal is one log line on each side until its reason changes, and is tried again: configurations are repaired while
nodes run. Works on uvloop and on asyncio's loops, not on a virtual one: gRPC has a thread of its own.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from .core.messages import Message
from .greeting import PROTOCOL_VERSION, Address, Greeter, Hello, Refusal, Welcome
from .transport_limits import TransportLimits

if TYPE_CHECKING:
    from .grpc_link import PeerLink
    from .grpc_server import RaftServer

logger = logging.getLogger(__name__)

Batch = Sequence[tuple[int, Message]]
REFUSALS_REMEMBERED_MAX: Final = 64


class GrpcTransport:
    """Use: `await start(host, port)`, then `send`, `set_peers`, and `await stop()`; all on the loop's thread.

    `cluster_id` is asked at every greeting and may be empty until the cluster is founded. `peers` may name this node
    itself; that entry is ignored. `on_batch` gets what a peer sent, in order, as `RaftHost.receive` takes it.
    `on_peer_found` and `on_peer_lost` say whether what is sent to a peer has a way.
    """

    def __init__(
        self,
        node_id: int,
        cluster_id: Callable[[], str],
        peers: Mapping[int, Address],
        on_batch: Callable[[Batch], None],
        on_peer_lost: Callable[[int], None],
        on_peer_found: Callable[[int], None],
        limits: TransportLimits | None = None,
    ) -> None:
        self.node_id = node_id
        self.limits = limits or TransportLimits()
        self.incarnation = int.from_bytes(os.urandom(8), "big")
        self._cluster_id = cluster_id
        self._peers = _others(node_id, peers)
        self._on_batch = on_batch
        self._on_peer_lost = on_peer_lost
        self._on_peer_found = on_peer_found
        self._greeter = Greeter(node_id, self._peers)
        self._links: dict[int, PeerLink] = {}
        self._server: RaftServer | None = None
        self._address: Address | None = None
        self._refused: dict[int, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # -- for the node

    @property
    def port(self) -> int:
        """Where it listens; before that, and without peers, where it was told to."""
        assert self._address is not None, "the transport is not started"
        return self._address[1]

    @property
    def connected(self) -> tuple[int, ...]:
        """Peers that hear this node now."""
        return tuple(peer for peer, link in self._links.items() if link.is_up)

    @property
    def lost_messages(self) -> dict[int, int]:
        """By peer: what was thrown away, because it was away or did not keep up."""
        return {peer: link.lost_messages for peer, link in self._links.items()}

    async def start(self, host: str, port: int) -> None:
        """Listen, and begin to dial. Raises OSError where it cannot listen. Without peers nothing happens until
        `set_peers` brings some."""
        assert self._address is None, "the transport is started already"
        self._address = (host, port)
        if self._peers:
            await self._open()

    def send(self, to: int, batch: Batch) -> None:
        """See `Transport.send`."""
        link = self._links.get(to)
        if link is not None:
            link.send(batch)

    def set_peers(self, peers: Mapping[int, Address]) -> None:
        """Replace the peers: streams of those that are gone or have moved end soon, new ones are dialled."""
        self._peers = _others(self.node_id, peers)
        self._greeter.set_peers(self._peers)
        if self._server is not None:
            self._adjust()
        elif self._peers and self._address is not None and not self._tasks:
            self._spawn(self._open_later())

    async def stop(self) -> None:
        """End every stream. Nothing is called any more."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        links, self._links = list(self._links.values()), {}
        server, self._server = self._server, None
        await asyncio.gather(*(link.stop() for link in links))
        if server is not None:
            await server.stop()

    # -- for the links and the server

    def hello_to(self, peer: int) -> Hello:
        return Hello(PROTOCOL_VERSION, self._cluster_id(), self.node_id, self.incarnation, peer)

    def on_link_up(self, welcome: Welcome) -> None:
        peer = welcome.node_id
        self._greeter.on_link_up(peer, welcome.incarnation)
        if self._server is not None:
            source = self._server.incarnation_of(peer)
            if source is not None and not self._greeter.is_heard(peer, source):
                self._server.end_stream(peer, f"another process answers at the address of node {peer}")
        if peer in self._links:
            self._on_peer_found(peer)

    def on_link_down(self, peer: int) -> None:
        self._greeter.on_link_down(peer)
        if peer in self._links:
            self._on_peer_lost(peer)

    def on_hello(self, hello: Hello, source: str) -> Welcome | Refusal:
        cluster_id = self._cluster_id()
        refusal = self._greeter.judge(hello, cluster_id)
        link = self._links.get(hello.node_id)
        if refusal is not None:
            if refusal.redial and link is not None:
                link.redial()
            self._log_refusal(refusal, hello.node_id, source)
            return refusal
        self._refused.pop(hello.node_id, None)
        if link is not None and not link.is_up:
            link.hurry()
        return Welcome(PROTOCOL_VERSION, cluster_id, self.node_id, self.incarnation)

    def on_batch(self, batch: Batch) -> None:
        self._on_batch(batch)

    # -- streams

    async def _open(self) -> None:
        """Listen and dial. Raises OSError."""
        # Before the import, which reads it: gRPC writes to stderr whatever it finds worth mentioning.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        from .grpc_server import RaftServer

        assert self._address is not None
        server = RaftServer(self.node_id, self, self.limits)
        host, port = self._address
        self._address = (host, await server.start(host, port))
        self._server = server
        self._adjust()

    async def _open_later(self) -> None:
        """The first peers came while the node ran: a port that is taken cannot keep it from starting any more."""
        failures = 0
        while self._server is None:
            try:
                await self._open()
            except OSError as error:
                failures += 1
                if failures == 1:
                    logger.error("%s", error)
                await asyncio.sleep(self.limits.retry_ms(failures) / 1000)

    def _adjust(self) -> None:
        """Make the links fit the peers."""
        from .grpc_link import PeerLink

        for peer, link in list(self._links.items()):
            if self._peers.get(peer) != link.address:
                link.take_down()  # at once, so that the loss is told before a new link comes up
                self._spawn(link.stop())
                del self._links[peer]
        assert self._server is not None
        for peer in self._server.sources:
            if peer not in self._links:
                self._server.end_stream(peer, f"node {peer} is not among the peers of node {self.node_id}")
        for peer, address in self._peers.items():
            if peer not in self._links:
                link = self._links[peer] = PeerLink(peer, address, self, self.limits)
                link.start()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _log_refusal(self, refusal: Refusal, node_id: int, source: str) -> None:
        """One line per node until the reason changes; strangers may come with any number of ids."""
        if refusal.is_passing or self._refused.get(node_id) == refusal.sentence:
            return
        self._refused[node_id] = refusal.sentence
        while len(self._refused) > REFUSALS_REMEMBERED_MAX:
            del self._refused[next(iter(self._refused))]
        logger.error("a Raft stream from %s is refused: %s", source, refusal.sentence)


def _others(node_id: int, peers: Mapping[int, Address]) -> dict[int, Address]:
    return {peer: address for peer, address in peers.items() if peer != node_id}
