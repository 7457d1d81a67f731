"""Log replication, the leader's side: who gets what, and what is committed.

Decides which appends, heartbeats and snapshot chunks leave, and how far a quorum durably holds the log. Does
not change roles or terms. Invariants: the leader counts itself only up to its own durable index; only an
entry of the leader's own term is committed by counting (thesis figure 3.7, "Figure 8" of the paper), older
ones with it; learners, and nodes that were removed, never count. Source: Raft thesis 3.5, 3.6.2, 6.2 (check
quorum), 10.2.1.
"""

from collections.abc import Iterator

from .config import RaftConfig
from .log_view import LogView
from .membership import Membership
from .messages import AppendRejected, AppendRequest, Heartbeat
from .progress import Progress, ProgressState
from .quorum import quorum_size
from .ready import ChunkToSend
from .types import SnapshotMeta


class Replication:
    """One `Progress` per follower, the heartbeat and the check-quorum deadline."""

    __slots__ = (
        "_config",
        "_departing",
        "_log",
        "_membership",
        "_node_id",
        "_term",
        "heartbeat_deadline_ms",
        "progress",
        "quorum_deadline_ms",
        "term_start_index",
    )

    def __init__(
        self,
        node_id: int,
        term: int,
        membership: Membership,
        config: RaftConfig,
        log: LogView,
        now_ms: int,
    ) -> None:
        self._node_id = node_id
        self._term = term
        self._membership = membership
        self._config = config
        self._log = log
        # The entry that opens the term comes next.
        self.term_start_index = log.last_index + 1
        self.progress = {
            member: Progress(self.term_start_index, now_ms)
            for member in sorted(membership.configuration.members)
            if member != node_id
        }
        # Removed members that do not know it yet, and how many more heartbeats they get once it is committed.
        self._departing: dict[int, int] = {}
        self.heartbeat_deadline_ms = _next_beat(now_ms, config)
        self.quorum_deadline_ms = now_ms + config.election_timeout_ms

    @property
    def next_deadline(self) -> int | None:
        """A leader without followers has nothing to wait for."""
        return min(self.heartbeat_deadline_ms, self.quorum_deadline_ms) if self.progress else None

    def on_configuration(self, now_ms: int) -> None:
        """Another configuration is in force: begin with new members, and see removed ones off."""
        members = self._membership.configuration.members
        for member in sorted(members):
            self._departing.pop(member, None)
            if member != self._node_id and member not in self.progress:
                self.progress[member] = Progress(self._log.last_index, now_ms)
        beats = self._config.election_timeout_ms // self._config.heartbeat_interval_ms
        for member in self.progress:
            if member not in members:
                self._departing.setdefault(member, beats)

    def _see_off(self) -> None:
        """Forget removed members that know it, or have had their time to hear it."""
        index = self._membership.index
        if self._log.commit < index:
            return
        for member, beats in list(self._departing.items()):
            progress = self.progress[member]
            if beats <= 0 or (progress.match_index >= index and progress.sent_commit >= index):
                del self.progress[member], self._departing[member]
            else:
                self._departing[member] = beats - 1

    def committable_index(self) -> int:
        """How far the log may be committed; at most the present commit index when nothing new is."""
        progress, own = self.progress, self._log.durable_index
        if not progress:
            index = own
        else:
            index = self._membership.configuration.quorum_value(
                lambda voter: progress[voter].match_index if voter in progress else own
            )
        if index > self._log.commit and self._log.term_at(index) == self._term:
            return index
        return self._log.commit

    def has_quorum(self, now_ms: int) -> bool:
        """A quorum answered within the election timeout. Moves the deadline to when that would stop being
        true."""
        progress = self.progress
        contact_ms = self._membership.configuration.quorum_value(
            lambda voter: progress[voter].contact_ms if voter in progress else now_ms
        )
        self.quorum_deadline_ms = contact_ms + self._config.election_timeout_ms
        return now_ms < self.quorum_deadline_ms

    def heartbeats(self, now_ms: int, read_round: int) -> Iterator[Heartbeat]:
        """The regular heartbeat, to everyone."""
        self.heartbeat_deadline_ms = _next_beat(now_ms, self._config)
        if self._departing:
            self._see_off()
        for member, progress in self.progress.items():
            if progress.whole_after:
                # Its answers to heartbeats set off nothing, so this is where a lost message is sent again.
                progress.probe_sent = False
            yield self._heartbeat(member, read_round)

    def questions(self, read_round: int) -> Iterator[Heartbeat]:
        """Heartbeats out of turn, to those whose word counts: is this node still the leader?"""
        for voter in sorted(self._membership.configuration.voters):
            if voter in self.progress:
                yield self._heartbeat(voter, read_round)

    def _heartbeat(self, member: int, read_round: int) -> Heartbeat:
        commit = min(self.progress[member].match_index, self._log.commit)
        return Heartbeat(self._node_id, member, self._term, commit, read_round)

    def appends(self, snapshot: SnapshotMeta | None) -> Iterator[AppendRequest | ChunkToSend]:
        """Everything that may leave now, for all followers. `snapshot` is the newest stored one."""
        for voter, progress in self.progress.items():
            while (message := self._next_for(voter, progress, snapshot)) is not None:
                yield message

    def _next_for(
        self, voter: int, progress: Progress, snapshot: SnapshotMeta | None
    ) -> AppendRequest | ChunkToSend | None:
        config, log = self._config, self._log
        if progress.is_paused(config.inflight_appends_max, config.inflight_bytes_max):
            return None
        if progress.state == ProgressState.SNAPSHOT:
            return self._next_chunk(voter, progress)
        prev_index = progress.next_index - 1
        prev_term = log.term_at(prev_index)
        if prev_term is None:
            # The entries it needs were compacted.
            assert snapshot is not None and snapshot.index >= log.base_index, (snapshot, log.base_index)
            progress.begin_snapshot(snapshot)
            return self._next_chunk(voter, progress)
        last_index = log.last_index
        nothing_new = prev_index >= last_index and progress.sent_commit >= log.commit
        if nothing_new and progress.state == ProgressState.REPLICATE:
            return None
        entries = (
            log.entries(prev_index + 1, last_index, config.append_bytes_max)
            if prev_index < last_index
            else []
        )
        size = sum(len(entry.data) for entry in entries)
        # A follower that lost its log takes the news that an entry of this term is committed for the sign that it
        # counts again.
        commit = min(log.commit, self.term_start_index - 1) if progress.whole_after else log.commit
        progress.on_sent(prev_index + len(entries), size, commit)
        return AppendRequest(self._node_id, voter, self._term, prev_index, prev_term, commit, tuple(entries))

    def _next_chunk(self, voter: int, progress: Progress) -> ChunkToSend:
        snapshot, offset = progress.snapshot, progress.snapshot_offset
        assert snapshot is not None
        progress.probe_sent = True
        length = min(self._config.snapshot_chunk_bytes, snapshot.size - offset)
        return ChunkToSend(
            voter,
            self._term,
            snapshot.index,
            snapshot.term,
            snapshot.configuration,
            snapshot.size,
            offset,
            length,
        )

    def restore_trust(self) -> None:
        """Let followers that lost their logs count again, once those who did not have shut out every leader whom the
        lost ones may have promised anything: among any majority with such a promise is one of those who hold an
        entry of this term that is younger than the loss."""
        if self._log.commit < self.term_start_index:
            return  # there is no sign yet by which to tell them
        for member, progress in self.progress.items():
            if progress.whole_after and progress.held_index >= progress.whole_after:
                configuration = self._membership.configuration
                halves = (configuration.incoming, configuration.outgoing)
                if all(self._shuts_out(half, member, progress.whole_after) for half in halves if half):
                    progress.on_whole()

    def _shuts_out(self, half: frozenset[int], lost: int, index: int) -> bool:
        holders = sum(self._holds(voter, index) for voter in half)
        # A majority that includes the lost one has one voter less among the others, so fewer of those meet it.
        return holders >= (len(half) + 1) // 2 if lost in half else holders >= quorum_size(len(half))

    def _holds(self, voter: int, index: int) -> bool:
        if voter == self._node_id:
            return self._log.durable_index >= index
        progress = self.progress[voter]
        return not progress.whole_after and progress.match_index >= index

    def on_rejected(self, message: AppendRejected) -> None:
        """Find the last place at which both logs may agree, and continue from there."""
        progress = self.progress[message.sender]
        index, _ = self._log.last_possible_match(message.hint_index, message.hint_term)
        # Below the base the terms are gone; the follower's own hint is the best guess, and asks for a
        # snapshot.
        next_index = min(index, message.hint_index) + 1
        if message.log_lost:
            is_held = self._log.term_at(message.hint_index) == message.hint_term
            last_index = self._log.last_index
            progress.on_refilled(message.prev_index, message.hint_index, is_held, next_index, last_index)
        else:
            progress.on_rejected(message.prev_index, next_index)

    def on_heartbeat_response(self, sender: int) -> None:
        """Whatever left without an answer may be lost: resend, or ask with an empty append where the follower
        is."""
        progress = self.progress[sender]
        progress.on_heartbeat_response()
        if progress.match_index < self._log.last_index and progress.state == ProgressState.REPLICATE:
            progress.sent_commit = -1


def _next_beat(now_ms: int, config: RaftConfig) -> int:
    """The next multiple of the interval: all groups that one node leads beat together, in one message per peer."""
    interval_ms = config.heartbeat_interval_ms
    return now_ms - now_ms % interval_ms + interval_ms
