"""One partition as its reader sees it, and the records that wait to be handed out.

Decides: which of the records that arrive are handed out. Does not decide: what the node is told.

Invariants: records of a partition are handed out in the order of their offsets, each once, until somebody seeks.
What arrives after a seek was sent and before the node confirms it belongs to the old place and is dropped; so is
what arrives for a paused partition, which then is read again from its position when it is resumed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from odradek.client.records import ConsumerRecord, Position, TopicPartition

if TYPE_CHECKING:
    from odradek.v1.record_pb2 import ConsumedRecord
    from odradek.v1.record_service_pb2 import PartitionRecords


UNKNOWN: Final = -1
"""The offset of a partition in which the node has not found yet where to begin."""


class PartitionProgress:
    """`position`: the offset handed out next; `fetched`: the one that arrives next; `acknowledged`: the next one
    that is not dealt with, None if nothing was acknowledged since the start or a seek."""

    __slots__ = (
        "acknowledged",
        "fetched",
        "has_dropped",
        "high_watermark",
        "is_paused",
        "position",
        "seek",
        "tp",
    )

    def __init__(self, tp: TopicPartition, position: int) -> None:
        self.tp = tp
        self.position = position
        self.fetched = position
        self.acknowledged: int | None = None
        self.high_watermark = -1
        self.is_paused = False
        self.has_dropped = False
        """Records were dropped because it is paused: resuming has to go back."""
        self.seek: tuple[int, Position] | None = None
        """Request id and place of the newest seek that is not confirmed."""

    @property
    def place(self) -> Position | None:
        """Where it is read on, also where that is not known as an offset yet. None: as if it were new."""
        if self.seek is not None:
            return self.seek[1]
        return None if self.position == UNKNOWN else Position.at(self.position)

    def move_to(self, offset: int) -> None:
        self.position = self.fetched = offset
        self.has_dropped = False


class _Chunk:
    """Records of one partition in the order of their offsets; those before `next` were handed out."""

    __slots__ = ("next", "progress", "records")

    def __init__(self, progress: PartitionProgress, records: Sequence[ConsumedRecord]) -> None:
        self.progress = progress
        self.records = records
        self.next = 0

    @property
    def left(self) -> int:
        return len(self.records) - self.next


class Buffer:
    """Records that arrived, in order of arrival."""

    def __init__(self) -> None:
        self._chunks: deque[_Chunk] = deque()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, progress: PartitionProgress, arrived: PartitionRecords) -> int:
        """Keep what is to be handed out, and return how many records were dropped."""
        progress.high_watermark = arrived.high_watermark
        records: Sequence[ConsumedRecord] = arrived.records
        count = len(records)
        if count == 0:
            return 0
        if progress.seek is not None:
            return count
        if progress.position == UNKNOWN:
            progress.position = records[0].offset
        if progress.is_paused:
            progress.has_dropped = True
            return count
        if records[0].offset < progress.fetched:
            records = [record for record in records if record.offset >= progress.fetched]
            if not records:
                return count
        self._chunks.append(_Chunk(progress, records))
        progress.fetched = records[-1].offset + 1
        self._count += len(records)
        return count - len(records)

    def drop(self, progress: PartitionProgress) -> int:
        """Forget what waits for this partition, and return how many records that were."""
        dropped = sum(chunk.left for chunk in self._chunks if chunk.progress is progress)
        if dropped:
            self._chunks = deque(chunk for chunk in self._chunks if chunk.progress is not progress)
            self._count -= dropped
            progress.fetched = progress.position
        return dropped

    def move(self, progress: PartitionProgress, offset: int) -> None:
        """What arrives next begins here; what waits is handed out before."""
        progress.fetched = offset
        if not any(chunk.progress is progress for chunk in self._chunks):
            progress.position = offset

    def clear(self) -> None:
        for chunk in self._chunks:
            chunk.progress.fetched = chunk.progress.position
        self._chunks.clear()
        self._count = 0

    def take(self) -> tuple[PartitionProgress, ConsumerRecord] | None:
        """The next record, which is handed out by this."""
        if not self._chunks:
            return None
        chunk = self._chunks[0]
        progress = chunk.progress
        raw = chunk.records[chunk.next]
        chunk.next += 1
        self._count -= 1
        if chunk.next == len(chunk.records):
            self._chunks.popleft()
        record = to_record(progress.tp, raw)
        progress.position = record.offset + 1
        return progress, record


def to_record(tp: TopicPartition, raw: ConsumedRecord) -> ConsumerRecord:
    """The record as callers see it."""
    key: bytes | None = raw.key
    value: bytes | None = raw.value
    # Only what is empty may be absent.
    if not key and not raw.HasField("key"):
        key = None
    if not value and not raw.HasField("value"):
        value = None
    headers = raw.headers
    return ConsumerRecord(
        tp.topic,
        tp.partition,
        raw.offset,
        raw.timestamp_ms,
        key,
        value,
        tuple((header.key, header.value if header.HasField("value") else None) for header in headers)
        if headers
        else (),
    )
