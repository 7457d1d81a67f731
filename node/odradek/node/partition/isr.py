"""Who is in sync: what a leader knows of each follower, and which in-sync set it wants the controller to record. Pure.

A follower's log end offset is the offset it fetches from: it asks for the next record only when it has what lies
before, on stable storage where the topic wants that. It is caught up while that offset is the leader's log end, or
was so at some moment of the last `replica.lag.time.max.ms`; a follower that keeps fetching what was the end when it
last asked counts as caught up at that time, however fast the end moves.

Does not decide the high watermark (`replica`) nor when anything is sent (`isr_publisher`).

Invariants: one proposal at a time; until its answer or a newer image is here, every replica of the old and of the
proposed set counts as in sync (the maximal ISR), because the controller may have recorded either.

Source: KIP-497 (AlterPartition), KIP-903 (broker epochs), Kafka's Replica and Partition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from odradek.proto.kafka.errors import ErrorCode

UNKNOWN_OFFSET: Final = -1
ANY_BROKER_EPOCH: Final = -1
_LONG_AGO_MS: Final = -(2**62)


class FollowerProgress:
    """What the leader knows of one follower. Offsets of records, monotonic ms, broker epochs; -1 is unknown."""

    __slots__ = (
        "broker_epoch",
        "broker_id",
        "caught_up_ms",
        "fetched_ms",
        "is_joining",
        "leader_end_at_fetch",
        "log_end_offset",
        "log_start_offset",
    )

    def __init__(self, broker_id: int, caught_up_ms: int = _LONG_AGO_MS) -> None:
        self.broker_id = broker_id
        self.broker_epoch = ANY_BROKER_EPOCH
        self.log_end_offset = UNKNOWN_OFFSET
        self.log_start_offset = UNKNOWN_OFFSET
        self.caught_up_ms = caught_up_ms
        self.fetched_ms = _LONG_AGO_MS
        self.leader_end_at_fetch = UNKNOWN_OFFSET
        self.is_joining = False
        """Out of the ISR, but so close that the high watermark waits for it: it would never get in otherwise."""

    def on_fetch(
        self, fetch_offset: int, log_start_offset: int, leader_end: int, now_ms: int, broker_epoch: int
    ) -> None:
        """It asks from `fetch_offset` on, while the leader's log ends at `leader_end`."""
        if fetch_offset >= leader_end:
            self.caught_up_ms = now_ms
        elif 0 <= self.leader_end_at_fetch <= fetch_offset:
            self.caught_up_ms = max(self.caught_up_ms, self.fetched_ms)
        self.log_end_offset = fetch_offset
        self.log_start_offset = log_start_offset
        self.fetched_ms = now_ms
        self.leader_end_at_fetch = leader_end
        self.broker_epoch = broker_epoch

    def is_caught_up(self, leader_end: int, now_ms: int, lag_ms_max: int) -> bool:
        """The deadline itself is still in time."""
        return self.log_end_offset == leader_end or now_ms - self.caught_up_ms <= lag_ms_max


class IsrMember(NamedTuple):
    """`broker_epoch` is the one its last fetch came with, -1 before its first."""

    broker_id: int
    broker_epoch: int


@dataclass(frozen=True, slots=True, eq=False)
class IsrProposal:
    """An in-sync set for the controller to record, and the state of the partition that it starts from."""

    leader_epoch: int
    partition_epoch: int
    members: tuple[IsrMember, ...]

    @property
    def isr(self) -> tuple[int, ...]:
        return tuple(member.broker_id for member in self.members)


class IsrAnswer(NamedTuple):
    """What the controller says to a proposal; the rest is the partition as it recorded it, if `error` is NONE."""

    error: ErrorCode
    isr: tuple[int, ...] = ()
    leader_epoch: int = -1
    partition_epoch: int = -1


class IsrOutcome(Enum):
    """What an answer means for the proposal."""

    APPLIED = "applied"
    REFUSED = "refused"
    """Nothing was recorded: the set in force is what it was."""
    WAIT_FOR_IMAGE = "wait for the image"
    """The leader's view is old, or its request was carried out before: the next image tells."""
    RETRY = "retry"
    OUTDATED = "outdated"
    """The proposal is no longer that of this replica."""


_REFUSALS: Final = frozenset((ErrorCode.OPERATION_NOT_ATTEMPTED, ErrorCode.INELIGIBLE_REPLICA))
_VIEW_IS_OLD: Final = frozenset(
    (
        ErrorCode.FENCED_LEADER_EPOCH,
        ErrorCode.INVALID_UPDATE_VERSION,
        ErrorCode.INVALID_REQUEST,
        ErrorCode.NEW_LEADER_ELECTED,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode.UNKNOWN_TOPIC_ID,
    )
)


def outcome_of(error: ErrorCode) -> IsrOutcome:
    """Protocol facts alone; whether the proposal still stands is the replica's to know."""
    if error is ErrorCode.NONE:
        return IsrOutcome.APPLIED
    if error in _REFUSALS:
        return IsrOutcome.REFUSED
    return IsrOutcome.WAIT_FOR_IMAGE if error in _VIEW_IS_OLD else IsrOutcome.RETRY


def lag_deadline_ms(followers: Sequence[FollowerProgress], leader_end: int, lag_ms_max: int) -> int | None:
    """When the first of them will have been behind for too long; None while all have everything."""
    behind = [follower.caught_up_ms for follower in followers if follower.log_end_offset != leader_end]
    return min(behind) + lag_ms_max + 1 if behind else None
