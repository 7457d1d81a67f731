"""The named invariants of consensus (R1 to R12 of the reliability reference), and what has to be remembered to check
them. Everything is judged from outside: quorums are counted here by definition, not by the code under test."""

from typing import TYPE_CHECKING

from odradek.raft.core.membership import decode_configuration
from odradek.raft.core.messages import AppendAccepted, Message, VoteResponse
from odradek.raft.core.quorum import Configuration
from odradek.raft.core.raft import Raft
from odradek.raft.core.read_index import ReadResult
from odradek.raft.core.ready import Ready
from odradek.raft.core.types import CONFIGURATION, NORMAL, Entry, Role

if TYPE_CHECKING:
    from tests.property.raft_node import Node


class InvariantError(AssertionError):
    """A named invariant does not hold."""


def check(condition: bool, name: str, *facts: object) -> None:
    if not condition:
        raise InvariantError(f"{name}: {facts}")


def is_quorum(configuration: Configuration, nodes: set[int]) -> bool:
    """More than half of the voters, and of the old voters too while joint."""
    halves = [configuration.incoming] + [configuration.outgoing] * configuration.is_joint
    return all(2 * len(half & nodes) > len(half) for half in halves)


class Invariants:
    """What is known of one group, from all its nodes."""

    def __init__(self, founders: list[int]) -> None:
        self.nodes: list[Node] = []
        self.founders = Configuration(frozenset(founders))
        self.leaders: dict[int, int] = {}
        self.votes: dict[tuple[int, int], int] = {}
        self.entries: dict[tuple[int, int], tuple[int, bytes]] = {}
        self.committed: dict[int, Entry] = {}
        self.configuration = self.founders
        """The newest committed one."""
        self.acknowledged: dict[int, bytes] = {}
        self.acknowledged_last = 0
        self.proposed: dict[tuple[int, int], tuple[int, bytes]] = {}
        self.reads_answered = 0
        self.readers: set[int] = set()
        """Nodes that had a read answered since the faults ended."""
        self.changes = 0

    def check_ready(self, node: "Node", ready: Ready) -> None:
        core = node.core
        assert core is not None
        previous = ready.prev_term
        is_change = any(entry.kind == CONFIGURATION for entry in ready.entries)
        if is_change or (ready.entries and ready.first_index <= node.written_last):
            self.check_configuration(node, core)
        node.written_last = ready.first_index + len(ready.entries) - 1
        for index, entry in enumerate(ready.entries, ready.first_index):
            known = self.entries.setdefault((index, entry.term), (previous, entry.data))
            check(known == (previous, entry.data), "R3 log matching", node.id, index, entry, known, previous)
            previous = entry.term
        if ready.snapshot is not None:
            check(core.role != Role.LEADER, "R10 a leader never loads a snapshot", node.id)
            self.check_configuration(node, core)

    def check_configuration(self, node: "Node", core: Raft) -> None:
        """The log of `node` changed in a way that may concern who takes part."""
        expected, found = self.configuration_in(core), core.configuration
        check(found == expected, "R9 the newest configuration is in force", node.id, found, expected)
        log = core.log
        entries = enumerate(log.all_entries(), log.base_index + 1)
        changes = [index for index, entry in entries if entry.kind == CONFIGURATION]
        if core.role == Role.LEADER and len(changes) > 1:
            check(changes[-2] <= log.commit, "R9 one change of membership at a time", node.id, changes)

    def check_applied(self, node: "Node", index: int, entry: Entry) -> None:
        check(index == node.applied + 1, "R2 entries are applied in order", node.id, index, node.applied)
        known = self.committed.get(index)
        if known is None:
            self.committed[index] = entry
            if entry.kind == CONFIGURATION:
                self.check_change(decode_configuration(entry.data), index)
        else:
            check(known == entry, "R5 state machine safety", node.id, index, known, entry)
        core = node.core
        assert core is not None
        if entry.kind == NORMAL and core.role == Role.LEADER and core.term == entry.term:
            proposed = self.proposed.get((index, entry.term))
            check(proposed == (node.id, entry.data), "R5 a leader applies what was proposed", index, proposed)
            self.acknowledged[index] = entry.data
            self.acknowledged_last = max(self.acknowledged_last, index)

    def check_change(self, new: Configuration, index: int) -> None:
        """Voters change only through a joint configuration, which is followed by nothing but its end."""
        old = self.configuration
        if old.is_joint:
            allowed = not new.is_joint and new.incoming == old.incoming and new.learners == old.learners
        else:
            allowed = new.outgoing == old.incoming if new.is_joint else new.incoming == old.incoming
        check(allowed, "R9 one change of membership at a time", index, old, new)
        self.changes += old != new
        self.configuration = new

    def check_read(self, node: "Node", read: ReadResult) -> None:
        floor = node.reads.pop(read.read_id, None)
        if read.index is not None and floor is not None:
            self.reads_answered += 1
            self.readers.add(node.id)
            check(read.index >= floor, "R12 a read sees what was acknowledged before", node.id, read, floor)

    def check_core(self, node: "Node") -> None:
        core = node.core
        assert core is not None
        check(core.log.commit >= node.seen_commit, "R2 the commit index never goes back", node.id)
        if core.role == Role.LEADER and core.log.commit > max(node.seen_commit, core.log.base_index):
            self.check_commit(node, core)
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
                    complete = core.log.term_at(index) == entry.term
                    check(complete, "R4 leader completeness", node.id, core.term, index)

    def check_commit(self, node: "Node", core: Raft) -> None:
        """A leader moved its commit index."""
        index = core.log.commit
        term = core.log.term_at(index)
        assert term is not None
        check(term == core.term, "R9 a leader counts only entries of its own term", node.id, core.term, term)
        configuration = self.configuration_in(core)
        # A disk that rotted after it had acknowledged counts: that is what it has to be refilled for.
        holders = {
            other.id for other in self.nodes if other.disk.hard_state.damaged or other.disk.holds(index, term)
        }
        held = is_quorum(configuration, holders)
        check(held, "R9 committed is durable on a quorum", index, term, configuration, holders)

    def configuration_in(self, core: Raft) -> Configuration:
        for entry in reversed(core.log.all_entries()):
            if entry.kind == CONFIGURATION:
                return decode_configuration(entry.data)
        # Everything up to the base is applied, so it is known here what the base was built on.
        base = [
            decode_configuration(entry.data)
            for index, entry in sorted(self.committed.items())
            if entry.kind == CONFIGURATION and index <= core.log.base_index
        ]
        return base[-1] if base else self.founders

    def check_message(self, node: "Node", message: Message) -> None:
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

    def check_converged(self, last_words: bytes) -> None:
        last = max(self.committed)
        check(last_words in self.acknowledged.values(), "a healed group accepts proposals", last)
        check(not self.configuration.is_joint, "a change of membership comes to its end", self.configuration)
        for node in self.nodes:
            if node.id in self.configuration.members:
                check(node.id in self.readers, "every member of a healed group can read", node.id)
                check(node.applied == last, "a healed group converges", node.id, node.applied, last)
        for index, data in self.acknowledged.items():
            check(self.committed[index].data == data, "P1 an acknowledged proposal is never lost", index)
