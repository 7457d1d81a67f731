"""Finding records by time, for ListOffsets.

Decides: which record answers "the first at or after this time" and "the newest". Batches are found by
segment and time index, then by the largest timestamp in their headers; only the one batch that answers is
looked into.

The first match is the first in offset order, whatever the order of timestamps. Source: KIP-33, KIP-734;
Kafka's LogSegment.findOffsetByTimestamp and UnifiedLog.fetchOffsetByTimestamp.
"""

from __future__ import annotations

from typing import NamedTuple

from odradek.proto.kafka.record_batch import BatchHeader, InvalidBatchError, Record, iter_records
from odradek.storage.segment import CorruptSegmentError, Segment
from odradek.storage.segments import Segments


class TimestampOffset(NamedTuple):
    """A record: its timestamp in ms, its offset, and the leader epoch of its batch."""

    timestamp: int
    offset: int
    leader_epoch: int


def find_timestamp(segments: Segments, timestamp: int, start_offset: int) -> TimestampOffset | None:
    """The first record at or after `start_offset` with `timestamp` or a later one. Raises DiskError."""
    for segment in segments:
        if segment.size and segment.max_timestamp >= timestamp and segment.next_offset > start_offset:
            segments.use(segment)
            found = _find_in(segment, timestamp, start_offset)
            if found is not None:
                return found
    return None


def _find_in(segment: Segment, timestamp: int, start_offset: int) -> TimestampOffset | None:
    first = max(start_offset, segment.times.lookup(timestamp))
    for position, header in segment.scan(segment.locate(first)):
        if header.max_timestamp >= timestamp and header.last_offset >= start_offset:
            found = _find_record(segment, position, header, timestamp, start_offset)
            if found is not None:
                return found
    return None


def find_newest(segments: Segments, start_offset: int) -> TimestampOffset | None:
    """The first record at or after `start_offset` that has the largest timestamp of these. Raises DiskError."""
    newest: Segment | None = None
    timestamp = -2
    for segment in segments:
        if segment.size and segment.next_offset > start_offset and segment.max_timestamp > timestamp:
            segments.use(segment)
            found = _newest_in(segment, start_offset)
            if found > timestamp:
                newest, timestamp = segment, found
    return None if newest is None else _find_in(newest, timestamp, start_offset)


def _newest_in(segment: Segment, start_offset: int) -> int:
    """The largest timestamp at or after `start_offset`; what is before it may still be in the segment."""
    if segment.base_offset >= start_offset:
        return segment.max_timestamp
    newest = -2
    for position, header in segment.scan(segment.locate(start_offset)):
        if header.base_offset >= start_offset:
            newest = max(newest, header.max_timestamp)
        else:
            records = _records(segment, position, header)
            newest = max((r.timestamp for r in records if r.offset >= start_offset), default=newest)
    return newest


def _find_record(
    segment: Segment, position: int, header: BatchHeader, timestamp: int, start_offset: int
) -> TimestampOffset | None:
    for record in _records(segment, position, header):
        if record.timestamp >= timestamp and record.offset >= start_offset:
            return TimestampOffset(record.timestamp, record.offset, header.partition_leader_epoch)
    return None


def _records(segment: Segment, position: int, header: BatchHeader) -> list[Record]:
    try:
        return iter_records(segment.read_batch(position, header))
    except InvalidBatchError as error:
        raise CorruptSegmentError(segment.log_path, str(error)) from error
