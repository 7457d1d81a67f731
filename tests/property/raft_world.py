"""Whole groups of pure cores under random faults, in virtual time, from a seed.

Each node is a core, a disk that loses what was not synced, and a machine; between them is a bag of messages that are
delayed, dropped, repeated, reordered and cut off. The faults themselves are drawn per seed, some seeds have none. After
every step the named invariants hold (R1 to R8 and R10 of the reliability reference); every run ends healed and must
converge.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from random import Random

from odradek.raft.core.config import RaftConfig
from odradek.raft.core.log_view import LogView
from odradek.raft.core.messages import AppendAccepted, Message, SnapshotChunk, VoteResponse
from odradek.raft.core.quorum import Configuration
from odradek.raft.core.raft import Raft
from odradek.raft.core.ready import Ready
from odradek.raft.core.types import NORMAL, Entry, HardState, Role, SnapshotMeta

CHAOS_MS = 8_000
HEALED_MS = 6_000


class InvariantError(AssertionError):
    """A named invariant does not hold."""


def check(condition: bool, name: str, *facts: object) -> None:
    if not condition:
        raise InvariantError(f"{name}: {facts}")


@dataclass
class Disk:
    """What one node would find after a crash."""

    hard_state: HardState = field(default_factory=HardState)
    base_index: int = 0
    base_term: int = 0
    snapshot: bytes = b""
    entries: list[Entry] = field(default_factory=list)

    @property
    def last_index(self) -> int:
        return self.base_index + len(self.entries)

    def write(self, ready: Ready) -> None:
        if ready.snapshot is not None:
            self.base_index, self.base_term = ready.snapshot.index, ready.snapshot.term
            self.snapshot, self.entries = ready.snapshot.data, []
        if ready.entries:
            skip = max(self.base_index + 1 - ready.first_index, 0)
            start = ready.first_index + skip - self.base_index - 1
            check(start <= len(self.entries), "R3 the log on disk has no gap", start, len(self.entries))
            del self.entries[start:]
            self.entries += ready.entries[skip:]
        if ready.hard_state is not None:
            check(ready.hard_state.term >= self.hard_state.term, "R2 the term on disk never goes back")
            self.hard_state = ready.hard_state

    def holds(self, index: int, term: int) -> bool:
        if index <= self.base_index:
            return True
        at = index - self.base_index - 1
        return at < len(self.entries) and self.entries[at].term == term


class Node:
    """A core with its disk and its machine (a chain of everything applied)."""

    def __init__(self, node_id: int, world: "World") -> None:
        self.id = node_id
        self.world = world
        self.disk = Disk()
        self.core: Raft | None = None
        self.incarnation = 0
        self.paused_until = 0
        self.start()

    def start(self) -> None:
        world, disk = self.world, self.disk
        self.incarnation += 1
        self.writes: list[tuple[Ready, list[Message]]] = []
        self.scheduled = -1
        self.applied = int(disk.snapshot.split()[0]) if disk.snapshot else 0
        snapshot = (
            SnapshotMeta(
                disk.base_index,
                disk.base_term,
                len(disk.snapshot),
                Configuration(frozenset(world.voters)),
            )
            if disk.base_index
            else None
        )
        log = LogView(disk.base_index, disk.base_term, list(disk.entries))
        self.snapshots = {disk.base_index: disk.snapshot}
        self.core = Raft(
            self.id, world.voters, world.config, world.random, log, disk.hard_state, snapshot, world.now
        )
        self.seen_commit = 0
        self.settle()

    def crash(self) -> None:
        """Any prefix of what was not synced may have reached the disk."""
        for ready, _ in self.writes[: self.world.random.randint(0, len(self.writes))]:
            self.disk.write(ready)
        self.core = None
        self.incarnation += 1

    def settle(self) -> None:
        """Carry out every `Ready`, as the shell does."""
        core = self.core
        assert core is not None
        while (ready := core.ready()) is not None:
            self.world.check_ready(self, ready)
            if ready.snapshot is not None:
                self.applied = int(ready.snapshot.data.split()[0])
                check(self.applied == ready.snapshot.index, "R10 a snapshot is complete", ready.snapshot)
                self.snapshots[ready.snapshot.index] = ready.snapshot.data
            if ready.must_write or ready.snapshot is not None:
                self.writes.append((ready, list(ready.messages_after_durable)))
                delay = self.world.disk_delay()
                self.world.after(delay, self, partial(self.on_synced, ready.number))
            elif self.writes:
                self.writes[-1][1].extend(ready.messages_after_durable)
            else:
                self.send(ready.messages_after_durable)
            self.send(ready.messages_now)
            for chunk in ready.chunks:
                data = self.snapshots.get(chunk.index)
                if data is None or len(data) != chunk.total:
                    core.on_snapshot_unreadable(chunk.to)
                    continue
                part = data[chunk.offset : chunk.offset + chunk.length]
                fields = (chunk.index, chunk.index_term, chunk.configuration, chunk.total, chunk.offset, part)
                self.send([SnapshotChunk(self.id, chunk.to, chunk.term, *fields)])
            for index, entry in enumerate(ready.committed, ready.committed_first):
                self.world.check_applied(self, index, entry)
                self.applied = index
        self.world.check_core(self)
        deadline = core.next_deadline
        if deadline is not None and (self.scheduled < 0 or deadline < self.scheduled):
            self.scheduled = deadline
            self.world.after(deadline - self.world.now, self, partial(self.on_timer, deadline))
        self.maybe_snapshot()

    def on_timer(self, deadline: int) -> None:
        assert self.core is not None
        if deadline != self.scheduled:
            return
        self.scheduled = -1
        self.core.on_timer(self.world.now)
        self.settle()

    def on_synced(self, number: int) -> None:
        """Writes become durable in order, so one that is done early waits for the earlier ones."""
        assert self.core is not None
        while self.writes and self.writes[0][0].number <= number:
            ready, messages = self.writes.pop(0)
            self.disk.write(ready)
            self.send(messages)
            self.core.on_durable(ready.number, self.world.now)
        self.settle()

    def maybe_snapshot(self) -> None:
        core = self.core
        assert core is not None
        every = self.world.snapshot_every
        if not every or core.log.applied - self.disk.base_index < every or self.writes:
            return
        index = core.log.applied
        term = core.log.term_at(index)
        assert term is not None
        data = b"%d " % index + b"s" * self.world.random.randint(0, 200)
        del self.disk.entries[: index - self.disk.base_index]
        self.disk.base_index, self.disk.base_term, self.disk.snapshot = index, term, data
        self.snapshots = {**dict(list(self.snapshots.items())[-1:]), index: data}
        core.on_snapshot_stored(
            SnapshotMeta(index, term, len(data), core.configuration), index + 1 - self.world.trailing
        )

    def send(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self.world.check_message(self, message)
            self.world.send(message)


class World:
    """Time, the network, the faults and the invariants of one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        random = self.random = Random(seed)
        size = random.choice([1, 2, 3, 3, 3, 4, 5, 5])
        self.voters = list(range(size))
        calm = random.random() < 0.1
        self.drop = 0.0 if calm else random.choice([0.0, 0.02, 0.1, 0.3])
        self.repeat = 0.0 if calm else random.choice([0.0, 0.05, 0.2])
        self.delay_max = random.choice([1, 5, 30, 150])
        self.sync_max = random.choice([0, 2, 20, 120])
        self.fault_every = 10**9 if calm else random.choice([300, 700, 1500, 4000])
        self.faults = random.sample(
            ["crash", "cut", "one way", "pause", "crash all", "rot"], random.randint(1, 6)
        )
        self.snapshot_every = random.choice([0, 0, 5, 20, 80])
        self.trailing = random.choice([0, 3, 30])
        self.propose_every = random.choice([5, 20, 60])
        self.config = RaftConfig(
            election_timeout_ms=150,
            heartbeat_interval_ms=random.choice([20, 50]),
            append_bytes_max=random.choice([1, 40, 10_000]),
            inflight_appends_max=random.choice([1, 2, 16]),
            snapshot_chunk_bytes=random.choice([7, 64, 10_000]),
        )
        self.now = 0
        self.cut: set[tuple[int, int]] = set()
        self.events: list[tuple[int, int, Node | None, int, Callable[[], None]]] = []
        self.sequence = 0
        self.healed = False
        self.leaders: dict[int, int] = {}
        self.votes: dict[tuple[int, int], int] = {}
        self.entries: dict[tuple[int, int], tuple[int, bytes]] = {}
        self.committed: dict[int, Entry] = {}
        self.acknowledged: dict[int, bytes] = {}
        self.proposed: dict[tuple[int, int], tuple[int, bytes]] = {}
        self.trace = 0
        self.rotten = 0
        self.nodes: list[Node] = []
        for node_id in self.voters:
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

    # -- load and faults

    def propose(self) -> None:
        self.after(self.random.randint(1, self.propose_every), None, self.propose)
        leaders = [node for node in self.nodes if node.core is not None and node.core.role == Role.LEADER]
        if leaders:
            node = self.random.choice(leaders)
            log = node.core.log if node.core is not None else None
            # A client waits for answers: what is open is bounded, so that the slowest settings can catch up.
            if log is not None and node.paused_until <= self.now and log.last_index - log.commit < 40:
                self.propose_on(node, b"%d" % self.sequence)

    def propose_on(self, node: Node, data: bytes) -> None:
        assert node.core is not None
        count = self.random.choice([1, 1, 3])
        last = node.core.propose([data] * count, self.now)
        if last is not None:
            for index in range(last - count + 1, last + 1):
                self.proposed[index, node.core.term] = (node.id, data)
        node.settle()

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
        else:
            side = set(random.sample(self.voters, random.randint(0, len(self.voters))))
            pairs = {(a, b) for a in side for b in self.voters if b not in side}
            self.cut = pairs if kind == "one way" else pairs | {(b, a) for a, b in pairs}
            self.after(random.randint(1, 1500), None, self.cut.clear)

    def crash(self, node: Node) -> None:
        if node.core is not None:
            node.crash()
            self.after(self.random.randint(1, 800), node, node.start)

    def rot(self, node: Node) -> None:
        """A disk loses its log, term and vote, and notices. One at a time: two of three would be a lost majority."""
        damaged = any(other.disk.hard_state.damaged for other in self.nodes)
        if len(self.nodes) >= 3 and node.core is not None and not damaged:
            self.crash(node)
            node.disk = Disk(HardState(damaged=True))
            self.rotten += 1

    # -- invariants

    def check_ready(self, node: Node, ready: Ready) -> None:
        core = node.core
        assert core is not None
        previous = ready.prev_term
        for index, entry in enumerate(ready.entries, ready.first_index):
            known = self.entries.setdefault((index, entry.term), (previous, entry.data))
            check(known == (previous, entry.data), "R3 log matching", node.id, index, entry, known, previous)
            previous = entry.term
        if ready.snapshot is not None:
            check(core.role != Role.LEADER, "R10 a leader never loads a snapshot", node.id)

    def check_applied(self, node: Node, index: int, entry: Entry) -> None:
        check(index == node.applied + 1, "R2 entries are applied in order", node.id, index, node.applied)
        known = self.committed.get(index)
        if known is None:
            self.committed[index] = entry
            # A disk that rotted after it had acknowledged counts: that is what it has to be refilled for.
            disks = [other.disk for other in self.nodes]
            holders = sum(disk.hard_state.damaged or disk.holds(index, entry.term) for disk in disks)
            check(
                holders > len(self.nodes) // 2, "R9 committed is durable on a quorum", index, entry, holders
            )
        else:
            check(known == entry, "R5 state machine safety", node.id, index, known, entry)
        core = node.core
        assert core is not None
        if entry.kind == NORMAL and core.role == Role.LEADER and core.term == entry.term:
            proposed = self.proposed.get((index, entry.term))
            check(proposed == (node.id, entry.data), "R5 a leader applies what was proposed", index, proposed)
            self.acknowledged[index] = entry.data

    def check_core(self, node: Node) -> None:
        core = node.core
        assert core is not None
        check(core.log.commit >= node.seen_commit, "R2 the commit index never goes back", node.id)
        if core.role == Role.LEADER and core.log.commit > max(node.seen_commit, core.log.base_index):
            term = core.log.term_at(core.log.commit)
            check(
                term == core.term, "R9 a leader counts only entries of its own term", node.id, core.term, term
            )
        node.seen_commit = core.log.commit
        changing = [ready.first_index for ready, _ in node.writes if ready.entries]
        if changing and all(ready.snapshot is None for ready, _ in node.writes):
            durable = core.log.durable_index
            check(durable < min(changing), "R8 no write under way changes what is durable", durable, changing)
        if core.role == Role.LEADER and self.leaders.get(core.term) != node.id:
            check(core.term not in self.leaders, "R1 election safety", core.term, node.id, self.leaders)
            self.leaders[core.term] = node.id
            for index, entry in self.committed.items():
                if index > core.log.base_index:
                    check(
                        core.log.term_at(index) == entry.term,
                        "R4 leader completeness",
                        node.id,
                        core.term,
                        index,
                    )

    def check_message(self, node: Node, message: Message) -> None:
        if isinstance(message, VoteResponse) and message.granted:
            candidate = self.votes.setdefault((node.id, message.term), message.to)
            check(candidate == message.to, "R7 one vote per term", node.id, message, candidate)
            state = node.disk.hard_state
            durable = state.term > message.term or (state.term, state.vote) == (message.term, message.to)
            check(durable, "R8 a vote is durable before it is sent", node.id, message, state)
        elif isinstance(message, AppendAccepted):
            check(message.index <= node.disk.last_index, "R8 durable before acknowledged", node.id, message)
            leader = self.nodes[message.to].core
            if leader is not None and leader.role == Role.LEADER and leader.term == message.term:
                wanted = leader.log.term_at(message.index)
                held = wanted is None or node.disk.holds(message.index, wanted)
                check(held, "R3 what a follower accepts is what the leader has", node.id, message)

    # -- the whole run

    def play(self) -> None:
        self.after(1, None, self.propose)
        self.after(self.fault_every, None, self.fault)
        self.run(CHAOS_MS)
        self.heal()
        self.run(CHAOS_MS + HEALED_MS)
        self.check_converged()

    def heal(self) -> None:
        self.healed = True
        self.fault_every = 10**9
        self.events = [event for event in self.events if event[4] not in (self.fault, self.propose)]
        self.events.sort(key=lambda event: event[:2])
        self.cut.clear()
        self.delay_max = min(self.delay_max, 5)
        self.sync_max = min(self.sync_max, 5)
        for node in self.nodes:
            node.paused_until = 0
        self.after(HEALED_MS // 2, None, self.last_proposal)

    def last_proposal(self) -> None:
        leaders = [node for node in self.nodes if node.core is not None and node.core.role == Role.LEADER]
        check(len(leaders) == 1, "a healed group has one leader", self.now, [node.id for node in leaders])
        self.propose_on(leaders[0], b"the end")

    def check_converged(self) -> None:
        last = max(self.committed)
        check(self.acknowledged.get(last) == b"the end", "a healed group accepts proposals", last)
        for node in self.nodes:
            check(node.applied == last, "a healed group converges", node.id, node.applied, last)
        for index, data in self.acknowledged.items():
            check(self.committed[index].data == data, "P1 an acknowledged proposal is never lost", index)
