"""One member of one consensus group: roles, terms, and the routing of every input.
 Decides who leads, what is committed, and what the shell must do about it (`Ready`). Does not touch a disk, a
socket, a clock or a random generator: time comes in as `now_ms`, the next deadline is a query, chance is an
injected `Random`. Invariants: `term` never goes back; one vote per term; at most one leader per term; what a
`Ready` marks as after-durable was never true only in memory. Source: Ongaro's thesis (chapter numbers in the
parts), etcd/raft for `Ready`.

Use: feed `step`, `propose`, `on_timer`, `on_durable`; after any of them take `ready()` until it is None; call
`on_timer` when `next_deadline` has come.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .config import RaftConfig
from .election import Election, is_up_to_date, may_vote
from .log_view import LogView
from .messages import (
    AppendAccepted,
    AppendRejected,
    AppendRequest,
    FromLeader,
    Heartbeat,
    HeartbeatResponse,
    Message,
    PreVoteRequest,
    PreVoteResponse,
    ReadIndexAccepted,
    ReadIndexRejected,
    ReadIndexRequest,
    SnapshotChunk,
    SnapshotProgress,
    TimeoutNow,
    VoteRequest,
    VoteResponse,
)
from .quorum import Configuration, VoteResult
from .ready import ChunkToSend, InstalledSnapshot, Ready
from .replication import Replication, answer_append
from .snapshot_transfer import IncomingSnapshot
from .types import NO_NODE, NOOP, NORMAL, Entry, HardState, Random, Role, SnapshotMeta


class Raft:
    """`log`, `hard_state` and `snapshot` are what the disk held; `snapshot` is the newest one the shell can
    serve."""

    def __init__(
        self,
        node_id: int,
        voters: Iterable[int],
        config: RaftConfig,
        random: Random,
        log: LogView,
        hard_state: HardState,
        snapshot: SnapshotMeta | None,
        now_ms: int,
    ) -> None:
        self.node_id = node_id
        self.configuration = Configuration(frozenset(voters))
        assert node_id in self.configuration.voters, (node_id, self.configuration)
        self.config = config
        self.log = log
        self.role = Role.FOLLOWER
        self.leader_id = NO_NODE
        self._term = max(hard_state.term, log.last_term)
        self._vote = hard_state.vote if self._term == hard_state.term else NO_NODE
        self._damaged = hard_state.damaged
        # Why the minimum: the commit index is noted beside entries, and the last of those writes may be torn.
        self.log.commit_to(min(hard_state.commit, log.last_index))
        self._snapshot = snapshot
        self._election = Election(config, random, now_ms)
        self._replication: Replication | None = None
        self._incoming = IncomingSnapshot()
        self._installed: InstalledSnapshot | None = None
        self._uncommitted_bytes = 0
        self._number = 0
        self._durable = self._handed_out = HardState(hard_state.term, hard_state.vote, 0, hard_state.damaged)
        self._hard_state_writes: deque[tuple[int, HardState]] = deque()
        self._now: list[Message] = []
        self._after: list[Message] = []
        if len(self.configuration.voters) == 1:
            self._campaign(now_ms)

    # -- queries
    # -----------------------------------------------------------------------------------------------------

    @property
    def term(self) -> int:
        return self._term

    @property
    def hard_state(self) -> HardState:
        return HardState(self._term, self._vote, self.log.commit, self._damaged)

    @property
    def term_start_index(self) -> int | None:
        """While leading: the index of the entry that opened the term. A leader that applied it has seen
        everything that was committed before."""
        return self._replication.term_start_index if self._replication is not None else None

    @property
    def snapshot(self) -> SnapshotMeta | None:
        """The newest snapshot that the shell stored."""
        return self._snapshot

    @property
    def replication(self) -> Replication | None:
        """While leading: what is known of the followers."""
        return self._replication

    @property
    def next_deadline(self) -> int | None:
        """When `on_timer` wants to be called (ms, same clock as `now_ms`)."""
        if self._replication is not None:
            return self._replication.next_deadline
        if self._damaged or len(self.configuration.voters) == 1:
            return None
        return self._election.deadline_ms

    # -- inputs
    # ------------------------------------------------------------------------------------------------------

    def propose(self, proposals: Sequence[bytes], now_ms: int) -> int | None:
        """Append proposals to the log; the index of the last one. None when this node does not lead, or when
        more than `uncommitted_bytes_max` would wait for commitment."""
        self._check_quorum(now_ms)
        if self.role != Role.LEADER or not proposals:
            return None
        size = sum(map(len, proposals))
        if self._uncommitted_bytes and self._uncommitted_bytes + size > self.config.uncommitted_bytes_max:
            return None
        term = self._term
        self.log.append([Entry(term, NORMAL, data) for data in proposals])
        self._uncommitted_bytes += size
        return self.log.last_index

    def on_timer(self, now_ms: int) -> None:
        """Do what is due at `now_ms`; nothing when called early."""
        if self._replication is not None:
            self._check_quorum(now_ms)
            replication = self._replication
            if (
                replication is not None
                and replication.progress
                and now_ms >= replication.heartbeat_deadline_ms
            ):
                self._now.extend(replication.heartbeats(now_ms))
        elif (deadline := self.next_deadline) is not None and now_ms >= deadline:
            self._campaign(now_ms)

    def on_durable(self, number: int, now_ms: int) -> None:
        """The writes of all `Ready`s up to `number` survive a crash."""
        self.log.on_durable(number)
        while self._hard_state_writes and self._hard_state_writes[0][0] <= number:
            self._durable = self._hard_state_writes.popleft()[1]
        if self.role == Role.CANDIDATE and self._durable[:2] == (self._term, self.node_id):
            # The own vote counts like any other: when it can no longer be forgotten.
            self._election.record(self.node_id, True)
            self._on_ballot(now_ms)
        self._maybe_commit()

    def step(self, message: Message, now_ms: int) -> None:
        """Take one message of another voter. Late, repeated, lost and reordered messages are all fine."""
        if message.to != self.node_id or message.sender not in self.configuration.voters:
            return
        self._check_quorum(now_ms)
        if message.term > self._term:
            if not self._accept_newer_term(message, now_ms):
                return
        elif message.term < self._term and not isinstance(message, PreVoteResponse):
            self._answer_older_term(message)
            return
        if isinstance(message, FromLeader):
            self._follow(message.sender, now_ms)
        _HANDLERS[type(message)](self, message, now_ms)

    def on_snapshot_stored(self, snapshot: SnapshotMeta, keep_from: int) -> None:
        """The shell durably stored a snapshot of the own machine. Entries before `keep_from` are forgotten;
        those from there on, even where the snapshot covers them, stay for followers that are a little
        behind."""
        if self._snapshot is None or snapshot.index > self._snapshot.index:
            self._snapshot = snapshot
            self.log.compact(min(keep_from - 1, snapshot.index))

    def on_snapshot_unreadable(self, to: int) -> None:
        """A chunk for `to` could not be read (its snapshot was replaced): start over with the newest."""
        if self._replication is not None and to in self._replication.progress:
            self._replication.progress[to].abort_snapshot()

    # -- output
    # ------------------------------------------------------------------------------------------------------

    def ready(self) -> Ready | None:
        """What has to be done now, or None. Each part is handed out once."""
        chunks: list[ChunkToSend] = []
        if self._replication is not None and self._replication.progress:
            for item in self._replication.appends(self._snapshot):
                if isinstance(item, ChunkToSend):
                    chunks.append(item)
                else:
                    self._now.append(item)
        log = self.log
        state = HardState(self._term, self._vote, 0, self._damaged)
        changed = state != self._handed_out
        if not (
            changed
            or chunks
            or self._now
            or self._after
            or log.has_unwritten
            or log.commit > log.applied
            or self._installed is not None
        ):
            return None
        self._number += 1
        if changed:
            self._handed_out = state
            self._hard_state_writes.append((self._number, state))
        first_index, entries = log.take_unwritten(self._number)
        prev_term = log.term_at(first_index - 1)
        assert prev_term is not None, (first_index, log.base_index)
        committed_first, committed = log.take_committed(self.config.apply_bytes_max)
        ready = Ready(
            self._number,
            self._installed,
            self.hard_state if changed else None,
            log.commit,
            first_index,
            prev_term,
            entries,
            self._now,
            self._after,
            chunks,
            committed_first,
            committed,
        )
        self._now, self._after, self._installed = [], [], None
        return ready

    # -- terms and roles
    # ---------------------------------------------------------------------------------------------

    def _accept_newer_term(self, message: Message, now_ms: int) -> bool:
        """Adopt the term of `message` where it means something; False when the message ends here."""
        if isinstance(message, PreVoteRequest) or (isinstance(message, PreVoteResponse) and message.granted):
            return True
        if isinstance(message, VoteRequest) and self._has_lease(now_ms):
            return False
        self._become_follower(message.term, now_ms)
        return True

    def _answer_older_term(self, message: Message) -> None:
        """Tell the sender of a request that its term is over. Why also a leader: with pre-vote and leases a
        node whose term ran ahead could otherwise neither join the group nor end the older term."""
        sender, to, term = self.node_id, message.sender, self._term
        if isinstance(message, FromLeader):
            self._reply(HeartbeatResponse(sender, to, term))
        elif isinstance(message, PreVoteRequest):
            self._reply(PreVoteResponse(sender, to, term, False))
        elif isinstance(message, VoteRequest):
            self._reply(VoteResponse(sender, to, term, False))

    def _reply(self, message: Message) -> None:
        """Send now, unless the term in it is not durable yet."""
        (self._now if self._durable.term == self._term else self._after).append(message)

    def _has_lease(self, now_ms: int) -> bool:
        return self.role == Role.LEADER or (self.leader_id != NO_NODE and self._election.has_lease(now_ms))

    def _become_follower(self, term: int, now_ms: int) -> None:
        if term > self._term:
            self._term, self._vote = term, NO_NODE
            self._election.forget_leader()
        if self._replication is not None:
            self._replication = None
            self._uncommitted_bytes = 0
            self._election.reset_deadline(now_ms)
        self.role = Role.FOLLOWER
        self.leader_id = NO_NODE
        self._incoming.drop()

    def _follow(self, leader_id: int, now_ms: int) -> None:
        assert self.role != Role.LEADER, f"two leaders in term {self._term}: {self.node_id} and {leader_id}"
        if self.role != Role.FOLLOWER:
            self._become_follower(self._term, now_ms)
        assert self.leader_id in (NO_NODE, leader_id), (self._term, self.leader_id, leader_id)
        self.leader_id = leader_id
        self._election.on_leader_contact(now_ms)

    def _campaign(self, now_ms: int) -> None:
        """Ask whether an election could be won; only then raise the term."""
        if self._damaged:
            return
        self.leader_id = NO_NODE
        self._incoming.drop()
        self._election.begin(now_ms)
        if len(self.configuration.voters) == 1:
            self._become_candidate(now_ms)
            return
        self.role = Role.PRE_CANDIDATE
        self._election.record(self.node_id, True)
        for voter in self._others():
            self._now.append(
                PreVoteRequest(self.node_id, voter, self._term + 1, self.log.last_index, self.log.last_term)
            )

    def _become_candidate(self, now_ms: int) -> None:
        self.role = Role.CANDIDATE
        self._term += 1
        self._vote = self.node_id
        self._election.begin(now_ms)
        for voter in self._others():
            self._after.append(
                VoteRequest(self.node_id, voter, self._term, self.log.last_index, self.log.last_term)
            )

    def _others(self) -> list[int]:
        return [voter for voter in sorted(self.configuration.voters) if voter != self.node_id]

    def _on_ballot(self, now_ms: int) -> None:
        result = self._election.result(self.configuration)
        if result == VoteResult.LOST:
            self.role = Role.FOLLOWER
        elif result == VoteResult.WON and self.role == Role.PRE_CANDIDATE:
            self._become_candidate(now_ms)
        elif result == VoteResult.WON:
            self._become_leader(now_ms)

    def _become_leader(self, now_ms: int) -> None:
        self.role = Role.LEADER
        self.leader_id = self.node_id
        self._uncommitted_bytes = 0
        self._replication = Replication(
            self.node_id, self._term, self.configuration, self.config, self.log, now_ms
        )
        self.log.append([Entry(self._term, NOOP, b"")])

    def _check_quorum(self, now_ms: int) -> None:
        """A leader that has not heard a quorum for an election timeout is one no longer (perhaps it was
        paused)."""
        replication = self._replication
        if replication is None or not replication.progress or now_ms < replication.quorum_deadline_ms:
            return
        if not replication.has_quorum(now_ms):
            self._become_follower(self._term, now_ms)

    def _maybe_commit(self) -> None:
        if self._replication is None:
            return
        index, before = self._replication.committable_index(), self.log.commit
        if not self.log.commit_to(index):
            return
        if index == self.log.last_index:
            self._uncommitted_bytes = 0
        else:
            newly = self.log.entries(before + 1, index, self.config.uncommitted_bytes_max * 2)
            self._uncommitted_bytes = max(
                0, self._uncommitted_bytes - sum(len(entry.data) for entry in newly)
            )

    # -- one method per message
    # --------------------------------------------------------------------------------------

    def _on_pre_vote_request(self, message: PreVoteRequest, now_ms: int) -> None:
        granted = (
            message.term > self._term
            and not self._damaged
            and not self._has_lease(now_ms)
            and is_up_to_date(self.log, message.last_index, message.last_term)
        )
        term = message.term if granted else self._term
        self._reply(PreVoteResponse(self.node_id, message.sender, term, granted))

    def _on_pre_vote_response(self, message: PreVoteResponse, now_ms: int) -> None:
        if self.role == Role.PRE_CANDIDATE and (not message.granted or message.term == self._term + 1):
            self._election.record(message.sender, message.granted)
            self._on_ballot(now_ms)

    def _on_vote_request(self, message: VoteRequest, now_ms: int) -> None:
        granted = may_vote(self.hard_state, self.leader_id, message.sender) and is_up_to_date(
            self.log, message.last_index, message.last_term
        )
        if granted:
            self._vote = message.sender
            self._election.reset_deadline(now_ms)
        self._after.append(VoteResponse(self.node_id, message.sender, self._term, granted))

    def _on_vote_response(self, message: VoteResponse, now_ms: int) -> None:
        if self.role == Role.CANDIDATE:
            self._election.record(message.sender, message.granted)
            self._on_ballot(now_ms)

    def _on_append_request(self, message: AppendRequest, now_ms: int) -> None:
        answer = answer_append(self.log, message, self._damaged)
        if isinstance(answer, AppendAccepted):
            self._after.append(answer)
            self._maybe_heal()
        else:
            self._reply(answer)

    def _on_append_accepted(self, message: AppendAccepted, now_ms: int) -> None:
        if self._replication is not None:
            progress = self._replication.progress[message.sender]
            progress.contact_ms = now_ms
            if progress.on_accepted(message.index):
                self._maybe_commit()

    def _on_append_rejected(self, message: AppendRejected, now_ms: int) -> None:
        if self._replication is not None:
            self._replication.progress[message.sender].contact_ms = now_ms
            self._replication.on_rejected(message)

    def _on_heartbeat(self, message: Heartbeat, now_ms: int) -> None:
        log = self.log
        if message.commit > log.last_index:
            # The leader takes this node for one that holds what it lost, and would send nothing by itself.
            # That is also how a node finds out whose disk was emptied behind its back.
            self._damaged = True
            hint = (log.last_index, log.last_term)
            self._reply(
                AppendRejected(self.node_id, message.sender, self._term, message.commit, *hint, log_lost=True)
            )
            return
        log.commit_to(message.commit)
        self._maybe_heal()
        self._reply(HeartbeatResponse(self.node_id, message.sender, self._term))

    def _on_heartbeat_response(self, message: HeartbeatResponse, now_ms: int) -> None:
        if self._replication is not None:
            self._replication.progress[message.sender].contact_ms = now_ms
            self._replication.on_heartbeat_response(message.sender)

    def _on_snapshot_chunk(self, chunk: SnapshotChunk, now_ms: int) -> None:
        if chunk.index <= self.log.commit:
            self._after.append(AppendAccepted(self.node_id, chunk.sender, self._term, self.log.commit))
            return
        if chunk.total > self.config.snapshot_bytes_max:
            return
        if not self._incoming.add(chunk):
            self._reply(
                SnapshotProgress(
                    self.node_id, chunk.sender, self._term, chunk.index, self._incoming.next_offset
                )
            )
            return
        data = self._incoming.take()
        if self.log.term_at(chunk.index) == chunk.index_term:
            # The entries are all here; only the news that they are committed was missing.
            self.log.commit_to(chunk.index)
        else:
            self.log.reset(chunk.index, chunk.index_term)
            self._snapshot = SnapshotMeta(chunk.index, chunk.index_term, chunk.total, chunk.configuration)
            self._installed = InstalledSnapshot(chunk.index, chunk.index_term, data, chunk.configuration)
        self._maybe_heal()
        self._after.append(AppendAccepted(self.node_id, chunk.sender, self._term, chunk.index))

    def _on_snapshot_progress(self, message: SnapshotProgress, now_ms: int) -> None:
        if self._replication is not None:
            progress = self._replication.progress[message.sender]
            progress.contact_ms = now_ms
            progress.on_snapshot_progress(message.index, message.next_offset)

    def _on_nothing_yet(self, message: Message, now_ms: int) -> None:
        """Lose it."""

    def _maybe_heal(self) -> None:
        """A damaged log is whole again once an entry of the present leader's term is committed in it:
        everything ever acknowledged precedes that entry. A vote that may have been forgotten is filled in
        with the leader's name, so that this term cannot get a second one."""
        if self._damaged and self.log.term_at(self.log.commit) == self._term:
            self._damaged = False
            self._vote = self.leader_id


_HANDLERS: dict[type, Callable[[Raft, Any, int], None]] = {
    PreVoteRequest: Raft._on_pre_vote_request,
    PreVoteResponse: Raft._on_pre_vote_response,
    VoteRequest: Raft._on_vote_request,
    VoteResponse: Raft._on_vote_response,
    AppendRequest: Raft._on_append_request,
    AppendAccepted: Raft._on_append_accepted,
    AppendRejected: Raft._on_append_rejected,
    Heartbeat: Raft._on_heartbeat,
    HeartbeatResponse: Raft._on_heartbeat_response,
    SnapshotChunk: Raft._on_snapshot_chunk,
    SnapshotProgress: Raft._on_snapshot_progress,
    TimeoutNow: Raft._on_nothing_yet,
    ReadIndexRequest: Raft._on_nothing_yet,
    ReadIndexAccepted: Raft._on_nothing_yet,
    ReadIndexRejected: Raft._on_nothing_yet,
}
