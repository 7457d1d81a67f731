"""Which segments go: by age, by size, by start offset, and never past the high watermark."""

from __future__ import annotations

from odradek.storage.log_config import LogConfig
from odradek.storage.retention import NEVER, RetentionPlan, SegmentSummary, plan_retention

#: Ten offsets and 100 bytes each, newest records at 1000, 2000, 3000 ms; the last is active.
SEGMENTS = [SegmentSummary(base, base + 10, 100, 1000 + base * 100) for base in (0, 10, 20)]
KEEP = LogConfig(retention_ms=-1, retention_bytes=-1)


def _plan(config: LogConfig, *, start: int = 0, high_watermark: int = 30, now_ms: int = 0) -> RetentionPlan:
    return plan_retention(SEGMENTS, config, start, high_watermark, now_ms)


def test_nothing_is_deleted_without_a_limit() -> None:
    assert _plan(KEEP, now_ms=10**15) == RetentionPlan(0, NEVER)


def test_age() -> None:
    config = LogConfig(retention_ms=500)
    assert _plan(config, now_ms=1500) == RetentionPlan(0, 1501), "not older than retention.ms yet"
    assert _plan(config, now_ms=1501) == RetentionPlan(1, 2501)
    assert _plan(config, now_ms=2501) == RetentionPlan(2, 3501)
    assert _plan(config, now_ms=9999) == RetentionPlan(3, NEVER), "the active segment too"


def test_a_young_segment_keeps_those_after_it() -> None:
    segments = [SEGMENTS[0]._replace(max_timestamp=5000), *SEGMENTS[1:]]
    assert plan_retention(segments, LogConfig(retention_ms=500), 0, 30, 4000).delete_count == 0


def test_size() -> None:
    for limit, count in ((300, 0), (201, 0), (200, 1), (101, 1), (100, 2), (1, 2), (0, 3)):
        assert _plan(LogConfig(retention_ms=-1, retention_bytes=limit)).delete_count == count, limit


def test_start_offset() -> None:
    for start, count in ((0, 0), (9, 0), (10, 1), (29, 2), (30, 3)):
        assert _plan(KEEP, start=start).delete_count == count, start


def test_the_high_watermark_holds_back() -> None:
    old = LogConfig(retention_ms=500)
    assert _plan(old, high_watermark=19, now_ms=9999).delete_count == 1
    assert _plan(old, high_watermark=20, now_ms=9999).delete_count == 2
    assert _plan(LogConfig(retention_ms=-1, retention_bytes=0), high_watermark=9).delete_count == 0
    held = _plan(old, high_watermark=9, now_ms=9999)
    assert held.delete_count == 0 and 9999 < held.next_check_ms < NEVER


def test_a_compacted_log_deletes_for_its_start_only() -> None:
    config = LogConfig(cleanup_policy=frozenset({"compact"}), retention_ms=0, retention_bytes=0)
    assert _plan(config, now_ms=10**15) == RetentionPlan(0, NEVER)
    assert _plan(config, start=10, now_ms=10**15).delete_count == 1
    both = LogConfig(cleanup_policy=frozenset({"compact", "delete"}), retention_ms=0)
    assert _plan(both, now_ms=10**15).delete_count == 3


def test_an_empty_active_segment_stays() -> None:
    segments = [*SEGMENTS[:2], SegmentSummary(20, 20, 0, -1)]
    plan = plan_retention(segments, LogConfig(retention_ms=1, retention_bytes=0), 20, 20, 10**15)
    assert plan == RetentionPlan(2, NEVER)
