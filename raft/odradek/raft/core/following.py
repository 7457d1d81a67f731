"""The follower's side of replication: what the leader's words do to the log, and the answers.

Decides what is taken over, when a snapshot that came in pieces is complete, and whether this log may be trusted.
Does not decide whom to follow or for how long (`raft`, `election`). Invariants: a committed entry is never given
up; an accepted index is what the request proved; a node that lost acknowledged entries (*damaged*) accepts nothing,
it only says how far it is refilled, until the leader tells it that an entry of the leader's term is committed. The
leader does so once it has made sure that no promise which this node may have forgotten matters (`replication`).
Source: Raft thesis 3.5, 5.1.
"""

from .config import RaftConfig
from .log_view import LogView
from .membership import Membership
from .messages import (
    AppendAccepted,
    AppendRejected,
    AppendRequest,
    Heartbeat,
    HeartbeatResponse,
    SnapshotChunk,
    SnapshotProgress,
)
from .ready import InstalledSnapshot
from .snapshot_transfer import IncomingSnapshot
from .types import SnapshotMeta

Words = AppendRequest | Heartbeat | SnapshotChunk
Answer = AppendAccepted | AppendRejected | HeartbeatResponse | SnapshotProgress


class Following:
    """`snapshot` is the newest one on the disk; `installed` one that was received and not handed out yet."""

    __slots__ = ("_config", "_incoming", "_log", "_membership", "damaged", "installed", "snapshot")

    def __init__(
        self,
        config: RaftConfig,
        log: LogView,
        membership: Membership,
        snapshot: SnapshotMeta | None,
        damaged: bool,
    ) -> None:
        self._config = config
        self._log = log
        self._membership = membership
        self._incoming = IncomingSnapshot()
        self.snapshot = snapshot
        self.installed: InstalledSnapshot | None = None
        self.damaged = damaged

    def drop_incoming(self) -> None:
        """Its sender leads no more."""
        self._incoming.drop()

    def answer(self, words: Words) -> Answer | None:
        """Take words of the leader of the present term. An `AppendAccepted` vouches for the disk: it leaves after
        the next write, everything else at once."""
        if isinstance(words, AppendRequest):
            return self._answer_append(words)
        return self._answer_heartbeat(words) if isinstance(words, Heartbeat) else self._answer_chunk(words)

    def _answer_append(self, message: AppendRequest) -> Answer:
        answer = answer_append(self._log, self._membership, message, self.damaged)
        if isinstance(answer, AppendRejected):
            return answer
        self._maybe_heal(min(message.commit, answer.index), message.term)
        return self._accepted(message, message.prev_index, answer.index)

    def _accepted(self, words: Words, prev_index: int, index: int) -> Answer:
        sender, to, term = words.to, words.sender, words.term
        if not self.damaged:
            return AppendAccepted(sender, to, term, index)
        index_term = self._log.term_at(index)
        assert index_term is not None, (index, self._log.base_index)
        return AppendRejected(sender, to, term, prev_index, index, index_term, log_lost=True)

    def _answer_heartbeat(self, message: Heartbeat) -> Answer:
        log = self._log
        if message.commit > log.last_index:
            # The leader takes this node for one that holds what it lost, and would send nothing by itself.
            # That is also how a node finds out whose disk was emptied behind its back.
            self.damaged = True
        if self.damaged:
            # Its word confirms nobody, since it may have forgotten a vote for a newer leader; and the leader's
            # commit index speaks of what this node held before, perhaps not of what it was refilled with since.
            hint = (log.last_index, log.last_term)
            return AppendRejected(
                message.to, message.sender, message.term, message.commit, *hint, log_lost=True
            )
        log.commit_to(message.commit)
        return HeartbeatResponse(message.to, message.sender, message.term, message.read_round)

    def _answer_chunk(self, chunk: SnapshotChunk) -> Answer | None:
        log, incoming = self._log, self._incoming
        sender, to, term = chunk.to, chunk.sender, chunk.term
        if chunk.index <= log.commit:
            return self._accepted(chunk, chunk.index, log.commit)
        if chunk.total > self._config.snapshot_bytes_max:
            return None
        if not incoming.add(chunk):
            return SnapshotProgress(sender, to, term, chunk.index, incoming.next_offset)
        data = incoming.take()
        if log.term_at(chunk.index) == chunk.index_term:
            # The entries are all here; only the news that they are committed was missing.
            log.commit_to(chunk.index)
        else:
            log.reset(chunk.index, chunk.index_term)
            self._membership.reset(chunk.configuration)
            self.snapshot = SnapshotMeta(chunk.index, chunk.index_term, chunk.total, chunk.configuration)
            self.installed = InstalledSnapshot(chunk.index, chunk.index_term, data, chunk.configuration)
        return self._accepted(chunk, chunk.index, chunk.index)

    def on_snapshot_stored(self, snapshot: SnapshotMeta, keep_from: int) -> None:
        """See `Raft.on_snapshot_stored`."""
        if self.snapshot is None or snapshot.index > self.snapshot.index:
            self.snapshot = snapshot
            self._log.compact(min(keep_from - 1, snapshot.index))
            self._membership.compact(self._log.base_index)

    def take_installed(self) -> InstalledSnapshot | None:
        """The snapshot to store and restore, once."""
        installed, self.installed = self.installed, None
        return installed

    def _maybe_heal(self, told_commit: int, term: int) -> None:
        """A damaged log is whole again once the leader says that an entry of its own term, held here, is committed:
        everything ever acknowledged precedes that entry."""
        if self.damaged and self._log.term_at(told_commit) == term:
            self.damaged = False


def answer_append(
    log: LogView, membership: Membership, message: AppendRequest, log_lost: bool
) -> AppendAccepted | AppendRejected:
    """Merge a leader's append into the log, or say where to look for common ground.

    The accepted index is what the request proves, never the length of the own log: entries beyond it may be
    an older leader's.
    """
    sender, to, term = message.to, message.sender, message.term
    if message.prev_index < log.commit:
        # Out of date: the committed prefix equals the leader's by definition.
        return AppendAccepted(sender, to, term, log.commit)
    if log.term_at(message.prev_index) != message.prev_term:
        hint_index, hint_term = log.last_possible_match(message.prev_index, message.prev_term)
        return AppendRejected(sender, to, term, message.prev_index, hint_index, hint_term, log_lost)
    first_new = log.merge(message.prev_index, message.entries)
    if first_new is not None:
        membership.replace_from(first_new, message.entries[first_new - message.prev_index - 1 :])
    last_index = message.prev_index + len(message.entries)
    log.commit_to(min(message.commit, last_index))
    return AppendAccepted(sender, to, term, last_index)
