"""One segment: which bytes answer a read, whatever is still in memory; indexes written, lost, stale or damaged."""

from __future__ import annotations

import pytest
from tests.unit.storage.kit import NOW_MS, batch

from odradek.proto.kafka.record_batch import iter_headers
from odradek.storage.memory_disk import MemoryDisk
from odradek.storage.segment import CorruptSegmentError, Segment, segment_name

INTERVAL = 150
COUNT = 60


def _disk() -> MemoryDisk:
    disk = MemoryDisk()
    disk.makedirs("t-0")
    return disk


def _segment(disk: MemoryDisk, base: int = 100, count: int = COUNT, records: int = 3) -> Segment:
    """`count` batches of `records` offsets; timestamps grow by 10 ms a batch."""
    segment = Segment.create(disk, "t-0", base, NOW_MS)
    segment.create_files()
    for number in range(count):
        _append(segment, base + number * records, records, NOW_MS + number * 10)
    return segment


def _append(segment: Segment, base: int, records: int, timestamp: int, value: bytes = b"v") -> None:
    data = batch(records, base_offset=base, timestamp=timestamp, value=value)
    segment.append(data, base, base + records - 1, timestamp + records - 1, INTERVAL)


def _offsets(data: bytes | bytearray | memoryview) -> list[int]:
    found = [(header.base_offset, header.size) for _, header in iter_headers(data)]
    assert sum(size for _, size in found) == len(data)
    return [base for base, _ in found]


def _variants() -> list[Segment]:
    """The same segment as it is written, after unloading, without its indexes, and with several writes."""
    live = _segment(_disk())
    disk = _disk()
    unloaded = _segment(disk)
    unloaded.finish_indexes()
    unloaded.write_indexes()
    unloaded.unload()
    disk = _disk()
    bare = _segment(disk)
    bare.unload()
    disk = _disk()
    pieces = _segment(disk, count=20)
    for number in range(20, COUNT):
        pieces.write_indexes()
        _append(pieces, 100 + number * 3, 3, NOW_MS + number * 10)
    pieces.finish_indexes()
    pieces.write_indexes()
    pieces.unload()
    return [live, unloaded, bare, pieces]


@pytest.mark.parametrize("segment", _variants(), ids=["live", "unloaded", "bare", "pieces"])
def test_every_read_is_whole_batches_within_its_limits(segment: Segment) -> None:
    size = segment.size // COUNT
    for offset in range(100, 100 + COUNT * 3, 7):
        first = (offset - 100) // 3
        for end in (offset + 1, min(offset + 20, 280), 280):
            wanted = list(range(100 + first * 3, end - 2, 3))
            for max_bytes in (0, size - 1, size, 2 * size + 5, 9 * size, 10**6):
                fit = max_bytes // size
                got = _offsets(segment.read(offset, max_bytes, end, False))
                assert got == wanted[:fit]
                got = _offsets(segment.read(offset, max_bytes, end, True))
                assert got == wanted[: max(fit, 1)]


def test_a_reader_goes_on_where_it_stopped_without_walking() -> None:
    disk = _disk()
    segment = _segment(disk, count=500)
    segment.unload()
    offset = _next(segment, 100)
    disk.log = []
    for _ in range(10):
        offset = _next(segment, offset)
    assert disk.log.count("pread t-0/00000000000000000100.log") == 10, "one read each"


def _next(segment: Segment, offset: int) -> int:
    headers = [header for _, header in iter_headers(segment.read(offset, 700, 1600, True))]
    return headers[-1].last_offset + 1


def test_a_read_at_the_end_is_one_disk_call() -> None:
    disk = _disk()
    segment = _segment(disk)
    disk.log = []
    assert _offsets(segment.read(274, 10**6, 280, True)) == [274, 277]
    assert _offsets(segment.read(274, 10**6, 279, True)) == [274], "cut below the end without a walk"
    assert _offsets(segment.read(280, 10**6, 280, True)) == []
    assert len(disk.log) == 2


def test_indexes_are_kafkas_files() -> None:
    disk = _disk()
    segment = _segment(disk)
    segment.finish_indexes()
    segment.write_indexes()
    index = disk.read("t-0/00000000000000000100.index")
    times = disk.read("t-0/00000000000000000100.timeindex")
    assert len(index) % 8 == 0 and len(index) > 80
    assert len(times) % 12 == 0 and len(times) > 120
    assert times[-12:] == (NOW_MS + 592).to_bytes(8, "big") + (179).to_bytes(4, "big")
    before = disk.calls
    segment.write_indexes()
    assert (disk.read("t-0/00000000000000000100.index"), disk.calls - before) == (index, 3), (
        "nothing new to write"
    )


@pytest.mark.parametrize("damage", ["zeros", "half", "gone", "wrong"])
def test_a_damaged_index_is_made_anew(damage: str) -> None:
    disk = _disk()
    segment = _segment(disk)
    segment.finish_indexes()
    segment.write_indexes()
    path = "t-0/00000000000000000100.index"
    segment.unload()
    file = disk.open(path)
    if damage == "zeros":
        file.append([bytes(16)])
    elif damage == "half":
        file.truncate(file.size - 3)
    elif damage == "gone":
        disk.remove(path)
        disk.remove("t-0/00000000000000000100.timeindex")
    else:
        file.pwrite(file.size - 8, (170).to_bytes(4, "big"))
    assert _offsets(segment.read(200, 10**6, 280, True))[0] == 199
    assert segment.max_timestamp == NOW_MS + 592


def test_a_closed_segment_knows_its_newest_time_from_its_time_index() -> None:
    disk = _disk()
    segment = _segment(disk)
    segment.finish_indexes()
    segment.write_indexes()
    closed = Segment(disk, "t-0", 100, 280)
    disk.log = []
    assert (closed.max_timestamp, closed.max_timestamp_offset) == (NOW_MS + 592, 279)
    assert disk.log == ["read t-0/00000000000000000100.timeindex"]
    disk.remove("t-0/00000000000000000100.timeindex")
    closed = Segment(disk, "t-0", 100, 280)
    assert closed.max_timestamp == NOW_MS + 592, "from the data"
    assert not closed.is_loaded


@pytest.mark.parametrize("loaded", [True, False])
@pytest.mark.parametrize("offset", [100, 101, 103, 150, 199, 277, 279, 280])
def test_truncate(offset: int, loaded: bool) -> None:
    disk = _disk()
    segment = _segment(disk)
    if not loaded:
        segment.finish_indexes()
        segment.write_indexes()
        segment.unload()
        segment.load()
    segment.truncate(offset)
    kept = (offset - 100) // 3
    end = 100 + kept * 3
    assert segment.next_offset == end
    assert segment.max_timestamp == (NOW_MS + kept * 10 - 8 if kept else -1)
    assert _offsets(segment.read(100, 10**6, end, True)) == list(range(100, end, 3))
    _append(segment, end, 1, NOW_MS)
    assert _offsets(segment.read(100, 10**6, end + 1, True))[-1] == end
    assert segment.offsets.last_entry is None or segment.offsets.last_entry[1] < segment.size


def test_recovery_keeps_the_index_before_the_recovery_point() -> None:
    disk = _disk()
    _segment(disk).write_indexes()
    segment = Segment(disk, "t-0", 100, 280)
    position = segment.start_recovery(200)
    entry = segment.offsets.last_entry
    assert entry is not None and entry[0] < 200 and entry[1] == position > 0
    for at, header in segment.scan(position):
        segment.note(at, header, INTERVAL)
    again = Segment(disk, "t-0", 100, 280)
    again.rebuild(INTERVAL)
    assert segment.offsets.encode() == again.offsets.encode()
    assert segment.max_timestamp == again.max_timestamp
    assert Segment(disk, "t-0", 100, 280).start_recovery(0) == 0


def test_damage_in_the_data_is_an_error_not_a_loop() -> None:
    disk = _disk()
    segment = _segment(disk)
    segment.unload()
    file = disk.open(segment.log_path)
    size = segment.size // COUNT
    file.pwrite(size + 8, bytes(4))
    with pytest.raises(CorruptSegmentError):
        segment.read(104, 10**6, 280, True)
    with pytest.raises(CorruptSegmentError):
        segment.locate(104)


def test_a_batch_larger_than_any_chunk() -> None:
    disk = _disk()
    segment = _segment(disk, count=2)
    _append(segment, 106, 1, NOW_MS, b"x" * 3_000_000)
    _append(segment, 107, 1, NOW_MS)
    segment.unload()
    assert _offsets(segment.read(106, 100, 108, True)) == [106]
    assert _offsets(segment.read(107, 100, 108, True)) == [107]
    assert [header.base_offset for _, header in segment.scan(0)] == [100, 103, 106, 107]


def test_names() -> None:
    assert segment_name(0) == "0" * 20
    assert segment_name(123456) == "00000000000000123456"
