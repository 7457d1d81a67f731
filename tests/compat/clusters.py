"""Three nodes in processes of their own on loopback: Odradek, or Apache Kafka for comparison.

Decides: ports, one Kafka-style server.properties per node, start and the wait until every node serves, what is
killed, paused and started again, and how the state of the cluster is asked for. Does not decide: what is tested or
measured. Invariants: nodes keep their ports (`servers.quiet_ports`) and folders over restarts; leaving the context
kills every process, a paused one too.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from tests.compat import wire
from tests.compat.servers import HOST, Flavour, Server, ServerFailed, quiet_ports

T = TypeVar("T")
_POLL_S = 0.005
_ANSWER_S = 5.0
_TOPIC_EXISTS = 36
_MAY_BE_DONE = (7, 41)  # REQUEST_TIMED_OUT, NOT_CONTROLLER
_PASSING = (*_MAY_BE_DONE, 38)  # INVALID_REPLICATION_FACTOR: a node is not counted as alive at this moment
_PASSES_S = 60.0


def until(look: Callable[[], T | None], timeout_s: float, what: Callable[[], str] | str) -> T:
    """Ask until there is an answer other than None or False; fails with `what` when the time is up."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = look()
        if found is not None and found is not False:
            return found
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {timeout_s} s: {what if isinstance(what, str) else what()}")
        time.sleep(_POLL_S)


def make_topic(
    connection: wire.Connection,
    topic: str,
    partitions: int = 1,
    replication: int = 3,
    configs: Mapping[str, str] | None = None,
    timeout_ms: int = 30_000,
) -> None:
    """CreateTopics, again while it is refused with what passes: the controller may change meanwhile."""
    deadline = time.monotonic() + _PASSES_S
    may_be_made = False
    while True:
        outcome = wire.create_topics(
            connection, {topic: partitions}, timeout_ms, replication=replication, configs=configs
        )
        error, _ = outcome[topic]
        if error == 0 or (error == _TOPIC_EXISTS and may_be_made):
            return
        if error not in _PASSING or time.monotonic() >= deadline:
            raise ServerFailed(f"CreateTopics answered {outcome}")
        may_be_made = may_be_made or error in _MAY_BE_DONE
        time.sleep(_POLL_S)


class OdradekFromFile:
    """An Odradek node, started with a server.properties alone."""

    name = "odradek"

    def prepare(self, folder: Path, port: int, properties: Mapping[str, str]) -> None:
        """No format step: an empty folder is initialised by the node itself."""
        lines = "".join(f"{name}={value}\n" for name, value in properties.items())
        (folder / "server.properties").write_text(lines)

    def command(self, folder: Path, port: int, properties: Mapping[str, str]) -> list[str]:
        return [
            str(Path(sys.executable).parent / "odradek"),
            "start",
            "--config",
            str(folder / "server.properties"),
        ]


class Cluster:
    """`nodes` processes, ids from 1. As a context manager it kills what still runs."""

    def __init__(
        self,
        flavour: Flavour,
        folder: Path,
        nodes: int = 3,
        properties: Mapping[str, str] | None = None,
        own: Mapping[int, Mapping[str, str]] | None = None,
    ) -> None:
        """`properties` are for every node, `own` for the node of that id; both win over what is made here.

        Apache Kafka wants `ApacheKafka(alone=False)` for its flavour, Odradek `OdradekFromFile()`.
        """
        self.flavour = flavour
        self.folder = folder
        ids = range(1, nodes + 1)
        ports = quiet_ports(2 * nodes)
        self.controller_ports = dict(zip(ids, ports[nodes:]))
        self.nodes: dict[int, Server] = {}
        for node, port in zip(ids, ports):
            values = (
                self._properties_of(node, port) | dict(properties or {}) | dict((own or {}).get(node, {}))
            )
            self.nodes[node] = Server(flavour, folder / f"node{node}", values, port)

    def _properties_of(self, node: int, port: int) -> dict[str, str]:
        voters = [f"{other}@{HOST}:{dialled}" for other, dialled in self.controller_ports.items()]
        return {
            "node.id": str(node),
            "process.roles": "broker,controller",
            "controller.quorum.voters": ",".join(voters),
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{self.controller_ports[node]}",
            "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "log.dirs": str(self.folder / f"node{node}" / "data"),
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill_all()

    # -- what is asked

    @property
    def running(self) -> list[int]:
        return [node for node, server in self.nodes.items() if server.process is not None]

    @property
    def bootstrap(self) -> str:
        """The addresses of all nodes, whether they run or not."""
        return ",".join(server.bootstrap for server in self.nodes.values())

    def bootstrap_of(self, nodes: Iterable[int]) -> str:
        return ",".join(self.nodes[node].bootstrap for node in nodes)

    def view(self, topics: Sequence[str] = (), of: int | None = None) -> wire.ClusterView:
        """The cluster as one node sees it (by default the first that runs). Raises OSError, wire.Closed."""
        with self.nodes[of or self.running[0]].connect(_ANSWER_S) as connection:
            return wire.cluster_view(connection, topics)

    def maybe_view(self, topics: Sequence[str], of: int) -> wire.ClusterView | None:
        """The same, or None when the node does not answer."""
        try:
            return self.view(topics, of)
        except (OSError, wire.Closed):
            return None

    def leader_of(
        self, topic: str, partition: int = 0, besides: Collection[int] = (), timeout_s: float = 60.0
    ) -> int:
        """The leader that every running, answering node besides those names; waits for one."""

        def look() -> int | None:
            named = set()
            for node in self.running:
                view = None if node in besides else self.maybe_view([topic], node)
                named |= (
                    {part.leader for part in view.topics[topic] if part.partition == partition}
                    if view
                    else set()
                )
            (leader,) = named if len(named) == 1 else {-1}
            return None if leader == -1 or leader in besides else leader

        return until(look, timeout_s, lambda: f"a leader of {topic}-{partition}\n{self.log_tails()}")

    def controller(self, besides: Collection[int] = (), timeout_s: float = 60.0) -> int:
        """The leader of the metadata quorum, as a running node besides those says; waits for one."""

        def look() -> int | None:
            for node in self.running:
                if node in besides:
                    continue
                with (
                    contextlib.suppress(OSError, wire.Closed),
                    self.nodes[node].connect(_ANSWER_S) as connection,
                ):
                    leader = wire.quorum_leader(connection)
                    if leader != -1 and leader not in besides:
                        return leader
            return None

        return until(look, timeout_s, lambda: f"an active controller\n{self.log_tails()}")

    def await_serving(self, timeout_s: float = 120.0) -> None:
        """Every running node answers, and names all running nodes as live brokers (registered, unfenced)."""
        wanted = {(node, self.nodes[node].port) for node in self.running}
        left = set(self.running)

        def serves(node: int) -> bool:
            view = self.maybe_view([], node)
            return view is not None and wanted <= {(broker.node_id, broker.port) for broker in view.brokers}

        def look() -> bool:
            self._refuse_ended()
            left.difference_update([node for node in left if serves(node)])
            return not left

        until(look, timeout_s, lambda: f"nodes {sorted(left)} serving\n{self.log_tails()}")

    def _refuse_ended(self) -> None:
        for node in self.running:
            process = self.nodes[node].process
            if process is not None and process.poll() is not None:
                raise ServerFailed(f"node {node} ended\n{self.nodes[node].log_tail()}")

    def await_in_sync(self, topics: Mapping[str, int], size: int, timeout_s: float = 120.0) -> None:
        """Every partition of the topics has a leader, and an ISR of that size, at every running node."""

        def look() -> bool:
            for node in self.running:
                view = self.maybe_view(list(topics), node)
                if view is None:
                    return False
                for topic, count in topics.items():
                    parts = view.topics.get(topic, [])
                    if len(parts) != count or any(part.leader < 0 or len(part.isr) < size for part in parts):
                        return False
            return True

        until(look, timeout_s, lambda: f"{topics} with an ISR of {size}: {self._shown(topics)}")

    def _shown(self, topics: Iterable[str]) -> str:
        view = self.maybe_view(list(topics), self.running[0])
        return str(view)[:2000] + "\n" + self.log_tails()

    def log_tails(self, size: int = 1500) -> str:
        return "\n".join(f"-- node {node}\n{server.log_tail(size)}" for node, server in self.nodes.items())

    # -- what is done

    def start(self, nodes: Iterable[int] | None = None, timeout_s: float = 120.0) -> float:
        """Start those nodes (or all) at once and wait until the cluster serves; returns the seconds it took."""
        started = time.monotonic()
        for node in self.nodes if nodes is None else nodes:
            self.nodes[node].spawn()
        self.await_serving(timeout_s)
        return time.monotonic() - started

    def kill(self, *nodes: int) -> None:
        """SIGKILL, to all of them before any is waited for."""
        for node in nodes:
            process = self.nodes[node].process
            if process is not None:
                process.kill()
        for node in nodes:
            self.nodes[node].kill()

    def kill_all(self) -> None:
        self.kill(*self.nodes)

    def pause(self, node: int) -> None:
        """SIGSTOP: the process keeps its sockets and says nothing; all its threads stand when this returns."""
        self._signal(node, signal.SIGSTOP)
        tasks = Path(f"/proc/{self.nodes[node].pid}/task")

        def stands() -> bool:
            stats = [task.joinpath("stat").read_text() for task in tasks.iterdir()]
            return all(stat.rpartition(") ")[2].startswith("T") for stat in stats)

        until(stands, 10, f"node {node} standing still")

    def resume(self, node: int) -> None:
        self._signal(node, signal.SIGCONT)

    def _signal(self, node: int, number: signal.Signals) -> None:
        process = self.nodes[node].process
        assert process is not None, f"node {node} does not run"
        process.send_signal(number)

    def stop(self, *nodes: int, timeout_s: float = 60.0) -> None:
        """SIGTERM to those nodes (or to all that run) at once, then wait for each."""
        chosen = nodes or tuple(self.running)
        for node in chosen:
            self._signal(node, signal.SIGTERM)
        for node in chosen:
            self.nodes[node].stop(timeout_s)

    def create_topic(
        self, topic: str, partitions: int = 1, replication: int = 3, configs: Mapping[str, str] | None = None
    ) -> float:
        """Create a topic; returns the seconds until it was made. Wait for its replicas with `await_in_sync`."""
        with self.nodes[self.running[0]].connect(120.0) as connection:
            started = time.monotonic()
            make_topic(connection, topic, partitions, replication, configs, 100_000)
            return time.monotonic() - started
