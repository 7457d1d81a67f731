"""Real brokers on simulated machines: started, stopped, killed, frozen, cut off from power, and started again.

Decides what a node is given (`NodePorts`: disk, syncs, clock, chance, Raft's transport) and how it is configured. The
node itself is `odradek.node.broker.Broker`, unchanged. A node that gives up (its disk failed, its configuration is
refused) has ended; starting it again is the caller's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from tests.sim.clocks import WallClock
from tests.sim.disk import DelayedSyncer, SimDisk
from tests.sim.loop import HostLoop, Scheduler
from tests.sim.network import Machine, Network
from tests.sim.raft_link import RaftDirectory, RaftLink

from odradek.node import quorum as quorum_module
from odradek.node.broker import Broker
from odradek.node.config import NodeConfig
from odradek.node.ports import Address, Batch, NodePorts
from odradek.raft import host as raft_host
from odradek.raft.host import HostSettings

if TYPE_CHECKING:
    import pytest

    from odradek.raft.group import RaftGroup

CLIENT_PORT = 9092
RAFT_PORT = 9093
DATA = "data"

NewRandom = Callable[[str], Random]
"""A stream of chance of its own for each concern, from the seed of the run."""


def install(patch: pytest.MonkeyPatch | Patches, raft: Mapping[str, Any]) -> None:
    """Give Raft, in all nodes, syncs that take time, and small limits, so that snapshots and new files happen."""
    patch.setattr(raft_host, "InlineSyncer", _syncer)
    patch.setattr(quorum_module, "HostSettings", partial(HostSettings, **raft))


def _syncer(post: Callable[[Callable[[], None]], None], on_failure: Callable[[Any], None]) -> DelayedSyncer:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, HostLoop) and loop.machine is not None
    return DelayedSyncer(loop.machine.disk, post, on_failure)


class Patches:
    """`setattr`s that are undone: the part of pytest's monkeypatch that is needed where there is no pytest."""

    def __init__(self) -> None:
        self._undo: list[tuple[Any, str, Any]] = []

    def setattr(self, target: Any, name: str, value: Any) -> None:
        self._undo.append((target, name, target.__dict__[name]))
        setattr(target, name, value)

    def undo(self) -> None:
        while self._undo:
            setattr(*self._undo.pop())


class Node:
    """One node: its machine and disk stay, its process comes and goes."""

    def __init__(self, cluster: Cluster, node_id: int, machine: Machine) -> None:
        self.node_id = node_id
        self.machine = machine
        self.clock = WallClock(cluster.scheduler)
        self.disk = machine.disk = SimDisk(cluster.new_random(f"disk {node_id}"))
        self.broker: Broker | None = None
        self.is_started = False
        """`Broker.start` has returned."""
        self.incarnation = 0
        self.is_rotten = False
        """Bits of what it had synced have flipped."""
        self.last_end = "never started"
        self._cluster = cluster

    def __repr__(self) -> str:
        return f"node {self.node_id}"

    @property
    def is_running(self) -> bool:
        return self.machine.loop is not None

    @property
    def address(self) -> Address:
        return self.machine.address, CLIENT_PORT

    def leads_something(self) -> bool:
        """A Raft group or a partition is led here, as far as this node knows."""
        if self.broker is None:
            return False
        groups: dict[int, RaftGroup] = self.broker._quorum._host._groups
        opened = self.broker._services.replicas.opened().values()
        return any(group.is_leader for group in groups.values()) or any(
            partition.replica.is_leader for partition in opened
        )

    def is_controller(self) -> bool:
        """The active one, as far as this node knows."""
        if self.broker is None:
            return False
        metadata = self.broker._quorum._host._groups.get(quorum_module.METADATA_GROUP)
        return metadata is not None and bool(metadata.is_leader)

    # -- life and death

    def start(self) -> None:
        """A process begins; it is ready some time later."""
        assert not self.is_running, f"{self} runs already"
        cluster = self._cluster
        if self.disk.has_failed_sync:
            self.disk.reboot()
        self.incarnation += 1
        name = f"{self}.{self.incarnation}"
        loop = HostLoop(
            cluster.scheduler, name, random=cluster.new_random(name), lateness_us=cluster.lateness_us
        )
        loop.owner = self
        self.machine.boot(loop)
        loop.call_soon(self._launch, loop)

    def _launch(self, loop: HostLoop) -> None:
        loop.create_task(self._main(loop))

    async def _main(self, loop: HostLoop) -> None:
        try:
            broker = self.broker = Broker(self._cluster.config(self), self._ports())
            failed = loop.create_task(broker.failed())
            started = loop.create_task(broker.start())
            await asyncio.wait([started, failed], return_when=asyncio.FIRST_COMPLETED)
            if started.done():
                started.result()
                self.is_started = True
            reason: BaseException = await failed
        except Exception as error:  # the boundary of the process: it ends, and the run judges why
            reason = error
        self._cluster.on_node_failure(self, reason)
        self._cluster.scheduler.after(0, partial(self._end_if, loop, repr(reason)))

    def _end_if(self, loop: HostLoop, reason: str) -> None:
        if self.machine.loop is loop:
            self._end(reason, power_cut=False)

    def kill(self) -> None:
        """SIGKILL: what was written is in the page cache, connections are closed by the kernel."""
        self._end("killed", power_cut=False)

    def cut_power(self) -> None:
        """What was not synced may be gone, and nobody is told anything."""
        self._end("power cut", power_cut=True)
        self.disk.reboot()

    def stop(self) -> None:
        """SIGTERM: the node ends by itself, as soon as it can."""
        loop, broker = self.machine.loop, self.broker
        if loop is None or broker is None or not self.is_started:
            self.kill()
            return

        async def end() -> None:
            await broker.stop()
            self._cluster.scheduler.after(0, partial(self._end_if, loop, "stopped"))

        loop.call_soon(lambda: loop.create_task(end()))

    def freeze(self) -> None:
        """SIGSTOP."""
        if self.machine.loop is not None:
            self.machine.loop.freeze()

    def thaw(self) -> None:
        """SIGCONT."""
        if self.machine.loop is not None:
            self.machine.loop.thaw()

    def _end(self, how: str, *, power_cut: bool) -> None:
        self.last_end = how
        self._cluster.on_process_end(self)
        self.machine.end_process(power_cut=power_cut)
        self._cluster.raft.on_process_end(self.machine)
        self.disk.release_locks()
        self.broker = None
        self.is_started = False

    def _ports(self) -> NodePorts:
        cluster = self._cluster

        def transport(
            node_id: int,
            cluster_id: Callable[[], str],
            peers: Mapping[int, Address],
            on_batch: Callable[[Batch], None],
            on_peer_lost: Callable[[int], None],
            on_peer_found: Callable[[int], None],
        ) -> RaftLink:
            return RaftLink(cluster.raft, self.machine, node_id, peers, on_batch, on_peer_lost, on_peer_found)

        return NodePorts(
            open_disk=lambda _: self.disk,
            flusher=self.disk.flusher,
            wall_ms=self.clock.now_ms,
            random=cluster.new_random(f"process {self.node_id}.{self.incarnation}"),
            raft_transport=transport,
            is_threaded=False,
        )


class Cluster:
    """The nodes of one run."""

    def __init__(
        self,
        scheduler: Scheduler,
        network: Network,
        new_random: NewRandom,
        size: int,
        settings: Mapping[str, str],
        lateness_us: int = 0,
    ) -> None:
        self.scheduler = scheduler
        self.network = network
        self.new_random = new_random
        self.lateness_us = lateness_us
        self.raft = RaftDirectory(network)
        self.on_node_failure: Callable[[Node, BaseException], None] = lambda node, reason: None
        self.on_process_end: Callable[[Node], None] = lambda node: None
        self._settings = dict(settings)
        self.nodes = [Node(self, number, network.add(f"node {number}")) for number in range(1, size + 1)]

    def config(self, node: Node) -> NodeConfig:
        """What stands in a node's properties file."""
        voters = [f"{each.node_id}@{each.machine.address}:{RAFT_PORT}" for each in self.nodes]
        own = {
            "process.roles": "broker,controller",
            "node.id": str(node.node_id),
            "log.dirs": DATA,
            "listeners": f"PLAINTEXT://{node.machine.address}:{CLIENT_PORT},"
            f"CONTROLLER://{node.machine.address}:{RAFT_PORT}",
            "controller.listener.names": "CONTROLLER",
            "controller.quorum.voters": ",".join(voters),
            "broker.rack": self.rack_of(node.node_id),
        }
        return NodeConfig({**own, **self._settings})

    @staticmethod
    def rack_of(node_id: int) -> str:
        return f"rack{node_id % 3}"

    @property
    def racks(self) -> list[str]:
        return sorted({self.rack_of(node.node_id) for node in self.nodes})

    def running(self) -> list[Node]:
        return [node for node in self.nodes if node.is_running]

    def nodes_in_words(self) -> list[str]:
        return [
            f"{node}: {'serving' if node.is_started else 'starting' if node.is_running else node.last_end}"
            for node in self.nodes
        ]
