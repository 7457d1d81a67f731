"""The values that callers hand in and get back: records, partitions, positions.

Decides: what they look like. Times are in milliseconds since 1970-01-01 UTC, offsets count from 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from odradek.v1 import record_pb2

Header: TypeAlias = tuple[str, bytes | None]
Headers: TypeAlias = Sequence[Header]


class TopicPartition(NamedTuple):
    """A partition of a topic, counted from 0."""

    topic: str
    partition: int


class RecordMetadata(NamedTuple):
    """Where a record went.

    `offset` is -1 where the record is known to be written, but no longer where. `timestamp_ms` is the one that
    the log holds: the record's own, or with `message.timestamp.type=LogAppendTime` the time of the node.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int


class ConsumerRecord(NamedTuple):
    """A record that was read. `timestamp_ms` is -1 if it has none; without a value it is a tombstone."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...] = ()

    @property
    def topic_partition(self) -> TopicPartition:
        return TopicPartition(self.topic, self.partition)


@dataclass(frozen=True, slots=True)
class Position:
    """A place to read from: an offset, a time, or an end. Made with the four class methods."""

    kind: str
    value: int = 0

    @classmethod
    def earliest(cls) -> Position:
        """At the oldest record that is kept."""
        return _EARLIEST

    @classmethod
    def latest(cls) -> Position:
        """Behind the newest record: only what comes from now on."""
        return _LATEST

    @classmethod
    def at(cls, offset: int) -> Position:
        """At this offset."""
        if offset < 0:
            raise ValueError(f"offset {offset} is negative")
        return cls("offset", offset)

    @classmethod
    def at_time(cls, timestamp_ms: int) -> Position:
        """At the first record that is not older, in ms since 1970; behind the last record if there is none."""
        return cls("time", timestamp_ms)

    @classmethod
    def of(cls, place: Position | int) -> Position:
        """A number is an offset."""
        return place if isinstance(place, Position) else cls.at(place)

    def to_proto(self) -> record_pb2.Position:
        from odradek.v1 import record_pb2

        if self.kind == "offset":
            return record_pb2.Position(offset=self.value)
        if self.kind == "time":
            return record_pb2.Position(timestamp_ms=self.value)
        is_latest = self.kind == "latest"
        return record_pb2.Position(edge=record_pb2.EDGE_LATEST if is_latest else record_pb2.EDGE_EARLIEST)


_EARLIEST: Final = Position("earliest")
_LATEST: Final = Position("latest")
