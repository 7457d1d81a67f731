"""ListOffsets by time: the first record at or after it, the newest, in any order of timestamps, and compressed."""

from __future__ import annotations

import pytest
from tests.unit.storage.kit import NOW_MS, SMALL, Storage, append, batch

from odradek.proto.kafka.errors import ErrorCode
from odradek.storage.log import PartitionLog
from odradek.storage.timestamps import TimestampOffset


def _log(times: list[int]) -> PartitionLog:
    log = Storage().open(SMALL)
    for time in times:
        append(log, 3, timestamp=NOW_MS + time, value=b"v" * 40)
    return log


def _at(time: int, offset: int) -> TimestampOffset:
    return TimestampOffset(NOW_MS + time, offset, 0)


def test_the_first_in_offset_order_counts() -> None:
    log = _log([0, 100, 50, 200, 10] * 6)
    assert log.offset_for_timestamp(NOW_MS - 5) == _at(0, 0)
    assert log.offset_for_timestamp(NOW_MS + 1) == _at(1, 1)
    assert log.offset_for_timestamp(NOW_MS + 3) == _at(100, 3)
    assert log.offset_for_timestamp(NOW_MS + 102) == _at(102, 5)
    assert log.offset_for_timestamp(NOW_MS + 103) == _at(200, 9)
    assert log.offset_for_timestamp(NOW_MS + 203) is None
    assert log.max_timestamp_offset() == _at(202, 11)


def test_growing_times_over_many_segments() -> None:
    times = list(range(0, 4000, 40))
    log = _log(times)
    assert log._local is not None and len(log._local.segments) > 10
    for number, time in enumerate(times):
        assert log.offset_for_timestamp(NOW_MS + time) == _at(time, number * 3)
        assert log.offset_for_timestamp(NOW_MS + time + 2) == _at(time + 2, number * 3 + 2)


def test_deleted_records_do_not_count() -> None:
    log = _log([900, 100, 50])
    assert log.max_timestamp_offset() == _at(902, 2)
    log.advance_log_start_offset(2)
    assert log.offset_for_timestamp(NOW_MS) == _at(902, 2)
    log.advance_log_start_offset(4)
    assert log.offset_for_timestamp(NOW_MS) == _at(101, 4)
    assert log.max_timestamp_offset() == _at(102, 5)
    log.advance_log_start_offset(9)
    assert log.max_timestamp_offset() is None
    assert log.offset_for_timestamp(0) is None


@pytest.mark.parametrize("codec", [1, 2, 3, 4])
def test_compressed_batches_are_looked_into(codec: int) -> None:
    log = Storage().open(SMALL)
    log.append_as_leader(batch(50, codec=codec), 3, NOW_MS)
    assert log.offset_for_timestamp(NOW_MS + 33) == TimestampOffset(NOW_MS + 33, 33, 3)


def test_an_empty_log_and_damage() -> None:
    storage = Storage()
    log = storage.open(SMALL)
    assert log.max_timestamp_offset() is None
    assert log.offset_for_timestamp(0) is None
    append(log, 3)
    file = storage.memory.open(f"{log.path}/00000000000000000000.log")
    file.pwrite(61, b"\xff\xff\xff")
    assert log.offset_for_timestamp(0) == ErrorCode.CORRUPT_MESSAGE
    assert not log.is_offline
