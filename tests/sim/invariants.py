"""What must hold of the servers, looked at after every turn of a node, as cheaply as that allows.

Two groups of the reliability reference, 7.2: R (consensus) and P (partitions). Each look compares a few numbers with
those of the last look and does more only where something changed. What a node promised in a message is remembered
across its crashes, so that a promise that was not durable shows at its next start.

`canonical` logs are the simulator's own: the first node that applies an index decides, all others must agree.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.sim.replica_checks import ReplicaChecks
from tests.sim.verdict import Verdict
from tests.sim.wal_watch import WalWatch

from odradek.node.ports import Batch
from odradek.raft.core.messages import AppendAccepted, VoteRequest, VoteResponse
from odradek.raft.core.types import Role

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster, Node
    from tests.sim.history import History, TopicPartition
    from tests.sim.loop import HostLoop

    from odradek.raft.group import RaftGroup

_ALL_BYTES = 1 << 60


@dataclass
class _Seen:
    """What one look at one group of one process found."""

    term: int = 0
    role: Role = Role.FOLLOWER
    commit: int = 0
    applied: int = 0
    last_index: int = 0


@dataclass
class _GroupTruth:
    """What is known of one consensus group, from all nodes together."""

    canonical: dict[int, tuple[int, int]] = field(default_factory=dict)  # index -> (term, checksum)
    leaders: dict[int, int] = field(default_factory=dict)  # term -> node
    votes: dict[tuple[int, int], int] = field(default_factory=dict)  # (node, term) -> candidate
    promised_term: dict[int, int] = field(default_factory=dict)  # node -> term
    accepted: dict[int, tuple[int, int]] = field(default_factory=dict)  # node -> (term, index)


class Invariants:
    """Watches a cluster. Raises InvariantError through its verdict."""

    def __init__(
        self,
        cluster: Cluster,
        history: History,
        verdict: Verdict,
        partitions: Collection[TopicPartition],
    ) -> None:
        self._verdict = verdict
        self._cluster = cluster
        self.wal = WalWatch()
        self._groups: dict[int, _GroupTruth] = {}
        self._seen: dict[int, dict[int, _Seen]] = {}  # node -> group -> of this process
        self.replicas = ReplicaChecks(cluster, verdict, partitions)
        cluster.scheduler.on_turn = self.on_turn
        cluster.raft.on_send = self.on_raft_send
        cluster.on_process_end = self.on_process_end
        history.on_acked = self.replicas.on_acked

    def on_turn(self, loop: HostLoop) -> None:
        node: Node | None = loop.owner
        if node is None or node.broker is None:
            return
        groups: dict[int, RaftGroup] = node.broker._quorum._host._groups
        seen = self._seen.setdefault(node.node_id, {})
        for group_id, group in groups.items():
            before = seen.get(group_id)
            if before is None:
                before = seen[group_id] = _Seen()
                self._check_start(node, group_id, group.raft)
            raft = group.raft
            log = raft.log
            now = (raft.term, raft.role, log.commit, log.applied, log.last_index)
            if now != (before.term, before.role, before.commit, before.applied, before.last_index):
                self._check_group(node, group_id, raft, before)
                seen[group_id] = _Seen(*now)
        self.replicas.on_turn(node)

    def on_process_end(self, node: Node) -> None:
        self._seen.pop(node.node_id, None)
        self.replicas.on_process_end(node)

    # -- consensus

    def _truth(self, group_id: int) -> _GroupTruth:
        found = self._groups.get(group_id)
        if found is None:
            found = self._groups[group_id] = _GroupTruth()
        return found

    def _check_start(self, node: Node, group_id: int, raft: Any) -> None:
        """What a process finds on its disk is at least what earlier ones promised."""
        self.wal.on_start(node.node_id, group_id, raft.log.last_index)
        if raft.hard_state.damaged:
            self._verdict.count("damaged groups")
            self._verdict.check(
                node.is_rotten, "R8 a power cut damages no log", node, group_id, raft.hard_state
            )
            return
        if node.is_rotten:
            return
        truth = self._truth(group_id)
        promised = truth.promised_term.get(node.node_id, 0)
        self._verdict.check(
            raft.term >= promised,
            "R8 a term is durable before it is told",
            node,
            group_id,
            raft.term,
            promised,
        )
        vote = truth.votes.get((node.node_id, raft.term))
        self._verdict.check(
            vote is None or raft.hard_state.vote == vote,
            "R8 a vote is durable before it is given",
            node,
            group_id,
            raft.hard_state,
            vote,
        )
        term, index = truth.accepted.get(node.node_id, (0, 0))
        last = raft.log.last_index
        held = last >= index or raft.log.last_term > term
        self._verdict.check(
            held, "R8 an entry is durable before it is acknowledged", node, group_id, (term, index), last
        )

    def _check_group(self, node: Node, group_id: int, raft: Any, before: _Seen) -> None:
        check, truth, log = self._verdict.check, self._truth(group_id), raft.log
        check(raft.term >= before.term, "R2 a term never goes back", node, group_id, before.term, raft.term)
        check(
            log.commit >= before.commit,
            "R2 the commit index never goes back",
            node,
            group_id,
            before,
            log.commit,
        )
        check(log.applied >= before.applied, "R2 what is applied stays", node, group_id, before, log.applied)
        check(
            log.last_index >= log.commit,
            "R6 no truncation below the commit index",
            node,
            group_id,
            log.commit,
        )
        if raft.role == Role.LEADER and before.role != Role.LEADER:
            leader = truth.leaders.setdefault(raft.term, node.node_id)
            check(leader == node.node_id, "R1 one leader per term", group_id, raft.term, leader, node)
            self._verdict.count("Raft leaders")
            for index, (term, _) in truth.canonical.items():
                if index > log.base_index:
                    held = log.term_at(index)
                    check(
                        held == term,
                        "R4 a leader has all that is committed",
                        node,
                        group_id,
                        index,
                        held,
                        term,
                    )
        if (
            raft.role == before.role == Role.LEADER
            and raft.term == before.term
            and log.commit > before.commit
        ):
            term = log.term_at(log.commit)
            check(
                term in (raft.term, None), "R9 a leader counts entries of its own term", node, group_id, term
            )
        first = max(before.applied, log.base_index) + 1
        if log.applied >= first:
            entries = log.entries(first, log.applied, _ALL_BYTES)
            for index, entry in enumerate(entries, first):
                fact = (entry.term, zlib.crc32(entry.data))
                known = truth.canonical.get(index)
                if known is None:
                    known = truth.canonical[index] = fact
                    self._check_quorum(group_id, index)
                check(known == fact, "R5 all apply the same", node, group_id, index, known, fact)
            self._verdict.count("entries applied", log.applied - first + 1)

    def _check_quorum(self, group_id: int, index: int) -> None:
        """An entry is applied for the first time: a majority must have it on its disks."""
        nodes = self._cluster.nodes
        holders = [
            node
            for node in nodes
            if node.is_rotten or self.wal.durable.get((node.node_id, group_id), 0) >= index
        ]
        self._verdict.check(
            len(holders) > len(nodes) // 2, "R9 committed is durable on a majority", group_id, index, holders
        )

    def on_raft_send(self, sender: int, to: int, batch: Batch) -> None:
        """A batch leaves a node: it may only say what is durable there."""
        for group_id, message in batch:
            truth = self._truth(group_id)
            term = getattr(message, "term", 0)
            if type(message) is VoteRequest:
                self._on_vote(truth, group_id, sender, term, sender)
            elif type(message) is VoteResponse and message.granted:
                self._on_vote(truth, group_id, sender, term, to)
            elif type(message) is AppendAccepted:
                truth.promised_term[sender] = max(term, truth.promised_term.get(sender, 0))
                known = truth.accepted.get(sender, (0, 0))
                truth.accepted[sender] = max(known, (term, message.index))

    def _on_vote(self, truth: _GroupTruth, group_id: int, voter: int, term: int, candidate: int) -> None:
        known = truth.votes.setdefault((voter, term), candidate)
        self._verdict.check(
            known == candidate, "R7 one vote per node and term", voter, group_id, term, known, candidate
        )
        truth.promised_term[voter] = max(term, truth.promised_term.get(voter, 0))

    # -- the end

    def check_converged(self) -> None:
        """Every node has applied the same to the same index, and holds the same records."""
        self.replicas.check_converged()
