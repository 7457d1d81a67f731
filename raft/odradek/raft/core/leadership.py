"""A leader's office, from election to the end of its term: proposals, replication, reads, transfer, membership.

Decides what enters the log, when an open change of membership goes on, when the leadership may be handed over, and
when a leader has removed itself. Does not decide when the office begins or ends (`raft` does). Invariants: the
office opens with an entry of its own term; one change of membership at a time, and none before that entry is
committed; while the leadership is being handed over nothing new is proposed, so that the successor can hold
everything. Source: Raft thesis 3.4, 3.10, 4.2.2, 4.3, 6.4.
"""

from collections.abc import Iterable, Iterator, Sequence

from .config import RaftConfig
from .following import Answer
from .log_view import LogView
from .membership import Membership, changed, encode_configuration, left
from .messages import (
    AppendAccepted,
    AppendRejected,
    Heartbeat,
    HeartbeatResponse,
    Message,
    ReadIndexAccepted,
    ReadIndexRequest,
    TimeoutNow,
)
from .quorum import Configuration
from .read_index import PendingReads, ReadRounds
from .replication import Replication
from .types import CONFIGURATION, NO_NODE, NOOP, NORMAL, Entry


class Leadership:
    """Lives as long as this node leads in `term`."""

    __slots__ = (
        "_config",
        "_log",
        "_membership",
        "_node_id",
        "_term",
        "_transfer_asked",
        "_transfer_deadline_ms",
        "_uncommitted_bytes",
        "reads",
        "replication",
        "transfer_to",
    )

    def __init__(
        self, node_id: int, term: int, config: RaftConfig, log: LogView, membership: Membership, now_ms: int
    ) -> None:
        self._node_id = node_id
        self._term = term
        self._config = config
        self._log = log
        self._membership = membership
        self._uncommitted_bytes = 0
        self.replication = Replication(node_id, term, membership, config, log, now_ms)
        self.reads = ReadRounds(node_id, config.reads_waiting_max)
        # The successor while the leadership is being handed over.
        self.transfer_to = NO_NODE
        self._transfer_deadline_ms = 0
        self._transfer_asked = False
        if membership.needs_record:
            # From now on the log says who takes part, whatever the next start is told.
            self._append_configuration(membership.configuration, now_ms)
        else:
            log.append([Entry(term, NOOP, b"")])

    # -- queries

    @property
    def is_settled(self) -> bool:
        """An entry of this term is committed, and with it everything before."""
        return self._log.commit >= self.replication.term_start_index

    @property
    def is_over(self) -> bool:
        """This node is no voter any more, and that is committed: it has no say in what comes next."""
        membership = self._membership
        return self._node_id not in membership.configuration.voters and self._log.commit >= membership.index

    @property
    def next_deadline(self) -> int | None:
        deadline = self.replication.next_deadline
        if self.transfer_to == NO_NODE:
            return deadline
        transfer_ms = self._transfer_deadline_ms
        return transfer_ms if deadline is None else min(deadline, transfer_ms)

    # -- what enters the log

    def propose(self, proposals: Sequence[bytes]) -> bool:
        """Append proposals, unless too many bytes wait for commitment or the leadership is being handed over."""
        size = sum(map(len, proposals))
        if self.transfer_to != NO_NODE or (
            self._uncommitted_bytes and self._uncommitted_bytes + size > self._config.uncommitted_bytes_max
        ):
            return False
        self._log.append([Entry(self._term, NORMAL, data) for data in proposals])
        self._uncommitted_bytes += size
        return True

    def change_membership(self, voters: Iterable[int], learners: Iterable[int], now_ms: int) -> bool:
        """Begin a change; False while another one, or a transfer, is under way. Raises ValueError for a target
        that cannot be."""
        membership = self._membership
        configuration = membership.configuration
        if (
            configuration.is_joint
            or self._log.commit < membership.index
            or not self.is_settled
            or self.transfer_to != NO_NODE
        ):
            return False
        target = changed(configuration, voters, learners)
        if target != configuration:
            self._append_configuration(target, now_ms)
        return True

    def _append_configuration(self, configuration: Configuration, now_ms: int) -> None:
        entry = Entry(self._term, CONFIGURATION, encode_configuration(configuration))
        self._log.append([entry])
        self._membership.replace_from(self._log.last_index, [entry])
        self.replication.on_configuration(now_ms)

    # -- commitment

    def maybe_commit(self, now_ms: int) -> None:
        """Commit what a quorum holds, and end a change of membership whose joint configuration is committed."""
        log = self._log
        self.replication.restore_trust()
        index, before = self.replication.committable_index(), log.commit
        if not log.commit_to(index):
            return
        if index == log.last_index:
            self._uncommitted_bytes = 0
        else:
            newly = log.entries(before + 1, index, self._config.uncommitted_bytes_max * 2)
            size = sum(len(entry.data) for entry in newly if entry.kind == NORMAL)
            self._uncommitted_bytes = max(0, self._uncommitted_bytes - size)
        membership = self._membership
        if membership.configuration.is_joint and index >= membership.index:
            self._append_configuration(left(membership.configuration), now_ms)

    # -- transfer

    def begin_transfer(self, to: int, now_ms: int) -> bool:
        """Hand over to `to`; False when it is no voter of what comes next, or a transfer is under way."""
        if self.transfer_to != NO_NODE:
            return self.transfer_to == to
        if to not in self._membership.configuration.incoming or to not in self.replication.progress:
            return False
        self.transfer_to = to
        self._transfer_deadline_ms = now_ms + self._config.election_timeout_ms
        self._transfer_asked = False
        return True

    def handover(self) -> Iterator[TimeoutNow]:
        """The word that makes a successor campaign: the chosen one, once it holds everything, or, when this node
        has removed itself, the voter that holds most."""
        progress, to = self.replication.progress, self.transfer_to
        if self.is_over:
            heirs = sorted(self._membership.configuration.incoming)
            heir = max(heirs, key=lambda voter: progress[voter].match_index)
            yield TimeoutNow(self._node_id, heir, self._term)
        elif to in progress and not self._transfer_asked and progress[to].match_index >= self._log.last_index:
            self._transfer_asked = True
            yield TimeoutNow(self._node_id, to, self._term)

    # -- time

    def on_timer(self, now_ms: int) -> Iterator[Heartbeat]:
        """Heartbeats that are due."""
        if self.transfer_to != NO_NODE and now_ms >= self._transfer_deadline_ms:
            self.transfer_to = NO_NODE
        replication = self.replication
        if replication.progress and now_ms >= replication.heartbeat_deadline_ms:
            # The word to the successor may have been lost.
            self._transfer_asked = False
            yield from replication.heartbeats(now_ms, self.reads.number)

    # -- answers

    def on_answer(self, message: Answer, now_ms: int) -> None:
        """Take an answer of this term. That of a node which gets nothing any more is late, and means nothing."""
        progress = self.replication.progress.get(message.sender)
        if progress is None:
            return
        news = False
        if isinstance(message, AppendAccepted):
            if message.index >= progress.whole_after:
                if progress.whole_after:
                    # Accepted after the loss: the word of it was a late one, and this node counts already.
                    progress.on_whole()
                news = progress.on_accepted(message.index)
            else:
                progress.on_late_acceptance(message.index)
        elif isinstance(message, AppendRejected):
            if message.log_lost and not progress.whole_after:
                self._log.append([Entry(self._term, NOOP, b"")])
                progress.on_log_lost(message.prev_index, self._log.last_index)
            self.replication.on_rejected(message)
        elif isinstance(message, HeartbeatResponse):
            self.reads.on_acknowledged(message.sender, message.read_round)
            self.replication.on_heartbeat_response(message.sender)
        else:
            progress.on_snapshot_progress(message.index, message.next_offset)
        progress.on_contact(now_ms, self._log.last_index)
        self.replication.restore_trust()
        if news:
            self.maybe_commit(now_ms)

    def on_read_request(self, message: ReadIndexRequest) -> bool:
        """Take a read of another node; False when too many wait."""
        return self.reads.gather(message.sender, message.read_id)

    def serve_reads(self, own_read_id: int | None, pending: PendingReads) -> Iterator[Message]:
        """Ask for a new round of reads, this node's own included, and answer those that are confirmed."""
        if own_read_id is not None and not self.reads.gather(self._node_id, own_read_id):
            pending.finish(own_read_id, None)
        if self.is_settled and self.reads.begin(self._log.commit):
            yield from self.replication.questions(self.reads.number)
        for reader, read_id, index in self.reads.take_confirmed(self._membership.configuration):
            if reader == self._node_id:
                pending.finish(read_id, index)
            else:
                yield ReadIndexAccepted(self._node_id, reader, self._term, read_id, index)
