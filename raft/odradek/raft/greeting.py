"""Who may send Raft messages to this node: the judgement on a stranger's hello.

Decides whether a stream belongs here (cluster, ids, protocol), and which of two processes with one node id is the real
one; does not decide when to dial. Invariants: two nodes that both know their cluster and know different ones never
exchange a batch; of two living processes with one id, the one that answers at the id's configured address is heard, and
the other is refused for good.

How the last works: a process draws an incarnation when it starts. While our own stream to the address is up, we know
the incarnation that lives there. A hello with another one comes from a restarted node whose death we have not noticed,
or from an impostor: it is refused once and the address is dialled again. Who answers then is the node; the other
incarnation is an impostor.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

PROTOCOL_VERSION: Final = 1
SUSPECTS_MAX: Final = 16
"""Incarnations remembered per node, of each sort; the oldest is forgotten first."""

Address = tuple[str, int]
"""Host (a name, or an IPv4 or IPv6 address without brackets) and port."""


@dataclass(frozen=True, slots=True)
class Hello:
    """Who calls, and the node it expects here. `cluster_id` is empty before the cluster is founded."""

    protocol_version: int
    cluster_id: str
    node_id: int
    incarnation: int
    to: int


@dataclass(frozen=True, slots=True)
class Welcome:
    """Who answers."""

    protocol_version: int
    cluster_id: str
    node_id: int
    incarnation: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """`sentence` is for the operator. `is_passing`: it will be known in a moment whether the caller is welcome.
    `redial`: for that, end our own stream to the node and connect again, to learn who lives there now."""

    sentence: str
    is_passing: bool = False
    redial: bool = False


@dataclass(slots=True)
class _Peer:
    """`linked` is the incarnation that answered our last dial, while that stream is up. Dicts serve as ordered sets."""

    address: Address
    linked: int | None = None
    suspects: dict[int, None] = field(default_factory=dict)
    impostors: dict[int, None] = field(default_factory=dict)


class Greeter:
    """All that a node knows about the identity of its peers."""

    def __init__(self, node_id: int, peers: Mapping[int, Address]) -> None:
        self._node_id = node_id
        self._peers: dict[int, _Peer] = {}
        self.set_peers(peers)

    def set_peers(self, peers: Mapping[int, Address]) -> None:
        """Replace the peers. What is known about one that stays at its address is kept."""
        kept = self._peers
        self._peers = {
            node_id: kept[node_id] if node_id in kept and kept[node_id].address == address else _Peer(address)
            for node_id, address in peers.items()
            if node_id != self._node_id
        }

    def judge(self, hello: Hello, cluster_id: str) -> Refusal | None:
        """None: the caller is welcome. `cluster_id` is that of this node, empty if it has none yet."""
        sentence = self._misfit(hello, cluster_id)
        return Refusal(sentence) if sentence is not None else self._identify(hello)

    def on_link_up(self, node_id: int, incarnation: int) -> None:
        """`incarnation` answered at the address of the peer `node_id`."""
        peer = self._peers.get(node_id)
        if peer is None:
            return
        peer.linked = incarnation
        peer.impostors.pop(incarnation, None)
        peer.suspects.pop(incarnation, None)
        for suspect in peer.suspects:
            _remember(peer.impostors, suspect)
        peer.suspects.clear()

    def on_link_down(self, node_id: int) -> None:
        """Our stream to the peer broke: who lives at its address is open again."""
        if node_id in self._peers:
            self._peers[node_id].linked = None

    def is_heard(self, node_id: int, incarnation: int) -> bool:
        """Whether an open stream of that process may stay. Of another than the one that answers at the address it may
        not, and that process is not heard again."""
        peer = self._peers.get(node_id)
        if peer is None:
            return False
        if peer.linked is not None and peer.linked != incarnation:
            _remember(peer.impostors, incarnation)
        return incarnation not in peer.impostors

    def _misfit(self, hello: Hello, cluster_id: str) -> str | None:
        if hello.protocol_version != PROTOCOL_VERSION:
            return (
                f"node {hello.node_id} speaks version {hello.protocol_version} of the Raft protocol, "
                f"node {self._node_id} speaks version {PROTOCOL_VERSION}"
            )
        if hello.cluster_id and cluster_id and hello.cluster_id != cluster_id:
            return (
                f"node {hello.node_id} belongs to cluster {hello.cluster_id}, "
                f"node {self._node_id} to cluster {cluster_id}"
            )
        if hello.node_id == self._node_id:
            return f"node id {self._node_id} is used twice: by the caller and by the node it called"
        if hello.to != self._node_id:
            return (
                f"node {hello.node_id} looks for node {hello.to} at the address of node {self._node_id}: "
                "the voters' addresses differ between the nodes"
            )
        if hello.node_id not in self._peers:
            return f"node {hello.node_id} is not among the peers of node {self._node_id}"
        return None

    def _identify(self, hello: Hello) -> Refusal | None:
        peer = self._peers[hello.node_id]
        host, port = peer.address
        if hello.incarnation in peer.impostors:
            return Refusal(
                f"node id {hello.node_id} is used twice: another process answers at {host}:{port}, the address "
                "of that node"
            )
        if peer.linked is None or peer.linked == hello.incarnation:
            return None
        redial = hello.incarnation not in peer.suspects
        _remember(peer.suspects, hello.incarnation)
        sentence = f"node {hello.node_id} at {host}:{port} was another process until now"
        return Refusal(sentence, is_passing=True, redial=redial)


def _remember(known: dict[int, None], incarnation: int) -> None:
    known[incarnation] = None
    while len(known) > SUSPECTS_MAX:
        del known[next(iter(known))]
