"""What a reader asks for and what it is told. Values; they decide nothing."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final, NamedTuple, Protocol

from odradek.node.app.list_offsets import EARLIEST, LATEST
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.records import Record

TopicPartition = tuple[str, int]
UNKNOWN_POSITION: Final = -1


class Pattern(Protocol):
    """A compiled regular expression."""

    def fullmatch(self, name: str) -> object | None: ...


class Position(NamedTuple):
    """An offset, or where `offset` is -1 a timestamp in ms (or EARLIEST or LATEST)."""

    offset: int = UNKNOWN_POSITION
    timestamp: int = EARLIEST


class OffsetReset(Enum):
    """Where to begin when nothing says where."""

    EARLIEST = EARLIEST
    LATEST = LATEST
    NONE = None


class Subscription(NamedTuple):
    """Read topics by name, or those that a pattern matches; in a group, or alone where `group_id` is empty."""

    topics: frozenset[str]
    pattern: Pattern | None = None
    group_id: str = ""
    instance_id: str | None = None
    offset_reset: OffsetReset = OffsetReset.EARLIEST
    session_timeout_ms: int = 10_000
    rebalance_timeout_ms: int = 60_000
    commit_interval_ms: int = 1_000
    isolation_level: int = 0


class Assignment(NamedTuple):
    """Read certain partitions, each from a position or, without one, from where the group has committed."""

    partitions: Sequence[tuple[str, int, Position | None]]
    group_id: str = ""
    offset_reset: OffsetReset = OffsetReset.EARLIEST
    commit_interval_ms: int = 1_000
    isolation_level: int = 0


class Delivered(NamedTuple):
    """Records of one partition."""

    topic: str
    partition: int
    high_watermark: int
    records: Sequence[Record]


class Assigned(NamedTuple):
    """The partitions that are read from now on, with the offset that is read next (-1: not known yet)."""

    partitions: Sequence[tuple[str, int, int]]
    member_id: str = ""
    generation: int = -1


class Revoking(NamedTuple):
    wait_ms: int


class Committed(NamedTuple):
    request_id: int
    partitions: Sequence[tuple[str, int, ErrorCode]]


class Seeked(NamedTuple):
    request_id: int
    topic: str
    partition: int
    offset: int


class Reset(NamedTuple):
    """A partition is read on from here, because nothing else said where."""

    topic: str
    partition: int
    offset: int


Event = Assigned | Revoking | Committed | Seeked | Reset


class Sink(Protocol):
    """The way back to the reader. Both return when it can take more."""

    async def deliver(self, delivered: Sequence[Delivered]) -> None: ...
    async def tell(self, event: Event) -> None: ...


class ConsumeError(Exception):
    """The end of a stream, with the reason."""

    def __init__(self, error: ErrorCode, message: str | None = None) -> None:
        super().__init__(message or error.name)
        self.error = error
        self.message = message
