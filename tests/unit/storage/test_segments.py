"""The list of segments: who holds an offset, when to roll, and taking segments off either end."""

from __future__ import annotations

from tests.unit.storage.kit import NOW_MS, batch

from odradek.storage.log_config import LogConfig
from odradek.storage.memory_disk import MemoryDisk
from odradek.storage.segment import MAX_RELATIVE_OFFSET, Segment
from odradek.storage.segments import MAX_LOADED, Segments, must_roll


def _segments(count: int) -> Segments:
    """Each with two batches of five offsets; the first begins at 0."""
    disk = MemoryDisk()
    disk.makedirs("t-0")
    segments = Segments(disk, "t-0", [Segment.create(disk, "t-0", 0, NOW_MS)])
    for number in range(count):
        if number:
            segments.active.finish_indexes()
            segments.active.write_indexes()
            segments.roll(number * 10, NOW_MS)
        segments.active.create_files()
        for base in (number * 10, number * 10 + 5):
            segments.active.append(batch(5, base_offset=base), base, base + 4, NOW_MS, 100)
    return segments


def test_offsets_have_their_segment() -> None:
    segments = _segments(5)
    assert [segments.number_of(offset) for offset in (0, 9, 10, 44, 49, 1000)] == [0, 0, 1, 4, 4, 4]
    for offset in range(50):
        data = segments.read(offset, 10**6, 50, True)
        assert int.from_bytes(data[:8], "big") == offset // 5 * 5
    assert len(segments.read(7, 10**6, 8, True)) == 0, "the batch ends beyond the limit"


def test_few_closed_segments_stay_loaded() -> None:
    segments = _segments(20)
    for offset in range(0, 200, 3):
        segments.read(offset, 100, 200, True)
        assert sum(segment.is_loaded for segment in segments) <= MAX_LOADED + 1
    assert segments.active.is_loaded


def test_both_ends() -> None:
    segments = _segments(6)
    taken = segments.take_oldest(2)
    assert [segment.base_offset for segment in taken] == [0, 10]
    assert not any(segment.is_loaded for segment in taken)
    assert [segment.base_offset for segment in segments] == [20, 30, 40, 50]
    assert [segment.base_offset for segment in segments.take_from(40)] == [50]
    assert segments.active.base_offset == 40
    assert [segment.base_offset for segment in segments.take_from(0)] == [30, 40]
    assert [segment.base_offset for segment in segments.replace_all(99, NOW_MS)] == [20]
    assert (segments.active.base_offset, segments.active.next_offset, segments.size) == (99, 99, 0)


def _rolls(
    config: LogConfig, *, size: int = 70, last_offset: int = 10, age_ms: int = 0, now_ms: int = NOW_MS
) -> bool:
    active = _segments(1).active
    return must_roll(active, config, size, last_offset, NOW_MS + age_ms if age_ms >= 0 else -1, now_ms)


def test_size_rolls() -> None:
    used = _segments(1).active.size
    assert not _rolls(LogConfig(segment_bytes=used + 70))
    assert _rolls(LogConfig(segment_bytes=used + 69))


def test_age_rolls_by_record_times() -> None:
    config = LogConfig(segment_ms=1000)
    assert not _rolls(config, age_ms=1000)
    assert _rolls(config, age_ms=1001)
    assert not _rolls(config, age_ms=0, now_ms=NOW_MS + 5000), (
        "the clock does not count when records have times"
    )
    assert _rolls(config, age_ms=-1, now_ms=NOW_MS + 5000)
    compacted = LogConfig(segment_ms=9000, max_compaction_lag_ms=1000, cleanup_policy=frozenset({"compact"}))
    assert _rolls(compacted, age_ms=1001)


def test_an_offset_too_far_from_the_base_rolls() -> None:
    assert not _rolls(LogConfig(), last_offset=MAX_RELATIVE_OFFSET)
    assert _rolls(LogConfig(), last_offset=MAX_RELATIVE_OFFSET + 1)


def test_a_full_index_rolls() -> None:
    assert len(_segments(1).active.offsets) == 1
    assert _rolls(LogConfig(segment_index_bytes=8))
    assert not _rolls(LogConfig(segment_index_bytes=48))


def test_an_empty_segment_does_not_roll() -> None:
    empty = _segments(1).roll(10, NOW_MS)
    assert not must_roll(empty, LogConfig(segment_bytes=1, segment_ms=1), 70, 10, NOW_MS + 10**9, NOW_MS)


def test_age_is_known_after_a_restart() -> None:
    segments = _segments(1)
    segments.active.write_indexes()
    found = Segment(segments.disk, "t-0", 0, 10)
    found.load()
    found.open_end()
    assert must_roll(found, LogConfig(segment_ms=1000), 70, 10, NOW_MS + 2000, NOW_MS)
