"""What a leader knows of one follower, and how much it may have under way to it.

Decides when the next append (or snapshot chunk) may leave. Three states:
* PROBE: the follower's log is unknown; one append at a time, until one is accepted.
* REPLICATE: appends are pipelined, within a window of messages and bytes.
* SNAPSHOT: the entries it needs are gone; chunks of a snapshot go out one by one.
Invariant: match_index < next_index; match_index only grows, except when the follower says that it lost its
log. Source: Raft thesis 3.5, 10.2.1; state names after etcd's `tracker`.
"""

from collections import deque
from enum import IntEnum

from .types import SnapshotMeta


class ProgressState(IntEnum):
    PROBE = 0
    REPLICATE = 1
    SNAPSHOT = 2


class Progress:
    """Progress of one follower; lives as long as the leadership."""

    __slots__ = (
        "_inflight",
        "_inflight_bytes",
        "_seen_last_index",
        "_seen_ms",
        "caught_up_ms",
        "contact_ms",
        "held_index",
        "match_index",
        "next_index",
        "probe_sent",
        "sent_commit",
        "snapshot",
        "snapshot_offset",
        "state",
        "was_heard",
        "whole_after",
    )

    def __init__(self, next_index: int, now_ms: int) -> None:
        self.state = ProgressState.PROBE
        self.match_index = 0
        self.next_index = next_index
        self.probe_sent = False
        self.sent_commit = 0
        # The last answer; before the first one, when this began.
        self.contact_ms = now_ms
        self.was_heard = False
        # The last time at which it is known to have held the leader's whole log; None: not in this term.
        self.caught_up_ms: int | None = None
        # The end of the leader's log at an earlier contact: reaching it later proves that much about then.
        self._seen_last_index = 0
        self._seen_ms = now_ms
        self.snapshot: SnapshotMeta | None = None
        self.snapshot_offset = 0
        # While it has lost its log: how far it says to be refilled, and the entry that settles what it may have
        # promised and forgotten; 0 otherwise.
        self.held_index = 0
        self.whole_after = 0
        self._inflight: deque[tuple[int, int]] = deque()
        self._inflight_bytes = 0

    @property
    def inflight(self) -> int:
        return len(self._inflight)

    def on_contact(self, now_ms: int, last_index: int) -> None:
        """It answered, after its answer was taken into account; the leader's log ends at `last_index`."""
        self.contact_ms = now_ms
        self.was_heard = True
        if self.match_index >= last_index:
            self.caught_up_ms = now_ms
        elif self._seen_last_index:
            if self.match_index < self._seen_last_index:
                return
            self.caught_up_ms = self._seen_ms
        self._seen_last_index, self._seen_ms = last_index, now_ms

    def is_paused(self, appends_max: int, bytes_max: int) -> bool:
        """Nothing may leave before the follower answers."""
        if self.state == ProgressState.REPLICATE:
            return len(self._inflight) >= appends_max or self._inflight_bytes >= bytes_max
        return self.probe_sent

    def on_sent(self, last_index: int, size: int, commit: int) -> None:
        """An append that ends at `last_index` left, with `size` bytes of entries (none: last_index = next -
        1)."""
        self.sent_commit = max(self.sent_commit, commit)
        if self.state == ProgressState.REPLICATE:
            if last_index >= self.next_index:
                self._inflight.append((last_index, size))
                self._inflight_bytes += size
                self.next_index = last_index + 1
        else:
            self.probe_sent = True

    def on_accepted(self, index: int) -> bool:
        """The follower durably holds everything up to `index`. True when that is news."""
        while self._inflight and self._inflight[0][0] <= index:
            self._inflight_bytes -= self._inflight.popleft()[1]
        news = index > self.match_index
        if news:
            self.match_index = index
        self.next_index = max(self.next_index, index + 1)
        if self.state == ProgressState.PROBE or (
            self.state == ProgressState.SNAPSHOT
            and self.snapshot is not None
            and index >= self.snapshot.index
        ):
            self._enter(ProgressState.REPLICATE)
        return news

    def on_rejected(self, prev_index: int, next_index: int) -> bool:
        """The follower does not hold `prev_index`; try again at `next_index`. False for an answer out of
        date.

        Why: answers arrive late and twice. While pipelining, only a rejection above `match_index` can be
        real; while probing, only the rejection of the one probe under way.
        """
        if self.state == ProgressState.REPLICATE:
            if prev_index <= self.match_index:
                return False
            self._enter(ProgressState.PROBE)
        elif self.state == ProgressState.SNAPSHOT or prev_index != self.next_index - 1:
            return False
        self.next_index = max(min(next_index, prev_index), self.match_index + 1)
        self.probe_sent = False
        return True

    def on_log_lost(self, prev_index: int, whole_after: int) -> None:
        """First word of it, in answer to a message about `prev_index`: the follower lost entries it had acknowledged,
        so nothing known of it holds any more. It counts again some time after the entry `whole_after`."""
        self.match_index = self.held_index = 0
        self.next_index = prev_index + 1
        self.whole_after = whole_after
        if self.state != ProgressState.SNAPSHOT:
            self._enter(ProgressState.PROBE)

    def on_refilled(
        self, prev_index: int, hint_index: int, is_held: bool, next_index: int, last_index: int
    ) -> None:
        """It says again that it lost its log, and that it is refilled up to `hint_index` by now (`is_held`: with what
        the leader has there)."""
        if is_held:
            self.held_index = max(self.held_index, hint_index)
        if self.snapshot is not None and hint_index >= self.snapshot.index:
            self._enter(ProgressState.PROBE)
        elif self.state != ProgressState.PROBE or prev_index != self.next_index - 1:
            # Not the answer to the one message under way: each of these would set off another one.
            return
        self.next_index = next_index
        # With nothing to send it would only say the same again, at the speed of the network.
        self.probe_sent = next_index > last_index

    def on_late_acceptance(self, index: int) -> None:
        """It accepted entries up to `index`, perhaps before it lost its log: go on from there, and count nothing."""
        if self.snapshot is not None:
            if index >= self.snapshot.index:
                self._enter(ProgressState.PROBE)
                self.next_index = index + 1
        elif index >= self.next_index:
            self.next_index = index + 1
            self.probe_sent = False

    def on_whole(self) -> None:
        """It may count again as soon as it says so: tell it."""
        self.held_index = self.whole_after = 0
        self.probe_sent = False

    def on_heartbeat_response(self) -> None:
        """It lives, so whatever was under way may be lost: allow one more message."""
        self.probe_sent = False
        if self.state == ProgressState.REPLICATE and self._inflight:
            self._inflight_bytes -= self._inflight.popleft()[1]

    def begin_snapshot(self, snapshot: SnapshotMeta) -> None:
        self._enter(ProgressState.SNAPSHOT)
        self.snapshot = snapshot
        self.snapshot_offset = 0

    def on_snapshot_progress(self, index: int, next_offset: int) -> bool:
        """The follower holds the snapshot's bytes up to `next_offset`. False for an answer out of date."""
        if self.snapshot is None or self.snapshot.index != index or next_offset > self.snapshot.size:
            return False
        self.snapshot_offset = next_offset
        self.probe_sent = False
        return True

    def abort_snapshot(self) -> None:
        """The snapshot under way cannot be read any more: start over."""
        if self.state == ProgressState.SNAPSHOT:
            self._enter(ProgressState.PROBE)

    def _enter(self, state: ProgressState) -> None:
        self.state = state
        self.probe_sent = False
        self.snapshot = None
        self._inflight.clear()
        self._inflight_bytes = 0
        if state == ProgressState.REPLICATE:
            self.next_index = self.match_index + 1
