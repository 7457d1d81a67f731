"""One run: a cluster, its clients and its faults, from a seed.

Boot, load under faults, heal, converge, read everything back. What happens is drawn from streams of chance, one per
concern, so that a change in one does not shift the others. The faults themselves are drawn per seed (`faults`); what
must hold is in `invariants` (what servers show) and `history` (what clients see).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from random import Random

from tests.sim.administering import Administrator
from tests.sim.client import Client
from tests.sim.cluster import Cluster, Node
from tests.sim.consuming import Member
from tests.sim.faults import Nemesis
from tests.sim.history import History, TopicPartition
from tests.sim.invariants import Invariants
from tests.sim.loop import SECOND_US, HostLoop, Scheduler
from tests.sim.network import Network
from tests.sim.producing import Producer, Reader
from tests.sim.setup_and_end import check_end, create_topics
from tests.sim.verdict import InvariantError, Verdict

from odradek.node.config import ConfigError
from odradek.storage.disk import DiskError

GROUP = "readers"
SIZES = [1, 3, 3, 3, 3, 3, 3, 5]
BOOT_S = 40
CONVERGE_S = 60
TURNS_MAX = 2_000_000

Work = Callable[[Client], Awaitable[None]]


class World:
    """Everything of one seed. `play` runs it; what was found is in `verdict`."""

    def __init__(self, seed: int, size: int | None = None) -> None:
        self.seed = seed
        plan = self.random = self.new_random("plan")
        size = plan.choice(SIZES) if size is None else size
        self.scheduler = Scheduler(self.new_random("order"))
        self.verdict = Verdict()
        self.network = Network(self.scheduler, self.new_random("network"))
        self.history = History(self.verdict, lambda: self.scheduler.now_us)
        settings = {
            "odradek.coordinator.shards": str(plan.choice([1, 2])),
            "group.initial.rebalance.delay.ms": "200",
            "group.min.session.timeout.ms": "1000",
        }
        if size > 1:
            settings |= {
                "default.replication.factor": "3",
                "min.insync.replicas": "2",
                "replica.lag.time.max.ms": plan.choice(["1500", "30000"]),
                "replica.selector.class": "org.apache.kafka.common.replica.RackAwareReplicaSelector",
            }
        self.cluster = Cluster(
            self.scheduler, self.network, self.new_random, size, settings, lateness_us=plan.choice([1, 500])
        )
        self.cluster.on_node_failure = self._on_node_failure
        self.nemesis = Nemesis(self.cluster, self.verdict, self.new_random("faults"), [self.crash_member])
        topics = {"orders": plan.choice([1, 2]), "clicks": 1}
        self.partitions: list[TopicPartition] = [
            (name, index) for name, count in topics.items() for index in range(count)
        ]
        self.invariants = Invariants(self.cluster, self.history, self.verdict, self.partitions)
        self.converged_s = 0.0
        """How long after the end of the faults all was well."""
        self.producers: list[Producer] = []
        self.producing: list[asyncio.Task[None]] = []
        self.administering: list[asyncio.Task[None]] = []
        self.members: list[Member] = []
        """Those that live."""
        self._members_made = 0
        self.busy_chance = plan.choice([0.0, 0.1])
        """How often a member is busy for seconds before it commits."""
        self.administrators: list[Administrator] = []

    def new_random(self, concern: str) -> Random:
        return Random(f"{self.seed}/{concern}")

    # -- the run

    def play(self, chaos_s: float = 10.0) -> None:
        """The whole run. Raises what a check raises."""
        for node in self.cluster.nodes:
            self.scheduler.after(self.random.randrange(1_000_000), partial(self._start, node))
        self.finish("topics are created", partial(create_topics, self.partitions), BOOT_S)
        self._start_clients()
        self.nemesis.start()
        self.run(chaos_s)
        self.nemesis.heal()
        healed_us = self.scheduler.now_us
        for producer in self.producers:
            producer.stop()
        for administrator in self.administrators:
            administrator.is_stopping = True
        self.until(
            lambda: all(task.done() for task in (*self.producing, *self.administering)),
            CONVERGE_S,
            "L1 a healed cluster takes every write",
        )
        self.finish("all is there", partial(check_end, self), CONVERGE_S)
        self.converged_s = (self.scheduler.now_us - healed_us) / SECOND_US
        self.invariants.check_converged()

    def _start_clients(self) -> None:
        for number in range(self.random.choice([1, 2, 3])):
            client = self.new_client(f"producer{number}")
            tp = self.random.choice(self.partitions)
            pause_ms = self.random.choice([30, 100, 400])
            producer = Producer(
                client, self.history, tp, self.cluster.nodes[0].clock.now_ms, pause_ms=pause_ms
            )
            self.producers.append(producer)
            self._spawn(client.loop, producer.run, self.producing)
        for tp in self.partitions:
            rack = self.random.choice(["", *self.cluster.racks])
            reader = Reader(self.new_client(f"reader of {tp[0]}-{tp[1]}"), self.history, tp, rack)
            self._spawn(reader.client.loop, reader.run)
        for _ in range(self.random.choice([0, 1, 2, 3])):
            self.add_member()
        if self.random.random() < 0.5:
            ids = [node.node_id for node in self.cluster.nodes]
            client = self.new_client("administrator")
            administrator = Administrator(client, self.verdict, self.partitions, ids)
            self.administrators.append(administrator)
            self._spawn(client.loop, administrator.run, self.administering)

    def add_member(self) -> None:
        """One more in the group."""
        self._members_made += 1
        name = f"member{self._members_made}"
        member = Member(self.new_client(name), self.history, GROUP, self.partitions, self.busy_chance)
        self.members.append(member)
        self._spawn(member.client.loop, member.run)

    def crash_member(self, _: Node) -> None:
        """A member's process ends, and another one takes its place."""
        if self.members:
            member = self.random.choice(self.members)
            self.members.remove(member)
            machine = member.client.loop.machine
            assert machine is not None
            machine.end_process(power_cut=self.random.random() < 0.5)
            self.add_member()

    # -- time

    def run(self, seconds: float) -> None:
        """Let a while pass."""
        end_us = self.scheduler.now_us + int(seconds * SECOND_US)
        self.scheduler.run_while(self._is_clean, end_us)
        self._raise_problems()
        self.scheduler.now_us = max(self.scheduler.now_us, end_us)

    def until(self, condition: Callable[[], bool], seconds: float, name: str) -> None:
        """Run until `condition` holds; it is a violation called `name` if it does not in time."""
        end_us = self.scheduler.now_us + int(seconds * SECOND_US)
        self.scheduler.run_while(lambda: self._is_clean() and not condition(), end_us)
        self._raise_problems()
        if not condition():
            self.verdict.violate(name, f"not within {seconds} s", *self.cluster.nodes_in_words())

    def finish(self, name: str, work: Work, seconds: float) -> None:
        """Run some client's work to its end."""
        client = self.new_client(name)
        tasks: list[asyncio.Task[None]] = []
        self._spawn(client.loop, partial(work, client), tasks)
        self.until(lambda: bool(tasks) and tasks[0].done(), seconds, f"L2 {name}")
        tasks[0].result()

    def _is_clean(self) -> bool:
        if self.scheduler.turns > TURNS_MAX:
            self.verdict.violate("X2 nobody is busy with nothing", self.scheduler.turns)
        return self.verdict.is_clean and not self.scheduler.problems

    def _raise_problems(self) -> None:
        if self.verdict.violations:
            raise InvariantError("; ".join(self.verdict.violations))
        self.verdict.check(not self.scheduler.problems, "X1 no exception escapes", *self.scheduler.problems)

    # -- clients and nodes

    def new_client(self, name: str) -> Client:
        machine = self.network.add(name)
        loop = HostLoop(self.scheduler, name, random=self.new_random(name))
        machine.boot(loop)
        bootstrap = [node.address for node in self.cluster.nodes]
        client = Client(loop, bootstrap, self.new_random(f"choices of {name}"))
        client.on_fenced_read = self.invariants.replicas.on_served
        return client

    def _spawn(
        self,
        loop: HostLoop,
        work: Callable[[], Awaitable[None]],
        tasks: list[asyncio.Task[None]] | None = None,
    ) -> None:
        """Run `work` on a client's loop; an exception of it is a bug of the simulator or a violation."""

        async def guarded() -> None:
            try:
                await work()
            except Exception as error:
                if self.verdict.is_clean:
                    self.scheduler.problems.append(f"{loop.name}: {error!r}")
                raise

        def begin() -> None:
            task = loop.create_task(guarded())
            if tasks is not None:
                tasks.append(task)

        loop.call_soon(begin)

    def _start(self, node: Node) -> None:
        if not node.is_running:
            node.start()

    def _on_node_failure(self, node: Node, reason: BaseException) -> None:
        """A node gave up. With a disk that failed it should; otherwise that is a bug."""
        self.verdict.count("nodes that gave up")
        expected = isinstance(reason, DiskError | ConfigError)
        if not expected:
            self.scheduler.problems.append(f"{node} gave up: {reason!r}")
        self.nemesis.on_node_failure(node)
