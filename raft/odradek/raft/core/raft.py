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
from .following import Answer, Following
from .leadership import Leadership
from .log_view import LogView
from .membership import Membership
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
from .read_index import PendingReads
from .ready import ChunkToSend, Ready
from .replication import Replication
from .types import NO_NODE, HardState, Random, Role, SnapshotMeta


class Raft:
    """`log`, `hard_state` and `snapshot` are what the disk held; `snapshot` is the newest one the shell can serve.
    `voters` only count where neither log nor snapshot says who takes part; this node need not be one of them."""

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
        base = snapshot.configuration if snapshot is not None else Configuration(frozenset(voters))
        self._membership = Membership(base, snapshot is not None)
        self._membership.replace_from(log.base_index + 1, log.all_entries())
        self.config = config
        self.log = log
        self.role = Role.FOLLOWER
        self.leader_id = NO_NODE
        self._term = max(hard_state.term, log.last_term)
        self._vote = hard_state.vote if self._term == hard_state.term else NO_NODE
        self._following = Following(config, log, self._membership, snapshot, hard_state.damaged)
        # Why the minimum: the commit index is noted beside entries, and the last of those writes may be torn.
        self.log.commit_to(min(hard_state.commit, log.last_index))
        self._election = Election(config, random, now_ms)
        self._office: Leadership | None = None
        self._reads = PendingReads(random)
        self._number = 0
        self._durable = self._handed_out = HardState(hard_state.term, hard_state.vote, 0, hard_state.damaged)
        self._hard_state_writes: deque[tuple[int, HardState]] = deque()
        self._now: list[Message] = []
        self._after: list[Message] = []
        if self._is_alone:
            self._campaign(now_ms)

    # -- queries

    @property
    def term(self) -> int:
        return self._term

    @property
    def hard_state(self) -> HardState:
        return HardState(self._term, self._vote, self.log.commit, self._following.damaged)

    @property
    def term_start_index(self) -> int | None:
        """While leading: the index of the entry that opened the term; who applied it has seen all that came before."""
        return self._office.replication.term_start_index if self._office is not None else None

    @property
    def snapshot(self) -> SnapshotMeta | None:
        """The newest snapshot that the shell stored."""
        return self._following.snapshot

    @property
    def replication(self) -> Replication | None:
        """While leading: what is known of the followers."""
        return self._office.replication if self._office is not None else None

    @property
    def configuration(self) -> Configuration:
        """Who takes part: the newest configuration in the log, committed or not."""
        return self._membership.configuration

    @property
    def is_membership_committed(self) -> bool:
        """`configuration` can not be taken back any more."""
        return self.log.commit >= self._membership.index

    def configuration_at(self, index: int) -> Configuration:
        """The configuration in force at `index`, for a snapshot there."""
        return self._membership.at(index)

    @property
    def transfer_to(self) -> int:
        """While leading: the node to which the leadership is being handed over, or NO_NODE."""
        return self._office.transfer_to if self._office is not None else NO_NODE

    @property
    def next_deadline(self) -> int | None:
        """When `on_timer` wants to be called (ms, same clock as `now_ms`)."""
        deadline = self._office.next_deadline if self._office is not None else self._election_deadline
        read_ms = self._reads.next_deadline
        if deadline is None or read_ms is None:
            return read_ms if deadline is None else deadline
        return min(deadline, read_ms)

    @property
    def _election_deadline(self) -> int | None:
        # Who only waits for its own disk gains nothing by asking again.
        is_waiting = self._is_alone and self.role == Role.CANDIDATE
        return self._election.deadline_ms if self._may_campaign and not is_waiting else None

    @property
    def _is_alone(self) -> bool:
        return self.configuration.voters == {self.node_id}

    @property
    def _may_campaign(self) -> bool:
        return not self._following.damaged and self.node_id in self.configuration.voters

    # -- inputs

    def propose(self, proposals: Sequence[bytes], now_ms: int) -> int | None:
        """Append them; the index of the last. None: not leading, or more than `uncommitted_bytes_max` would wait."""
        self._check_quorum(now_ms)
        if self._office is None or not proposals or not self._office.propose(proposals):
            return None
        return self.log.last_index

    def change_membership(self, voters: Iterable[int], learners: Iterable[int], now_ms: int) -> bool:
        """Begin a change to these voters and learners; the rest follows by itself, and the target is reached when
        `configuration` is not joint and committed. False when this node does not lead, or when another change, or
        a transfer, is under way. Raises ValueError for no voters, or one that is a learner too."""
        self._check_quorum(now_ms)
        return self._office is not None and self._office.change_membership(voters, learners, now_ms)

    def transfer_leadership(self, to: int, now_ms: int) -> bool:
        """Begin to hand over: no proposals until that is done or an election timeout has passed. False: cannot be."""
        self._check_quorum(now_ms)
        return self._office is not None and self._office.begin_transfer(to, now_ms)

    def read(self, now_ms: int) -> int:
        """Begin a linearizable read; its id, which comes back in `Ready.reads`. Reads of one turn share an id."""
        self._check_quorum(now_ms)
        return self._reads.open(now_ms + self.config.election_timeout_ms)

    def on_timer(self, now_ms: int) -> None:
        """Do what is due at `now_ms`; nothing when called early."""
        self._reads.on_timer(now_ms)
        if self._office is not None:
            self._check_quorum(now_ms)
            if self._office is not None:
                self._now.extend(self._office.on_timer(now_ms))
        elif (deadline := self._election_deadline) is not None and now_ms >= deadline:
            self._campaign(now_ms)

    def on_leader_lost(self, now_ms: int) -> None:
        """A hint that the leader is gone: ask for votes soon. Those who still hear it refuse; its next word ends it."""
        if self._office is None and self.leader_id != NO_NODE:
            self._reads.fail_all()
            self._election.on_leader_lost(self.leader_id, now_ms)

    def on_voter_found(self, now_ms: int) -> None:
        """A hint that another voter can be reached: where no leader is known, ask for votes soon."""
        if self._office is None and self.leader_id == NO_NODE and self.role != Role.CANDIDATE:
            self._election.on_voter_found(now_ms)

    def on_durable(self, number: int, now_ms: int) -> None:
        """The writes of all `Ready`s up to `number` survive a crash."""
        self.log.on_durable(number)
        while self._hard_state_writes and self._hard_state_writes[0][0] <= number:
            self._durable = self._hard_state_writes.popleft()[1]
        if self.role == Role.CANDIDATE and self._durable[:2] == (self._term, self.node_id):
            # The own vote counts like any other: when it can no longer be forgotten.
            self._election.record(self.node_id, True)
            self._on_ballot(now_ms)
        if self._office is not None:
            self._office.maybe_commit(now_ms)

    def step(self, message: Message, now_ms: int) -> None:
        """Take one message of another node. Late, repeated, lost and reordered messages are all fine."""
        if not self._concerns(message):
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
        self._following.on_snapshot_stored(snapshot, keep_from)

    def on_snapshot_unreadable(self, to: int) -> None:
        """A chunk for `to` could not be read (its snapshot was replaced): start over with the newest."""
        if (replication := self.replication) is not None and to in replication.progress:
            replication.progress[to].abort_snapshot()

    # -- output

    def ready(self) -> Ready | None:
        """What has to be done now, or None. Each part is handed out once."""
        chunks: list[ChunkToSend] = []
        if self._office is not None:
            self._work_in_office(self._office, chunks)
        self._forward_reads()
        log = self.log
        state = HardState(self._term, self._vote, 0, self._following.damaged)
        changed = state != self._handed_out
        if not (
            changed
            or chunks
            or self._now
            or self._after
            or log.has_unwritten
            or log.commit > log.applied
            or self._reads.has_news
            or self._following.installed is not None
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
            self._following.take_installed(),
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
            self._reads.take_results(),
        )
        self._now, self._after = [], []
        return ready

    def _work_in_office(self, office: Leadership, chunks: list[ChunkToSend]) -> None:
        for item in office.replication.appends(self.snapshot):
            if isinstance(item, ChunkToSend):
                chunks.append(item)
            else:
                self._now.append(item)
        self._now.extend(office.handover())
        if office.is_over:
            # What it had to say about its own removal leaves with this `Ready`.
            self._become_follower(self._term, None)

    def _forward_reads(self) -> None:
        """Have the reads of this turn asked for, and answer those that are confirmed."""
        read_id = self._reads.take_open()
        if self._office is not None:
            self._now.extend(self._office.serve_reads(read_id, self._reads))
        elif read_id is not None and self.leader_id != NO_NODE:
            self._reply(ReadIndexRequest(self.node_id, self.leader_id, self._term, read_id))
        elif read_id is not None:
            self._reads.finish(read_id, None)

    # -- terms and roles

    def _concerns(self, message: Message) -> bool:
        """Requests are taken from everyone, since the sender may know a newer configuration; answers only from
        members, so that one who was removed and has a higher term ends nobody's office."""
        sender = message.sender
        if message.to != self.node_id or sender == self.node_id:
            return False
        is_request = isinstance(message, PreVoteRequest | VoteRequest | FromLeader)
        return is_request or sender in self.configuration.members or sender == self.leader_id

    def _accept_newer_term(self, message: Message, now_ms: int) -> bool:
        """Adopt the term of `message` where it means something; False when the message ends here."""
        if isinstance(message, PreVoteRequest) or (isinstance(message, PreVoteResponse) and message.granted):
            return True
        if isinstance(message, VoteRequest) and not message.is_transfer and self._has_lease(now_ms):
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
        elif isinstance(message, ReadIndexRequest):
            self._reply(ReadIndexRejected(sender, to, term, message.read_id))

    def _reply(self, message: Message) -> None:
        """Send now, unless the term in it is not durable yet."""
        (self._now if self._durable.term == self._term else self._after).append(message)

    def _has_lease(self, now_ms: int) -> bool:
        return self.role == Role.LEADER or (self.leader_id != NO_NODE and self._election.has_lease(now_ms))

    def _become_follower(self, term: int, now_ms: int | None) -> None:
        if term > self._term:
            self._term, self._vote = term, NO_NODE
            self._election.forget_leader()
        if self._office is not None:
            self._office = None
            if now_ms is not None:  # a node that was removed has no deadline to set
                self._election.reset_deadline(now_ms)
        self.role = Role.FOLLOWER
        self.leader_id = NO_NODE
        self._following.drop_incoming()
        self._reads.fail_all()

    def _follow(self, leader_id: int, now_ms: int) -> None:
        assert self.role != Role.LEADER, f"two leaders in term {self._term}: {self.node_id} and {leader_id}"
        if self.role != Role.FOLLOWER:
            self._become_follower(self._term, now_ms)
        assert self.leader_id in (NO_NODE, leader_id), (self._term, self.leader_id, leader_id)
        self.leader_id = leader_id
        self._election.on_leader_contact(leader_id, now_ms)

    def _campaign(self, now_ms: int) -> None:
        """Ask whether an election could be won; only then raise the term."""
        if not self._may_campaign:
            return
        if self._is_alone:
            self._become_candidate(now_ms, is_transfer=False)
            return
        self._become_follower(self._term, now_ms)
        self._election.begin(now_ms)
        self.role = Role.PRE_CANDIDATE
        self._election.record(self.node_id, True)
        for voter in self._others():
            self._now.append(
                PreVoteRequest(self.node_id, voter, self._term + 1, self.log.last_index, self.log.last_term)
            )

    def _become_candidate(self, now_ms: int, *, is_transfer: bool) -> None:
        self._become_follower(self._term, now_ms)
        self.role = Role.CANDIDATE
        self._term += 1
        self._vote = self.node_id
        self._election.begin(now_ms)
        for voter in self._others():
            self._after.append(
                VoteRequest(
                    self.node_id, voter, self._term, self.log.last_index, self.log.last_term, is_transfer
                )
            )

    def _others(self) -> list[int]:
        return [voter for voter in sorted(self.configuration.voters) if voter != self.node_id]

    def _on_ballot(self, now_ms: int) -> None:
        result = self._election.result(self.configuration)
        if result == VoteResult.LOST:
            self.role = Role.FOLLOWER
        elif result == VoteResult.WON and self.role == Role.PRE_CANDIDATE:
            self._become_candidate(now_ms, is_transfer=False)
        elif result == VoteResult.WON:
            self._become_leader(now_ms)

    def _become_leader(self, now_ms: int) -> None:
        self.role = Role.LEADER
        self.leader_id = self.node_id
        self._office = Leadership(self.node_id, self._term, self.config, self.log, self._membership, now_ms)

    def _check_quorum(self, now_ms: int) -> None:
        """A leader that has not heard a quorum for an election timeout is one no longer (perhaps it was paused)."""
        replication = self.replication
        if replication is None or not replication.progress or now_ms < replication.quorum_deadline_ms:
            return
        if not replication.has_quorum(now_ms):
            self._become_follower(self._term, now_ms)

    # -- one method per message

    def _on_pre_vote_request(self, message: PreVoteRequest, now_ms: int) -> None:
        granted = (
            message.term > self._term
            and not self._following.damaged
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

    def _on_words_of_leader(self, message: AppendRequest | Heartbeat | SnapshotChunk, now_ms: int) -> None:
        was_damaged = self._following.damaged
        answer = self._following.answer(message)
        if isinstance(answer, AppendAccepted):
            self._after.append(answer)
        elif answer is not None:
            self._reply(answer)
        if was_damaged and not self._following.damaged:
            # A vote that may have been forgotten is filled in with the leader's name, so that this term cannot get a
            # second one.
            self._vote = self.leader_id

    def _on_answer(self, message: Answer, now_ms: int) -> None:
        if self._office is not None:
            self._office.on_answer(message, now_ms)

    def _on_timeout_now(self, message: TimeoutNow, now_ms: int) -> None:
        if self._may_campaign:
            self._become_candidate(now_ms, is_transfer=True)

    def _on_read_index_request(self, message: ReadIndexRequest, now_ms: int) -> None:
        if self._office is None or not self._office.on_read_request(message):
            self._reply(ReadIndexRejected(self.node_id, message.sender, self._term, message.read_id))

    def _on_read_index(self, message: ReadIndexAccepted | ReadIndexRejected, now_ms: int) -> None:
        index = message.index if isinstance(message, ReadIndexAccepted) else None
        self._reads.finish(message.read_id, index)


_HANDLERS: dict[type, Callable[[Raft, Any, int], None]] = {
    PreVoteRequest: Raft._on_pre_vote_request,
    PreVoteResponse: Raft._on_pre_vote_response,
    VoteRequest: Raft._on_vote_request,
    VoteResponse: Raft._on_vote_response,
    AppendRequest: Raft._on_words_of_leader,
    AppendAccepted: Raft._on_answer,
    AppendRejected: Raft._on_answer,
    Heartbeat: Raft._on_words_of_leader,
    HeartbeatResponse: Raft._on_answer,
    SnapshotChunk: Raft._on_words_of_leader,
    SnapshotProgress: Raft._on_answer,
    TimeoutNow: Raft._on_timeout_now,
    ReadIndexRequest: Raft._on_read_index_request,
    ReadIndexAccepted: Raft._on_read_index,
    ReadIndexRejected: Raft._on_read_index,
}
