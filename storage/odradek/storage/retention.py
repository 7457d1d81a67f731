"""Which segments of a log are no longer wanted. Pure.

Decides: the number of oldest segments to delete, and when to look again. Does not delete.

Rules (Kafka's UnifiedLog.deleteOldSegments): only from the oldest on, without holes, and never a segment with
records at or above the high watermark. A segment goes when its newest record is older than `retention.ms`,
when the log without it still has at least `retention.bytes`, or when it ends at or below the log start
offset. The active segment may go as well (by age or start offset): the log then rolls first. A log that is
only compacted deletes for the start offset alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from odradek.storage.log_config import LogConfig

NEVER: Final = 0x7FFFFFFFFFFFFFFF


class SegmentSummary(NamedTuple):
    """`end_offset` is one past the last record; `max_timestamp` in ms, -1 if there is no record with one."""

    base_offset: int
    end_offset: int
    size: int
    max_timestamp: int


class RetentionPlan(NamedTuple):
    """Delete the oldest `delete_count` segments (all of them: roll before); look again at `next_check_ms`."""

    delete_count: int
    next_check_ms: int


def plan_retention(
    segments: Sequence[SegmentSummary],
    config: LogConfig,
    log_start_offset: int,
    high_watermark: int,
    now_ms: int,
) -> RetentionPlan:
    """See the module. `segments` oldest first; the last one is active, and may be empty."""
    deletable = 0
    for segment in segments:
        if segment.end_offset > high_watermark or not segment.size:
            break
        deletable += 1
    count = _by_start_offset(segments[:deletable], log_start_offset)
    next_check_ms = NEVER
    if config.is_deleted:
        by_age, next_check_ms = _by_age(segments, deletable, config.retention_ms, now_ms)
        count = max(count, by_age, min(deletable, _by_size(segments, config.retention_bytes)))
    return RetentionPlan(count, next_check_ms)


def _by_start_offset(segments: Sequence[SegmentSummary], log_start_offset: int) -> int:
    count = 0
    for segment in segments:
        if segment.end_offset > log_start_offset:
            break
        count += 1
    return count


def _by_age(
    segments: Sequence[SegmentSummary], deletable: int, retention_ms: int, now_ms: int
) -> tuple[int, int]:
    """(segments past their age, when the next one will be)."""
    if retention_ms < 0:
        return 0, NEVER
    for count, segment in enumerate(segments):
        if not segment.size:
            return count, NEVER
        expires_ms = segment.max_timestamp + retention_ms + 1
        if expires_ms > now_ms:
            return count, expires_ms
        if count >= deletable:  # held back by the high watermark: look when it has moved
            return count, now_ms + 1000
    return len(segments), NEVER


def _by_size(segments: Sequence[SegmentSummary], retention_bytes: int) -> int:
    if retention_bytes < 0:
        return 0
    excess = sum(segment.size for segment in segments) - retention_bytes
    count = 0
    for segment in segments:
        if segment.size > excess:
            break
        excess -= segment.size
        count += 1
    return count
