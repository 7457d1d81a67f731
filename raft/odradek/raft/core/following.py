"""The follower's side of replication: what the leader's words do to the log, and the answers.

Decides what is taken over, when a snapshot that came in pieces is complete, and whether this log may be trusted.
Does not decide whom to follow or for how long (`raft`, `election`). Invariants: a committed entry is never given
up; an accepted index is what the request proved; a log that lost acknowledged entries (*damaged*) counts again only
after an entry of the present leader's term is committed in it. Source: Raft thesis 3.5, 5.1.
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
        if isinstance(answer, AppendAccepted):
            self._maybe_heal(message.term)
        return answer

    def _answer_heartbeat(self, message: Heartbeat) -> Answer:
        log = self._log
        if message.commit > log.last_index:
            # The leader takes this node for one that holds what it lost, and would send nothing by itself.
            # That is also how a node finds out whose disk was emptied behind its back.
            self.damaged = True
            hint = (log.last_index, log.last_term)
            return AppendRejected(
                message.to, message.sender, message.term, message.commit, *hint, log_lost=True
            )
        log.commit_to(message.commit)
        self._maybe_heal(message.term)
        # Who lost its log may have lost a vote for a newer leader too: its word confirms nobody.
        read_round = 0 if self.damaged else message.read_round
        return HeartbeatResponse(message.to, message.sender, message.term, read_round)

    def _answer_chunk(self, chunk: SnapshotChunk) -> Answer | None:
        log, incoming = self._log, self._incoming
        sender, to, term = chunk.to, chunk.sender, chunk.term
        if chunk.index <= log.commit:
            return AppendAccepted(sender, to, term, log.commit)
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
        self._maybe_heal(term)
        return AppendAccepted(sender, to, term, chunk.index)

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

    def _maybe_heal(self, term: int) -> None:
        """A damaged log is whole again once an entry of the present leader's term is committed in it: everything
        ever acknowledged precedes that entry."""
        if self.damaged and self._log.term_at(self._log.commit) == term:
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
