"""The nemesis: what goes wrong in a run, drawn from its seed.

The mix is random itself (swarm testing): each seed picks some of the kinds and how often they strike, and some seeds
have none, because faults that never stop keep a cluster from ever reaching the deeper states. `heal` ends everything
that is wrong, and from then on the cluster has to converge.

A disk that lies (bits flip in what was synced) is given to one node at most; everything else may meet all of them.
Source: reliability reference 7.3, N1 to N8.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from random import Random

from tests.sim.cluster import Cluster, Node
from tests.sim.disk import DiskHealth
from tests.sim.loop import SECOND_US
from tests.sim.network import Weather
from tests.sim.verdict import Verdict

_RESTART_US = (50_000, 4_000_000)
_CUT_US = [(100_000, 1_500_000), (2_500_000, 6_000_000)]
"""How long a link is cut: shorter than a session, or longer."""


class Nemesis:
    """Strikes from `start` to `heal`."""

    def __init__(
        self, cluster: Cluster, verdict: Verdict, random: Random, others: Sequence[Callable[[Node], None]]
    ) -> None:
        """`others`: kinds of faults that are not the cluster's."""
        self.is_over = False
        self._cluster = cluster
        self._verdict = verdict
        self._random = random
        kinds: list[Callable[[Node], None]] = [
            self.kill,
            self.cut_power,
            self.stop,
            self.freeze,
            self.isolate,
            self.cut_one_way,
            self.deafen,
            self.split,
            self.reset_connections,
            self.bad_weather,
            self.slow_disk,
            self.fail_syncs,
            self.fill_disk,
            self.step_clock,
            self.kill_all,
            self.cut_power_everywhere,
            self.hold_one_connection,
            self.rot,
            *others,
        ]
        self.is_calm = random.random() < 0.1
        self.kinds = [] if self.is_calm else random.sample(kinds, random.randint(1, 6))
        self.every_us = random.choice([500_000, 1_200_000, 2_500_000])

    def start(self) -> None:
        if self.kinds:
            self._cluster.scheduler.after(self._random.randrange(self.every_us), self._strike)

    def _strike(self) -> None:
        if self.is_over:
            return
        random = self._random
        kind = random.choice(self.kinds)
        node = self._victim()
        self._verdict.count(f"fault {kind.__name__}")
        kind(node)
        self._cluster.scheduler.after(random.randrange(1, 2 * self.every_us), self._strike)

    def _victim(self) -> Node:
        """Anybody, or somebody who leads something."""
        nodes, random = self._cluster.nodes, self._random
        if random.random() < 0.5:
            leading = [node for node in nodes if node.leads_something()]
            if leading:
                return random.choice(leading)
        return random.choice(nodes)

    def heal(self) -> None:
        """Nothing is wrong any more: all links, disks and nodes are well."""
        self.is_over = True
        cluster = self._cluster
        cluster.network.mend()
        cluster.network.weather = Weather()
        for node in cluster.nodes:
            node.disk.health = DiskHealth()
            node.thaw()
            if not node.is_running:
                self._start_soon(node, 100_000)

    def on_node_failure(self, node: Node) -> None:
        """A node has ended by itself: somebody starts it again, with a disk that works."""
        node.disk.health = DiskHealth()
        self._start_soon(node)

    # -- processes

    def kill(self, node: Node) -> None:
        if node.is_running:
            node.kill()
            self._start_soon(node)

    def cut_power(self, node: Node) -> None:
        if node.machine.has_power:
            node.cut_power()
            self._start_soon(node)

    def stop(self, node: Node) -> None:
        if node.is_running:
            node.stop()
            self._start_soon(node, 5 * SECOND_US)

    def kill_all(self, _: Node) -> None:
        for node in self._cluster.nodes:
            self.kill(node)

    def cut_power_everywhere(self, _: Node) -> None:
        for node in self._cluster.nodes:
            self.cut_power(node)

    def freeze(self, node: Node) -> None:
        node.freeze()
        self._later((10_000, 6_000_000), node.thaw)

    def _start_soon(self, node: Node, delay_us: int | None = None) -> None:
        def start() -> None:
            if not node.is_running:
                node.start()

        self._cluster.scheduler.after(delay_us or self._random.randint(*_RESTART_US), start)

    # -- the network

    def isolate(self, node: Node) -> None:
        """From the other nodes, not from clients: what it takes in meanwhile nobody else has."""
        for other in self._cluster.nodes:
            if other is not node:
                self._cut(node, other)
                self._cut(other, node)
        self._later(self._random.choice(_CUT_US), self._cluster.network.mend)

    def cut_one_way(self, node: Node) -> None:
        for other in self._cluster.nodes:
            if other is not node and self._random.random() < 0.7:
                self._cut(node, other) if self._random.random() < 0.5 else self._cut(other, node)
        self._later((100_000, 6_000_000), self._cluster.network.mend)

    def deafen(self, node: Node) -> None:
        """It hears nothing from the active controller, which hears it: what it asks for is done, unknown to it."""
        for other in self._cluster.nodes:
            if other is not node and other.is_controller():
                self._cut(other, node)
        self._later((20_000, 3_000_000), self._cluster.network.mend)

    def split(self, node: Node) -> None:
        """Clients too are on one side or the other."""
        network, random = self._cluster.network, self._random
        machines = list(network.machines.values())
        side = {machine.name for machine in machines if random.random() < 0.5} | {node.machine.name}
        for one in machines:
            for other in machines:
                if (one.name in side) != (other.name in side):
                    network.cut(one, other)
        self._later((100_000, 4_000_000), network.mend)

    def reset_connections(self, node: Node) -> None:
        network = self._cluster.network
        for machine in list(network.machines.values()):
            network.reset_some(node.machine, machine, 0.5)

    def hold_one_connection(self, node: Node) -> None:
        """Whatever is on its way in one direction of one connection comes late: one request or one answer."""
        transports = list(node.machine.transports.values())
        if transports:
            transport = self._random.choice(transports)
            pipe = self._random.choice([transport.out, transport.peer.out])
            pipe.hold(self._random.randint(100_000, 8_000_000))

    def bad_weather(self, _: Node) -> None:
        random = self._random
        self._cluster.network.weather = Weather(
            delay_max_us=random.choice([500, 5_000, 60_000]),
            stall_chance=random.choice([0.0, 0.02, 0.2]),
            stall_max_us=random.choice([50_000, 800_000]),
            loss=random.choice([0.0, 0.05, 0.3]),
            repeat=random.choice([0.0, 0.1]),
            dribble=random.choice([0.0, 0.5]),
        )

        def calm() -> None:
            self._cluster.network.weather = Weather()

        self._later((500_000, 5_000_000), calm)

    def _cut(self, source: Node, target: Node) -> None:
        self._cluster.network.cut(source.machine, target.machine)

    # -- disks and clocks

    def slow_disk(self, node: Node) -> None:
        node.disk.health.sync_max_us = self._random.choice([20_000, 300_000, 2_000_000])
        self._later((500_000, 5_000_000), partial(self._mend_disk, node))

    def fail_syncs(self, node: Node) -> None:
        node.disk.health.syncs_fail = True
        self._later((100_000, 1_000_000), partial(self._mend_disk, node))

    def fill_disk(self, node: Node) -> None:
        node.disk.health.is_full = True
        self._later((100_000, 3_000_000), partial(self._mend_disk, node))

    def rot(self, node: Node) -> None:
        """Bits of what consensus had synced flip while a node is down. On one node of a run, and not at the end of a
        file, where nothing tells a flipped bit from a write that the power cut met."""
        nodes, random = self._cluster.nodes, self._random
        if len(nodes) < 3 or any(other.is_rotten for other in nodes):
            return
        paths = [path for path in node.disk.files() if "/raft/" in path and node.disk.size(path) > 200]
        if not paths:
            return
        if node.is_running:
            node.cut_power()
            self._start_soon(node)
        node.is_rotten = True
        path = random.choice(paths)
        size = len(node.disk.durable_view(path) or b"")
        for _ in range(random.randint(1, 3) if size > 200 else 0):
            node.disk.flip_bit(path, random.randrange(size * 3 // 4), random.randrange(8))

    def _mend_disk(self, node: Node) -> None:
        node.disk.health = DiskHealth()

    def step_clock(self, node: Node) -> None:
        node.clock.step(self._random.choice([-288_000, -5_000, -11, 11, 5_000, 288_000]))

    def _later(self, range_us: tuple[int, int], action: Callable[[], None]) -> None:
        self._cluster.scheduler.after(self._random.randint(*range_us), action)
