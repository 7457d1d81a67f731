"""What a fetch asks and what it is told, whatever door it came through. Values; they decide nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from odradek.node.partition.fetch_session import FetchPartition, Key
from odradek.node.runtime.metrics import TopicTraffic
from odradek.proto.kafka.errors import ErrorCode

Buffer = bytes | bytearray | memoryview

READ_UNCOMMITTED = 0
READ_COMMITTED = 1


class FetchCommand(NamedTuple):
    """One fetch. `max_wait_ms`, `min_bytes`, `max_bytes` as in the protocol; `replica_id` -1 is a consumer.

    `replica_epoch` is a follower's broker epoch, -1 if it does not say. `rack_id` is the client's, empty for none; a
    consumer that `may_read_followers` knows that a follower may be behind.
    """

    replica_id: int
    max_wait_ms: int
    min_bytes: int
    max_bytes: int
    isolation_level: int
    session_id: int
    session_epoch: int
    partitions: list[tuple[Key, FetchPartition]]
    forgotten: Iterable[Key] = ()
    uses_topic_ids: bool = False
    replica_epoch: int = -1
    rack_id: str = ""
    may_read_followers: bool = False


class FetchedPartition:
    """What one partition answers. Offsets are -1 where there is an error."""

    __slots__ = (
        "asked",
        "diverging",
        "end_offset",
        "error",
        "high_watermark",
        "is_held_back",
        "last_stable_offset",
        "log_start_offset",
        "preferred_read_replica",
        "records",
        "traffic",
    )

    def __init__(self, asked: FetchPartition, error: ErrorCode) -> None:
        self.asked = asked
        self.error = error
        self.diverging: tuple[int, int] | None = None
        """Epoch and end offset to truncate to, where the asker's last epoch ends earlier here (KIP-595)."""
        self.end_offset = -1
        """Up to where the asker may read."""
        self.high_watermark = -1
        self.last_stable_offset = -1
        self.log_start_offset = -1
        self.preferred_read_replica = -1
        self.records: Buffer = b""
        self.traffic: TopicTraffic | None = None
        """Where the records are counted once they are told."""
        self.is_held_back = False
        """There are records that did not fit, or that the replication throttle kept."""

    @property
    def is_quiet(self) -> bool:
        """Nothing but offsets is told, and whoever asks again gets no more."""
        return (
            self.error is ErrorCode.NONE
            and not self.is_held_back
            and not len(self.records)
            and self.diverging is None
            and self.preferred_read_replica < 0
        )

    @property
    def says_nothing_new(self) -> bool:
        """In a session: quiet, and with offsets that were told before."""
        return self.is_quiet and self.asked.is_told(
            self.high_watermark, self.last_stable_offset, self.log_start_offset
        )


class FetchResult(NamedTuple):
    """`partitions` holds what the answer must mention (all of them unless the session is incremental)."""

    error: ErrorCode
    session_id: int
    partitions: Sequence[FetchedPartition] = ()


def no_aborted_transactions(isolation_level: int) -> list[Any] | None:
    """Null for read_uncommitted, a list for read_committed, as the protocol has it."""
    return [] if isolation_level == READ_COMMITTED else None
