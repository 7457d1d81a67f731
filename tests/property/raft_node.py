"""One member of the simulated group: a core, a disk that loses what was not synced, and a machine that counts."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from tests.property.raft_invariants import check

from odradek.raft.core.log_view import LogView
from odradek.raft.core.messages import Message, SnapshotChunk
from odradek.raft.core.quorum import Configuration
from odradek.raft.core.raft import Raft
from odradek.raft.core.ready import Ready
from odradek.raft.core.types import CONFIGURATION, Entry, HardState, SnapshotMeta

if TYPE_CHECKING:
    from tests.property.raft_world import World


@dataclass
class Disk:
    """What one node would find after a crash."""

    hard_state: HardState = field(default_factory=HardState)
    base_index: int = 0
    base_term: int = 0
    snapshot: bytes = b""
    configuration: Configuration | None = None
    """In force at the base; None while there is no snapshot."""
    entries: list[Entry] = field(default_factory=list)

    @property
    def last_index(self) -> int:
        return self.base_index + len(self.entries)

    def write(self, ready: Ready) -> None:
        if ready.snapshot is not None:
            snapshot = ready.snapshot
            self.base_index, self.base_term = snapshot.index, snapshot.term
            self.snapshot, self.configuration, self.entries = snapshot.data, snapshot.configuration, []
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

    def meta(self) -> SnapshotMeta | None:
        if self.configuration is None:
            return None
        return SnapshotMeta(self.base_index, self.base_term, len(self.snapshot), self.configuration)

    @property
    def knows_members(self) -> bool:
        return self.configuration is not None or any(entry.kind == CONFIGURATION for entry in self.entries)


class Node:
    """A core with its disk and its machine (the index up to which it has applied)."""

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
        # By read id: what had been acknowledged when the read began.
        self.reads: dict[int, int] = {}
        log = LogView(disk.base_index, disk.base_term, list(disk.entries))
        self.snapshots = {disk.base_index: disk.snapshot}
        # Nonsense on purpose: a node that has the configuration on its disk does not listen.
        voters = [99] if disk.knows_members else world.founders
        self.core = Raft(
            self.id, voters, world.config, world.random, log, disk.hard_state, disk.meta(), world.now
        )
        self.seen_commit = 0
        self.written_last = log.last_index
        self.settle()

    def crash(self) -> None:
        """Any prefix of what was not synced may have reached the disk."""
        for ready, _ in self.writes[: self.world.random.randint(0, len(self.writes))]:
            self.disk.write(ready)
        self.core = None
        self.incarnation += 1

    def settle(self) -> None:
        """Carry out every `Ready`, as the shell does."""
        core, invariants = self.core, self.world.invariants
        assert core is not None
        while (ready := core.ready()) is not None:
            invariants.check_ready(self, ready)
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
            self.send_chunks(core, ready)
            for index, entry in enumerate(ready.committed, ready.committed_first):
                invariants.check_applied(self, index, entry)
                self.applied = index
            for read in ready.reads:
                invariants.check_read(self, read)
        invariants.check_core(self)
        deadline = core.next_deadline
        if deadline is not None and (self.scheduled < 0 or deadline < self.scheduled):
            self.scheduled = deadline
            self.world.after(deadline - self.world.now, self, partial(self.on_timer, deadline))
        self.maybe_snapshot()

    def send_chunks(self, core: Raft, ready: Ready) -> None:
        for chunk in ready.chunks:
            data = self.snapshots.get(chunk.index)
            if data is None or len(data) != chunk.total:
                core.on_snapshot_unreadable(chunk.to)
                continue
            part = data[chunk.offset : chunk.offset + chunk.length]
            fields = (chunk.index, chunk.index_term, chunk.configuration, chunk.total, chunk.offset, part)
            self.send([SnapshotChunk(self.id, chunk.to, chunk.term, *fields)])

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
        core, disk = self.core, self.disk
        assert core is not None
        every = self.world.snapshot_every
        if not every or core.log.applied - disk.base_index < every or self.writes:
            return
        index = core.log.applied
        term = core.log.term_at(index)
        assert term is not None
        data = b"%d " % index + b"s" * self.world.random.randint(0, 200)
        del disk.entries[: index - disk.base_index]
        disk.base_index, disk.base_term, disk.snapshot = index, term, data
        disk.configuration = core.configuration_at(index)
        self.snapshots = {**dict(list(self.snapshots.items())[-1:]), index: data}
        meta = disk.meta()
        assert meta is not None
        core.on_snapshot_stored(meta, index + 1 - self.world.trailing)

    def send(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self.world.invariants.check_message(self, message)
            self.world.send(message)
