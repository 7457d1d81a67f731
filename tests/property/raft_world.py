"""Whole groups of pure cores under random faults, in virtual time, from a seed.

Each node is a core, a disk that loses what was not synced, and a machine; between them is a bag of messages that are
delayed, dropped, repeated, reordered and cut off. Members come and go, the leadership is handed over, connections break
or seem to, and reads are linearizable. The faults themselves are drawn per seed, some seeds have none. After every step
the named invariants hold (`raft_invariants`); every run ends healed and must converge.
"""

from collections.abc import Callable, Sequence
from functools import partial
from heapq import heapify, heappop, heappush
from random import Random

from tests.property.raft_invariants import Invariants, check
from tests.property.raft_node import Disk, Node

from odradek.raft.core.config import RaftConfig
from odradek.raft.core.messages import Message
from odradek.raft.core.types import HardState, Role

CHAOS_MS = 4_000
HEALED_MS = 3_000
LAST_WORDS = b"the end"
FAULTS = ("crash", "cut", "one way", "pause", "crash all", "rot", "change", "transfer", "hint")


class World:
    """Time, the network, the faults and the load of one seed; `faults` instead of those that the seed draws."""

    def __init__(self, seed: int, faults: Sequence[str] | None = None) -> None:
        self.seed = seed
        random = self.random = Random(seed)
        size = random.choice([1, 2, 3, 3, 3, 4, 5, 5])
        self.founders = list(range(size))
        calm = random.random() < 0.1
        self.drop = 0.0 if calm else random.choice([0.0, 0.02, 0.1, 0.3])
        self.repeat = 0.0 if calm else random.choice([0.0, 0.05, 0.2])
        self.delay_max = random.choice([1, 5, 30, 150])
        self.sync_max = random.choice([0, 2, 20, 120])
        self.fault_every = 10**9 if calm else random.choice([150, 400, 900, 2000])
        self.faults = random.sample(FAULTS, random.randint(1, len(FAULTS)))
        self.snapshot_every = random.choice([0, 0, 5, 20, 80])
        self.trailing = random.choice([0, 3, 30])
        self.propose_every = random.choice([5, 20, 60])
        self.read_share = random.choice([0.0, 0.1, 0.5])
        self.hint_share = random.choice([0.0, 0.5, 1.0])
        if faults is not None:
            self.faults, self.fault_every = list(faults), 200
            self.read_share = self.hint_share = 1.0
        self.config = RaftConfig(
            election_timeout_ms=150,
            heartbeat_interval_ms=random.choice([20, 50]),
            leader_lost_delay_ms_max=random.choice([5, 30]),
            append_bytes_max=random.choice([1, 40, 10_000]),
            inflight_appends_max=random.choice([1, 2, 16]),
            snapshot_chunk_bytes=random.choice([7, 64, 10_000]),
        )
        self.now = 0
        self.cut: set[tuple[int, int]] = set()
        self.events: list[tuple[int, int, Node | None, int, Callable[[], None]]] = []
        self.sequence = 0
        self.healed = False
        self.trace = 0
        self.rotten = 0
        self.invariants = Invariants(self.founders)
        self.nodes = self.invariants.nodes
        spare = random.choice([1, 2, 3]) if "change" in self.faults else 0
        for node_id in range(size + spare):
            self.nodes.append(Node(node_id, self))

    # -- time and network

    def after(self, delay: int, node: Node | None, action: Callable[[], None]) -> None:
        self.sequence += 1
        incarnation = node.incarnation if node is not None else 0
        heappush(self.events, (self.now + max(delay, 0), self.sequence, node, incarnation, action))

    def disk_delay(self) -> int:
        return self.random.randint(0, self.sync_max)

    def send(self, message: Message) -> None:
        random = self.random
        if (message.sender, message.to) in self.cut or (not self.healed and random.random() < self.drop):
            return
        for _ in range(2 if random.random() < self.repeat else 1):
            self.after(random.randint(0, self.delay_max), None, lambda: self.deliver(message))

    def deliver(self, message: Message) -> None:
        node = self.nodes[message.to]
        if node.core is None or (message.sender, message.to) in self.cut:
            return
        if node.paused_until > self.now:
            self.after(node.paused_until - self.now, None, lambda: self.deliver(message))
            return
        node.core.step(message, self.now)
        node.settle()

    def run(self, until: int) -> None:
        while self.events and self.events[0][0] <= until:
            at, sequence, node, incarnation, action = heappop(self.events)
            if node is not None:
                if node.incarnation != incarnation:
                    continue
                if node.paused_until > at:
                    heappush(self.events, (node.paused_until, sequence, node, incarnation, action))
                    continue
            self.now = at
            action()
            self.trace = hash((self.trace, at, sequence))
        self.now = until

    # -- load

    def leaders(self) -> list[Node]:
        return [
            node
            for node in self.nodes
            if node.core is not None and node.core.role == Role.LEADER and node.paused_until <= self.now
        ]

    def propose(self) -> None:
        self.after(self.random.randint(1, self.propose_every), None, self.propose)
        leaders = self.leaders()
        if leaders:
            node = self.random.choice(leaders)
            assert node.core is not None
            # A client waits for answers: what is open is bounded, so that the slowest settings can catch up.
            if node.core.log.last_index - node.core.log.commit < 40:
                self.propose_on(node, b"%d" % self.sequence)
        if self.random.random() < self.read_share:
            self.read_on(self.random.choice(self.nodes))

    def propose_on(self, node: Node, data: bytes) -> None:
        assert node.core is not None
        count = self.random.choice([1, 1, 3])
        last = node.core.propose([data] * count, self.now)
        if last is not None:
            for index in range(last - count + 1, last + 1):
                self.invariants.proposed[index, node.core.term] = (node.id, data)
        node.settle()

    def read_on(self, node: Node) -> None:
        if node.core is not None and node.paused_until <= self.now:
            floor = self.invariants.acknowledged_last
            node.reads[node.core.read(self.now)] = floor
            node.settle()

    # -- faults

    def fault(self) -> None:
        random = self.random
        self.after(random.randint(1, self.fault_every), None, self.fault)
        kind = random.choice(self.faults)
        node = random.choice(self.nodes)
        if kind == "crash":
            self.crash(node)
        elif kind == "crash all":
            for each in self.nodes:
                self.crash(each)
        elif kind == "rot":
            self.rot(node)
        elif kind == "pause":
            node.paused_until = self.now + random.randint(1, 1000)
        elif kind == "change":
            self.change()
        elif kind == "transfer":
            self.transfer()
        elif kind == "hint":
            self.hint(node)
        else:
            self.cut_off(kind)

    def cut_off(self, kind: str) -> None:
        everyone = range(len(self.nodes))
        side = set(self.random.sample(everyone, self.random.randint(0, len(everyone))))
        pairs = {(a, b) for a in side for b in everyone if b not in side}
        self.cut = pairs if kind == "one way" else pairs | {(b, a) for a, b in pairs}
        self.after(self.random.randint(1, 1500), None, self.cut.clear)
        for a, b in sorted(pairs):
            self.maybe_hint(self.nodes[b], a)

    def crash(self, node: Node) -> None:
        if node.core is None:
            return
        node.crash()
        self.after(self.random.randint(1, 800), node, node.start)
        for other in self.nodes:
            self.maybe_hint(other, node.id)

    def maybe_hint(self, node: Node, lost: int) -> None:
        if self.random.random() < self.hint_share:
            self.after(self.random.randint(0, 10), node, partial(self.hint, node, lost))

    def hint(self, node: Node, lost: int | None = None) -> None:
        """The connection to the leader broke, or to `lost` if that is the leader."""
        core = node.core
        if core is not None and node.paused_until <= self.now and lost in (None, core.leader_id):
            core.on_leader_lost(self.now)
            node.settle()

    def change(self) -> None:
        leaders, random = self.leaders(), self.random
        if not leaders:
            return
        everyone = list(range(len(self.nodes)))
        # A rotten disk neither votes nor leads: where there are any, the others have to be enough.
        fewest = min(3, len(everyone)) if "rot" in self.faults else 1
        voters = random.sample(everyone, random.randint(fewest, len(everyone)))
        learners = [node_id for node_id in everyone if node_id not in voters and random.random() < 0.5]
        node = random.choice(leaders)
        assert node.core is not None
        node.core.change_membership(voters, learners, self.now)
        node.settle()

    def transfer(self) -> None:
        leaders = self.leaders()
        if leaders:
            node = self.random.choice(leaders)
            assert node.core is not None
            node.core.transfer_leadership(self.random.randrange(len(self.nodes)), self.now)
            node.settle()

    def rot(self, node: Node) -> None:
        """A disk loses its log, term and vote, and notices. One at a time: two of three would be a lost majority."""
        damaged = any(other.disk.hard_state.damaged for other in self.nodes)
        if len(self.founders) >= 3 and node.core is not None and not damaged:
            self.crash(node)
            node.disk = Disk(HardState(damaged=True))
            self.rotten += 1

    # -- the whole run

    def play(self) -> None:
        self.after(1, None, self.propose)
        self.after(self.fault_every, None, self.fault)
        self.run(CHAOS_MS)
        self.heal()
        self.run(CHAOS_MS + HEALED_MS)
        reached = -1
        while reached < (reached := sum(node.applied + node.disk.last_index for node in self.nodes)):
            # The smallest messages carry one entry each, so that catching up takes its time.
            self.run(self.now + HEALED_MS // 2)
        self.invariants.check_converged(LAST_WORDS)

    def heal(self) -> None:
        self.healed = True
        self.fault_every = 10**9
        self.events = [event for event in self.events if event[4] not in (self.fault, self.propose)]
        heapify(self.events)
        self.cut.clear()
        self.delay_max = min(self.delay_max, 5)
        self.sync_max = min(self.sync_max, 5)
        for node in self.nodes:
            node.paused_until = 0
        self.after(HEALED_MS // 2, None, self.last_requests)

    def last_requests(self) -> None:
        leaders = self.leaders()
        check(len(leaders) == 1, "a healed group has one leader", self.now, [node.id for node in leaders])
        self.propose_on(leaders[0], LAST_WORDS)
        self.invariants.readers.clear()
        self.last_reads()

    def last_reads(self) -> None:
        self.after(200, None, self.last_reads)
        for node in self.nodes:
            self.read_on(node)
