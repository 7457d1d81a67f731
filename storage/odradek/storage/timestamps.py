"""Finding records by time, for ListOffsets.

Decides: which record answers "the first at or after this time" and "the newest". Batches are found by
segment and time index, then by the largest timestamp in their headers; only the one batch that answers is
looked into.

The first match is the first in offset order, whatever the order of timestamps. Source: KIP-33, KIP-734;
Kafka's LogSegment.findOffsetByTimestamp and UnifiedLog.fetchOffsetByTimestamp.
"""

from __future__ import annotations

from typing import NamedTuple

from odradek.proto.kafka.record_batch import BatchHeader, InvalidBatchError, iter_records
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
    """The first record that has the largest timestamp of all. Raises DiskError."""
    newest: Segment | None = None
    for segment in segments:
        if segment.size and (newest is None or segment.max_timestamp > newest.max_timestamp):
            newest = segment
    if newest is None:
        return None
    segments.use(newest)
    return _find_in(newest, newest.max_timestamp, start_offset)


def _find_record(
    segment: Segment, position: int, header: BatchHeader, timestamp: int, start_offset: int
) -> TimestampOffset | None:
    try:
        records = iter_records(segment.read_batch(position, header))
    except InvalidBatchError as error:
        raise CorruptSegmentError(segment.log_path, str(error)) from error
    for record in records:
        if record.timestamp >= timestamp and record.offset >= start_offset:
            return TimestampOffset(record.timestamp, record.offset, header.partition_leader_epoch)
    return None
