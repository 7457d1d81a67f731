"""The cluster under test: nodes in namespaces on images, and what is asked of it.

Decides: where a run's things lie, their set-up and their end, and how the state of the cluster is looked up. Does not
decide: how a node is run (`node`), nor what happens to the cluster.
Invariants: `cluster` leaves nothing on the machine, whatever ends it, but for the logs and settings of the nodes.

Nodes are asked from within their own namespaces, as an operator logged in there would: faults of the network between
nodes and clients, and the proxy, do not reach these questions.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType

from odradek.jepsen.db import control_groups, leftovers, network, requests
from odradek.jepsen.db.image import LoopImage
from odradek.jepsen.db.node import Flavour, ServerNode, await_starts
from odradek.jepsen.db.odradek import CLIENT, GRPC
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.metadata import MetadataResponse
from odradek.proto.kafka.messages.raft import DescribeQuorumResponse
from odradek.proto.kafka.messages.topics import CreateTopicsResponse
from odradek.proto.kafka.schema import Message

_POLL_S = 0.02
_APART_S = 0.5
_ANSWER_S = 1.0
_FIRST_ANSWER_S = 5.0  # of a node that has just started, when all start at once on few cores
_METADATA, _QUORUM, _CREATE = 7, 0, 5
#: Answers to CreateTopics after which to ask again: nobody has tried yet, or nobody knows.
_ASK_AGAIN = {
    ErrorCode.NOT_CONTROLLER,
    ErrorCode.REQUEST_TIMED_OUT,
    ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.INVALID_REPLICATION_FACTOR,  # too few brokers are alive yet
}


class TopicRefused(ValueError):
    """The cluster does not create that topic; the message holds its answer."""


class ServerCluster:
    """`ports.Cluster`."""

    def __init__(self, flavour: Flavour, net: network.Network, nodes: Mapping[int, ServerNode]) -> None:
        self._flavour = flavour
        self._network = net
        self._nodes = MappingProxyType(dict(nodes))

    @property
    def nodes(self) -> Mapping[int, ServerNode]:
        return self._nodes

    @property
    def clients(self) -> network.Host:
        return self._network.clients

    @property
    def proxy(self) -> network.Host:
        return self._network.proxy

    @property
    def flavour(self) -> str:
        return self._flavour.name

    @property
    def ports(self) -> Mapping[str, int]:
        return self._flavour.ports

    @property
    def bootstrap(self) -> str:
        return ",".join(f"{node.address}:{self.ports[CLIENT]}" for node in self.nodes.values())

    @property
    def grpc(self) -> str:
        if GRPC not in self.ports:
            return ""
        return ",".join(f"{node.address}:{self.ports[GRPC]}" for node in self.nodes.values())

    # -- what is done

    def start(self, timeout_s: float = 180.0) -> float:
        """Start all nodes at once and wait until they serve; returns the seconds it took (JVMs on few cores: many)."""
        started = time.monotonic()
        for node in self.nodes.values():
            node.spawn()
        self.await_serving(timeout_s=timeout_s)
        return time.monotonic() - started

    def kill_all(self) -> None:
        for node in self.nodes.values():
            node.kill()

    def create_topic(
        self,
        topic: str,
        partitions: int = 1,
        replication: int = 3,
        configs: Mapping[str, str] | None = None,
        timeout_s: float = 30.0,
    ) -> None:
        """Create a topic, and wait until all nodes that answer name leaders of all its partitions.

        Raises TopicRefused, TimeoutError. A topic of that name that is already there is an error only at the first try.
        """
        deadline = time.monotonic() + timeout_s
        request = requests.create_request(topic, partitions, replication, configs or {}, timeout_s)
        for attempt, node in enumerate(self._round_robin(deadline, f"the creation of {topic}")):
            try:
                answer = self.ask(node, request, _CREATE, CreateTopicsResponse, deadline - time.monotonic())
            except OSError:
                continue
            (told,) = answer.topics
            code = ErrorCode(told.error_code)
            if code is ErrorCode.NONE or (attempt and code is ErrorCode.TOPIC_ALREADY_EXISTS):
                break
            if code not in _ASK_AGAIN:
                raise TopicRefused(f"{topic}: {code.name} {told.error_message or ''}")
        self._until(
            lambda: self._all_led({topic: partitions}),
            deadline,
            lambda: f"no leaders of {topic} everywhere",
        )

    # -- what is asked

    def ask(
        self,
        node: int,
        message: Message,
        version: int,
        expected: type[requests.M],
        timeout_s: float = _ANSWER_S,
    ) -> requests.M:
        """Any Kafka request to one node. Raises OSError when there is no answer in time."""
        asked = self.nodes[node]
        address = (asked.address, self.ports[CLIENT])
        return requests.ask(asked.namespace, address, message, version, expected, max(timeout_s, 0.001))

    def ask_all(
        self,
        message: Message,
        version: int,
        expected: type[requests.M],
        nodes: Iterable[int] | None = None,
        timeout_s: float = _ANSWER_S,
    ) -> dict[int, requests.M]:
        """The answers of all nodes (or those), asked at once; one that is down, paused or silent has none."""

        def one(node: int) -> requests.M | None:
            with contextlib.suppress(OSError):
                return self.ask(node, message, version, expected, timeout_s)
            return None

        asked = [node for node in self.nodes if nodes is None or node in nodes]
        asked = [node for node in asked if self.nodes[node].pid is not None and not self.nodes[node].paused]
        if not asked:
            return {}
        with ThreadPoolExecutor(len(asked)) as pool:
            answers = dict(zip(asked, pool.map(one, asked)))
        return {node: answer for node, answer in answers.items() if answer is not None}

    def view(self, topics: Sequence[str]) -> dict[int, dict[str, requests.Seen]]:
        """By node that answers: the partitions of these topics by key, as it sees them."""
        answers = self.ask_all(requests.metadata_request(topics), _METADATA, MetadataResponse)
        return {node: requests.seen(answer) for node, answer in answers.items()}

    def leader_of(self, key: str) -> int | None:
        views = self.view([key.rpartition("/")[0]]).values()
        found = requests.newest(view[key] for view in views if key in view)
        return None if found is None or found.leader < 0 else found.leader

    def controller(self) -> int | None:
        answers = self.ask_all(requests.quorum_request(), _QUORUM, DescribeQuorumResponse)
        return requests.quorum_leader(answers.values())

    def _all_led(self, topics: Mapping[str, int]) -> bool:
        """As every node says that answers; False when none does."""
        views = self.view(list(topics))
        return bool(views) and all(requests.all_in_sync(view, topics, 1) for view in views.values())

    def in_sync(self, topics: Mapping[str, int], size: int) -> bool:
        """As every single node says; False when one of them does not answer."""
        return self._whole_view(topics, size) is not None

    def _whole_view(
        self, topics: Mapping[str, int], size: int
    ) -> Mapping[int, Mapping[str, requests.Seen]] | None:
        views = self.view(list(topics))
        everyone = len(views) == len(self.nodes)
        return (
            views if everyone and all(requests.all_in_sync(v, topics, size) for v in views.values()) else None
        )

    def await_in_sync(self, topics: Mapping[str, int], size: int, timeout_s: float = 60.0) -> None:
        """Until all nodes serve and say so, twice and half a second apart the same.

        One look may still show what was before a fault. Raises TimeoutError with what the nodes say, at once when a
        node has ended.
        """
        deadline = time.monotonic() + timeout_s
        self.await_serving(timeout_s=timeout_s)

        def look() -> bool:
            before = self._whole_view(topics, size)
            if before is None:
                return False
            time.sleep(_APART_S)
            return self._whole_view(topics, size) == before

        self._until(look, deadline, lambda: str(self.view(list(topics))))

    def await_serving(self, nodes: Sequence[int] | None = None, timeout_s: float = 60.0) -> None:
        """Raises TimeoutError at once when one of them has ended."""
        wanted = set(self.nodes if nodes is None else nodes)
        left = set(wanted)

        def look() -> bool:
            ended = [node for node in left if self.nodes[node].pid is None]
            if ended:
                status = {node: self.nodes[node].exit_status for node in ended}
                raise TimeoutError(f"nodes do not run (exit status {status})\n{self.log_tails(ended)}")
            request = requests.metadata_request([])
            answers = self.ask_all(request, _METADATA, MetadataResponse, left, _FIRST_ANSWER_S)
            for node, answer in answers.items():
                if wanted <= {broker.node_id for broker in answer.brokers}:
                    left.discard(node)
            return not left

        self._until(
            look, time.monotonic() + timeout_s, lambda: f"{sorted(left)} do not serve\n{self.log_tails(left)}"
        )

    def log_tails(self, nodes: Iterable[int] | None = None, size: int = 2000) -> str:
        chosen = self.nodes if nodes is None else sorted(nodes)
        return "\n".join(f"-- node {node}\n{self.nodes[node].log_tail(size)}" for node in chosen)

    def _until(self, look: Callable[[], bool], deadline: float, what: Callable[[], str]) -> None:
        while not look():
            if time.monotonic() > deadline:
                raise TimeoutError(what())
            time.sleep(_POLL_S)

    def _round_robin(self, deadline: float, what: str) -> Iterator[int]:
        while True:
            for node in self.nodes:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{what}: no answer that counts")
                if self.nodes[node].pid is not None and not self.nodes[node].paused:
                    yield node
            time.sleep(_POLL_S)


@contextlib.contextmanager
def cluster(
    flavour: Flavour, nodes: int, folder: Path, tag: str, image_mib: int = 128
) -> Iterator[ServerCluster]:
    """A cluster that is set up and not started, with its things in `folder`/node<id>; at the end it is taken down.

    Logs and settings stay, images go. Raises TagTaken when a living run uses the tag, OSError when the machine does not
    do its part.
    """
    made: list[ServerNode] = []
    with claimed_network(nodes, folder, tag) as net:
        try:
            addresses = {node: host.address for node, host in net.nodes.items()}
            for node, host in net.nodes.items():
                own = folder.resolve() / f"node{node}"
                image = LoopImage(own / leftovers.IMAGE, own / leftovers.MOUNT_POINT, image_mib)
                made.append(ServerNode(node, host, own, image, flavour, addresses))
                image.create()
                image.mount()
            yield ServerCluster(flavour, net, {node.id: node for node in made})
        finally:
            with leftovers.uninterrupted():
                await_starts()
                for one in made:
                    one.kill()


@contextlib.contextmanager
def claimed_network(nodes: int, folder: Path, tag: str) -> Iterator[network.Network]:
    """The namespaces of a cluster with nothing in them, after a sweep; what is made below the folder goes too."""
    leftovers.sweep()
    control_groups.sweep()
    net = network.plan(tag, nodes)
    with leftovers.claimed(tag, folder):
        network.set_up(net)
        yield net
