"""Incremental fetch sessions (KIP-227): what a fetcher asked for before, and what it was told before. Pure.

A session is a list of partitions with the last request's positions and the last answer's offsets; an incremental
request names only what changed, and the answer omits what did not. Neither costs anything for the others: a session
knows which of its partitions may have something to tell (`dirty`), because whoever reads them notes their changes.

Answering with session id 0 is always legal: the client falls back to full fetches. Slots are few, so a full cache
evicts a session that was not used for `min.incremental.fetch.session.eviction.ms`, or one that is smaller than the
newcomer; a consumer's session never displaces a follower's.

Invariant: a partition that is not dirty has, from the position the session knows, nothing that was not told.

Source: KIP-227; Kafka's FetchSession and FetchManager.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from odradek.proto.kafka.errors import ErrorCode

SESSIONLESS_EPOCH = -1
INITIAL_EPOCH = 0
_EPOCH_MAX = 2**31 - 1

Key = tuple[str | bytes, int]
"""Topic id (16 bytes) or topic name, and partition: how the request named it."""


class Readable(Protocol):
    """The opened partition behind a `FetchPartition`."""

    is_closed: bool
    appended_bytes: int
    visible_bytes: int


@dataclass(slots=True, eq=False)
class FetchPartition:
    """One partition of a fetch: what is asked (offsets of records, bytes), and in a session what was answered."""

    topic: str
    topic_id: bytes
    index: int
    fetch_offset: int
    max_bytes: int
    current_leader_epoch: int = -1
    last_fetched_epoch: int = -1
    log_start_offset: int = -1
    sent_high_watermark: int = -1
    sent_last_stable_offset: int = -1
    sent_log_start_offset: int = -1
    is_reported: bool = False
    """Whether the position was taken note of: a follower's says what it has."""
    readable: Readable | None = None
    """What it was found to be when it was last read."""
    seen_bytes: int = 0
    """How many bytes had ever become readable when it was last read."""

    def update_from(self, asked: FetchPartition) -> None:
        self.fetch_offset = asked.fetch_offset
        self.max_bytes = asked.max_bytes
        self.current_leader_epoch = asked.current_leader_epoch
        self.last_fetched_epoch = asked.last_fetched_epoch
        self.log_start_offset = asked.log_start_offset
        self.is_reported = False

    def is_told(self, high_watermark: int, last_stable_offset: int, log_start_offset: int) -> bool:
        """Whether the last answer said the same."""
        return (
            high_watermark == self.sent_high_watermark
            and last_stable_offset == self.sent_last_stable_offset
            and log_start_offset == self.sent_log_start_offset
        )

    def note_answer(
        self,
        error: ErrorCode,
        high_watermark: int,
        last_stable_offset: int,
        log_start_offset: int,
        has_records: bool,
    ) -> bool:
        """Remember what is being answered; True when an incremental answer must mention this partition."""
        if error is not ErrorCode.NONE:
            self.sent_high_watermark = -1  # so that recovery from the error is told, too
            return True
        changed = has_records or not self.is_told(high_watermark, last_stable_offset, log_start_offset)
        self.sent_high_watermark = high_watermark
        self.sent_last_stable_offset = last_stable_offset
        self.sent_log_start_offset = log_start_offset
        return changed


@dataclass(slots=True, eq=False)
class FetchSession:
    session_id: int
    uses_topic_ids: bool
    is_replica: bool
    last_used_ms: int
    epoch: int = 1  # of the next request
    partitions: dict[Key, FetchPartition] = field(default_factory=dict)
    dirty: dict[FetchPartition, None] = field(default_factory=dict)
    """What an answer has to look at, in the order in which it became so: whoever was served goes last."""


class FetchPlan(NamedTuple):
    """What one request resolves to: the partitions to read, and how the answer is to be told. `dropped` were in the
    session before."""

    error: ErrorCode
    session_id: int
    incremental: bool
    partitions: list[FetchPartition]
    session: FetchSession | None = None
    dropped: list[FetchPartition] = []


class FetchSessions:
    """The session cache of one node. `new_id` yields random positive int32 session ids."""

    def __init__(self, slots_max: int, eviction_ms_min: int, new_id: Callable[[], int]) -> None:
        self._slots_max = slots_max
        self._eviction_ms_min = eviction_ms_min
        self._new_id = new_id
        self._sessions: dict[int, FetchSession] = {}  # least recently used first
        self.on_removed: Callable[[FetchSession], None] | None = None
        """Hears of every session that ends."""

    def __len__(self) -> int:
        return len(self._sessions)

    def resolve(
        self,
        session_id: int,
        session_epoch: int,
        asked: list[tuple[Key, FetchPartition]],
        forgotten: Iterable[Key],
        uses_topic_ids: bool,
        now_ms: int,
        *,
        is_replica: bool = False,
    ) -> FetchPlan:
        """Bring the session up to date with one request and say what to read."""
        if session_epoch in (SESSIONLESS_EPOCH, INITIAL_EPOCH):
            if session_id:
                self._remove(session_id)
            partitions = [partition for _, partition in asked]
            if session_epoch == INITIAL_EPOCH and asked:
                session = self._maybe_create(asked, uses_topic_ids, is_replica, now_ms)
                if session is not None:
                    return FetchPlan(
                        ErrorCode.NONE, session.session_id, False, list(session.partitions.values()), session
                    )
            return FetchPlan(ErrorCode.NONE, 0, False, partitions)
        session = self._sessions.get(session_id)
        if session is None:
            return FetchPlan(ErrorCode.FETCH_SESSION_ID_NOT_FOUND, 0, False, [])
        if session_epoch != session.epoch:
            return FetchPlan(ErrorCode.INVALID_FETCH_SESSION_EPOCH, 0, False, [])
        if session.uses_topic_ids != uses_topic_ids:
            return FetchPlan(ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR, 0, False, [])
        dropped = self._apply(session, asked, forgotten)
        if not session.partitions:
            self._remove(session_id)
            return FetchPlan(ErrorCode.NONE, 0, False, [])
        session.epoch = session.epoch + 1 if session.epoch < _EPOCH_MAX else 1
        self._touch(session, now_ms)
        return FetchPlan(ErrorCode.NONE, session_id, True, list(session.dirty), session, dropped)

    def _apply(
        self, session: FetchSession, asked: list[tuple[Key, FetchPartition]], forgotten: Iterable[Key]
    ) -> list[FetchPartition]:
        dirty = session.dirty
        for key, partition in asked:
            known = session.partitions.get(key)
            if known is None:
                known = session.partitions[key] = partition
            else:
                known.update_from(partition)
                dirty.pop(known, None)
            dirty[known] = None
        dropped = []
        for key in forgotten:
            gone = session.partitions.pop(key, None)
            if gone is not None:
                dirty.pop(gone, None)
                dropped.append(gone)
        return dropped

    def _touch(self, session: FetchSession, now_ms: int) -> None:
        session.last_used_ms = now_ms
        self._sessions[session.session_id] = self._sessions.pop(session.session_id)

    def _maybe_create(
        self, asked: list[tuple[Key, FetchPartition]], uses_topic_ids: bool, is_replica: bool, now_ms: int
    ) -> FetchSession | None:
        if len(self._sessions) >= self._slots_max and not self._evict(len(asked), is_replica, now_ms):
            return None
        session_id = self._new_id()
        while session_id == 0 or session_id in self._sessions:
            session_id = self._new_id()
        session = FetchSession(session_id, uses_topic_ids, is_replica, now_ms, partitions=dict(asked))
        session.dirty = dict.fromkeys(session.partitions.values())
        self._sessions[session_id] = session
        return session

    def _evict(self, newcomer_size: int, is_replica: bool, now_ms: int) -> bool:
        if not self._sessions:
            return False
        oldest = next(iter(self._sessions.values()))
        if now_ms - oldest.last_used_ms > self._eviction_ms_min:
            self._remove(oldest.session_id)
            return True
        # Followers come before consumers, and then large before small.
        smallest = min(self._sessions.values(), key=lambda one: (one.is_replica, len(one.partitions)))
        if (smallest.is_replica, len(smallest.partitions)) < (is_replica, newcomer_size):
            self._remove(smallest.session_id)
            return True
        return False

    def _remove(self, session_id: int) -> None:
        session = self._sessions.pop(session_id, None)
        if session is not None and self.on_removed is not None:
            self.on_removed(session)
