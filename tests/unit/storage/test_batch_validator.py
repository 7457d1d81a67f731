"""One rule at a time.

The expected answers are those of Kafka 4.3.1 (ProduceRequest.validateRecords, UnifiedLog, LogValidator)
taken by running them on the same bytes; where this validator is stricter the test says so.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest

from odradek.proto.kafka import record_batch as rb
from odradek.proto.kafka.compression import compress
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.record_batch import Record, build_batch, iter_records, parse_header
from odradek.proto.kafka.records import encode_records
from odradek.storage import batch_validator
from odradek.storage.batch_validator import Rejected, Validated, validate, validate_follower
from odradek.storage.log_config import LogConfig

NOW = 1_700_000_100_000
TIME = 1_700_000_000_000
HOUR = 3_600_000
INT64_MAX = 2**63 - 1
DEFAULT = LogConfig()
COMPACTED = LogConfig(cleanup_policy=frozenset({"compact"}))
APPEND_TIME = LogConfig(message_timestamp_type="LogAppendTime")
CODECS = range(5)


def records(count: int, time: int = TIME, key: bytes | None = b"k") -> list[Record]:
    return [Record(i, time + i, key, b"value %d" % i, [("h", b"1")] if i % 2 else ()) for i in range(count)]


def accept(batch: bytearray, config: LogConfig = DEFAULT, **options: Any) -> Validated:
    result = validate(batch, config, 77, 5, NOW, **options)
    assert isinstance(result, Validated), result
    assert result.header == parse_header(result.records)
    assert result.header.crc == rb.compute_crc(result.records, 0, len(result.records))
    return result


def reject(batch: bytes | bytearray, config: LogConfig = DEFAULT, **options: Any) -> Rejected:
    result = validate(bytearray(batch), config, 77, 5, NOW, **options)
    assert isinstance(result, Rejected), result
    return result


def edited(batch: bytearray, offset: int, form: str, value: int) -> bytearray:
    """`batch` with one header field changed and the CRC put right."""
    copy = bytearray(batch)
    struct.pack_into(form, copy, offset, value)
    return with_crc(copy)


def with_crc(batch: bytearray) -> bytearray:
    struct.pack_into(">I", batch, 17, rb.compute_crc(batch, 0, len(batch)))
    return batch


def with_area(count: int, codec: int, area: bytes) -> bytearray:
    """A batch whose header is in order, over any bytes as its records area."""
    header = parse_header(build_batch(records(count)))
    return rb.assemble(header._replace(attributes=codec), area)


def audited(make: Callable[[int], bytearray]) -> bytearray:
    """The first of the batches made from 0, 1, 2, ... that the validator picks for a closer look."""
    return next(b for b in map(make, range(10_000)) if not parse_header(b).crc & batch_validator.AUDIT_MASK)


def not_audited(make: Callable[[int], bytearray]) -> bytearray:
    return next(b for b in map(make, range(10_000)) if parse_header(b).crc & batch_validator.AUDIT_MASK)


# ---- accepted


@pytest.mark.parametrize("count", [1, 3, 50, 2000])
@pytest.mark.parametrize("codec", CODECS)
def test_an_ordinary_batch_is_stamped_in_place(codec: int, count: int) -> None:
    batch = build_batch(records(count), codec=codec)
    before = parse_header(batch)
    result = accept(batch)
    assert result.records is batch
    assert result.header == before._replace(base_offset=77, partition_leader_epoch=5)
    assert (result.base_offset, result.last_offset) == (77, 76 + count)
    assert (result.max_timestamp, result.log_append_time_ms) == (TIME + count - 1, -1)


def test_a_memoryview_into_a_request_is_stamped_in_place() -> None:
    frame = bytearray(b"request header") + build_batch(records(3))
    view = memoryview(frame)[14:]
    result = validate(view, DEFAULT, 77, 5, NOW)
    assert isinstance(result, Validated)
    assert result.records is view
    assert parse_header(frame, 14).base_offset == 77


@pytest.mark.parametrize("count", [1, 3, 500])
@pytest.mark.parametrize("codec", CODECS)
def test_log_append_time(codec: int, count: int) -> None:
    result = accept(build_batch(records(count, time=TIME + 10 * HOUR), codec=codec), APPEND_TIME)
    assert result.header.is_log_append_time
    assert (result.header.max_timestamp, result.max_timestamp, result.log_append_time_ms) == (NOW, NOW, NOW)
    assert {record.timestamp for record in iter_records(result.records)} == {NOW}


@pytest.mark.parametrize("target", ["uncompressed", "gzip", "snappy", "lz4", "zstd"])
@pytest.mark.parametrize("codec", CODECS)
def test_the_topic_may_ask_for_a_codec(codec: int, target: str) -> None:
    batch = build_batch(records(300), codec=codec, producer_id=4, producer_epoch=1, base_sequence=9)
    before = parse_header(batch)
    result = accept(batch, LogConfig(compression_type=target))
    number = ("uncompressed", "gzip", "snappy", "lz4", "zstd").index(target)
    assert (result.records is batch) == (number == codec)
    assert result.header[5:] == before._replace(attributes=number)[5:]
    assert iter_records(result.records) == [r._replace(offset=r.offset + 77) for r in records(300)]


def test_recompression_uses_the_topics_level_and_keeps_the_time_rule() -> None:
    fast = accept(build_batch(records(300)), LogConfig(compression_type="zstd", compression_zstd_level=-50))
    slow = accept(build_batch(records(300)), LogConfig(compression_type="zstd", compression_zstd_level=19))
    assert len(slow.records) < len(fast.records)
    both = LogConfig(compression_type="zstd", message_timestamp_type="LogAppendTime")
    assert accept(build_batch(records(3)), both).header.attributes == 4 | rb.LOG_APPEND_TIME


def test_a_batch_that_grows_beyond_the_limit_when_decompressed_is_too_large() -> None:
    batch = build_batch([Record(0, TIME, None, bytes(10_000))], codec=4)
    config = LogConfig(compression_type="uncompressed", max_message_bytes=9_000)
    assert reject(batch, config).error == ErrorCode.MESSAGE_TOO_LARGE


# ---- framing

GOOD = build_batch(records(3))
FRAMING = [
    ("empty", b"", ErrorCode.INVALID_RECORD),
    ("shorter than a length", b"12345", ErrorCode.INVALID_RECORD),
    ("cut off", GOOD[:-1], ErrorCode.INVALID_RECORD),
    ("cut off in the header", GOOD[:40], ErrorCode.INVALID_RECORD),
    ("two batches", GOOD + GOOD, ErrorCode.INVALID_RECORD),
    ("zeros after the batch", GOOD + bytes(20), ErrorCode.CORRUPT_MESSAGE),
    ("a cut off batch after the batch (stricter)", GOOD + b"12345", ErrorCode.INVALID_RECORD),
    ("length 0", edited(GOOD, 8, ">i", 0), ErrorCode.CORRUPT_MESSAGE),
    ("length -1", edited(GOOD, 8, ">i", -1), ErrorCode.CORRUPT_MESSAGE),
    ("length 13", edited(GOOD, 8, ">i", 13), ErrorCode.CORRUPT_MESSAGE),
    ("length 48", edited(GOOD, 8, ">i", 48), ErrorCode.CORRUPT_MESSAGE),
    ("length of 1 GB", edited(GOOD, 8, ">i", 10**9), ErrorCode.INVALID_RECORD),
    ("magic 0", edited(GOOD, 16, ">b", 0), ErrorCode.INVALID_RECORD),
    ("magic 1", edited(GOOD, 16, ">b", 1), ErrorCode.INVALID_RECORD),
    ("magic 3", edited(GOOD, 16, ">b", 3), ErrorCode.CORRUPT_MESSAGE),
    ("magic -1", edited(GOOD, 16, ">b", -1), ErrorCode.CORRUPT_MESSAGE),
    ("codec 5", edited(GOOD, 21, ">h", 5), ErrorCode.UNSUPPORTED_COMPRESSION_TYPE),
]


@pytest.mark.parametrize(
    ("batch", "error"), [case[1:] for case in FRAMING], ids=[case[0] for case in FRAMING]
)
def test_framing(batch: bytes, error: ErrorCode) -> None:
    assert reject(batch).error == error


def test_zstd_needs_produce_7() -> None:
    batch = build_batch(records(3), codec=4)
    assert reject(batch, produce_version=6).error == ErrorCode.UNSUPPORTED_COMPRESSION_TYPE
    accept(batch, produce_version=7)


# ---- header

HEADER = [
    ("base offset", edited(GOOD, 0, ">q", 9), ErrorCode.INVALID_RECORD),
    ("last offset delta below the count", edited(GOOD, 23, ">i", 1), ErrorCode.INVALID_RECORD),
    ("last offset delta -1", edited(GOOD, 23, ">i", -1), ErrorCode.INVALID_RECORD),
    ("last offset delta 2147483647", edited(GOOD, 23, ">i", 2**31 - 1), ErrorCode.INVALID_RECORD),
    ("count 0", edited(GOOD, 57, ">i", 0), ErrorCode.INVALID_RECORD),
    ("count -1", edited(GOOD, 57, ">i", -1), ErrorCode.INVALID_RECORD),
    ("count 4", edited(GOOD, 57, ">i", 4), ErrorCode.INVALID_RECORD),
    ("4 of 3 records", edited(edited(GOOD, 57, ">i", 4), 23, ">i", 3), ErrorCode.INVALID_RECORD),
    ("2 of 3 records", edited(edited(GOOD, 57, ">i", 2), 23, ">i", 1), ErrorCode.INVALID_RECORD),
    ("producer id without sequence", edited(GOOD, 43, ">q", 5), ErrorCode.INVALID_RECORD),
    ("control", edited(GOOD, 21, ">h", rb.CONTROL), ErrorCode.INVALID_RECORD),
    ("delete horizon (stricter)", edited(GOOD, 21, ">h", rb.DELETE_HORIZON), ErrorCode.INVALID_RECORD),
    (
        "transactional, no producer (stricter)",
        edited(GOOD, 21, ">h", rb.TRANSACTIONAL),
        ErrorCode.INVALID_RECORD,
    ),
]


@pytest.mark.parametrize(("batch", "error"), [case[1:] for case in HEADER], ids=[case[0] for case in HEADER])
def test_header(batch: bytes, error: ErrorCode) -> None:
    assert reject(batch).error == error


def test_every_bit_that_the_crc_covers_is_checked() -> None:
    for position in range(17, len(GOOD)):
        damaged = bytearray(GOOD)
        damaged[position] ^= 1
        if position != 22:  # the codec: refused, or decompressed only after the CRC
            assert reject(damaged).error == ErrorCode.CORRUPT_MESSAGE


def test_the_crc_comes_before_decompression() -> None:
    bomb = build_batch([Record(0, TIME, None, bytes(1_000_000))], codec=4)
    bomb[17] ^= 1
    assert reject(bomb).error == ErrorCode.CORRUPT_MESSAGE


def test_sizes() -> None:
    size = len(GOOD)
    accept(bytearray(GOOD), LogConfig(max_message_bytes=size, segment_bytes=size))
    assert reject(GOOD, LogConfig(max_message_bytes=size - 1)).error == ErrorCode.MESSAGE_TOO_LARGE
    assert reject(GOOD, LogConfig(segment_bytes=size - 1)).error == ErrorCode.RECORD_LIST_TOO_LARGE


def test_log_append_time_bit_from_a_client() -> None:
    batch = edited(GOOD, 21, ">h", rb.LOG_APPEND_TIME)
    rejected = reject(batch, APPEND_TIME)
    assert rejected.error == ErrorCode.INVALID_TIMESTAMP
    assert [fault.batch_index for fault in rejected.record_errors] == [0, 1, 2]
    assert not accept(batch).header.is_log_append_time


# ---- timestamps


@pytest.mark.parametrize("count", [1, 3, 500])
@pytest.mark.parametrize("codec", CODECS)
def test_timestamp_bounds(codec: int, count: int) -> None:
    def batch(time: int) -> bytearray:
        return build_batch([Record(i, time, b"k", b"v") for i in range(count)], codec=codec)

    narrow = LogConfig(message_timestamp_before_max_ms=1000)
    accept(batch(NOW + HOUR))
    accept(batch(NOW - 1000), narrow)
    accept(batch(-1), narrow)  # no timestamp
    accept(batch(0))
    for rejected in (
        reject(batch(NOW + HOUR + 1)),
        reject(batch(NOW - 1001), narrow),
        reject(batch(-2), narrow),
    ):
        assert rejected.error == ErrorCode.INVALID_TIMESTAMP
        assert [fault.batch_index for fault in rejected.record_errors] == list(range(count))


def test_record_errors_name_the_records() -> None:
    times = [NOW, NOW + 10 * HOUR, NOW, NOW + 10 * HOUR, NOW - HOUR]
    rejected = reject(build_batch([Record(i, time, b"k", b"v") for i, time in enumerate(times)]))
    assert [fault.batch_index for fault in rejected.record_errors] == [1, 3]
    assert all("Timestamp" in fault.message for fault in rejected.record_errors)


def test_record_errors_are_limited() -> None:
    rejected = reject(build_batch([Record(i, NOW + 10 * HOUR, b"k", b"v") for i in range(1500)]))
    assert len(rejected.record_errors) == batch_validator.MAX_RECORD_ERRORS


@pytest.mark.parametrize(
    "claimed",
    [TIME - HOUR, -1, NOW + 10 * HOUR, TIME + 7],
    ids=["too low", "none", "out of bounds", "too high"],
)
def test_a_wrong_maximum_is_put_right(claimed: int) -> None:
    result = accept(edited(build_batch(records(3)), 35, ">q", claimed))
    assert (result.max_timestamp, result.header.max_timestamp) == (TIME + 2, TIME + 2)


def test_a_maximum_that_cannot_be_true_is_put_right_in_a_large_batch() -> None:
    result = accept(edited(build_batch(records(5000)), 35, ">q", -1))
    assert result.header.max_timestamp == TIME + 4999


def test_the_maximum_of_one_large_record_is_put_right() -> None:
    batch = build_batch([Record(0, TIME, None, bytes(2 * batch_validator.PROBE_BYTES))])
    assert accept(edited(batch, 35, ">q", TIME + 7)).max_timestamp == TIME


def test_a_large_batch_loses_the_log_append_time_bit_and_gets_its_true_maximum() -> None:
    batch = edited(edited(build_batch(records(5000)), 21, ">h", rb.LOG_APPEND_TIME), 35, ">q", NOW)
    assert accept(batch).header.max_timestamp == TIME + 4999


def test_timestamps_beyond_int64_are_refused() -> None:
    wide = LogConfig(message_timestamp_after_max_ms=INT64_MAX, message_timestamp_before_max_ms=INT64_MAX)
    batch = edited(build_batch(records(3)), 27, ">q", INT64_MAX)
    assert reject(batch, wide).error == ErrorCode.INVALID_RECORD
    assert reject(edited(GOOD, 27, ">q", -INT64_MAX - 1)).error == ErrorCode.INVALID_TIMESTAMP


# ---- keys


@pytest.mark.parametrize("count", [3, 500])
@pytest.mark.parametrize("codec", CODECS)
def test_compacted_topics_need_keys(codec: int, count: int) -> None:
    batch = records(count)
    batch[1] = batch[1]._replace(key=None)
    batch[2] = batch[2]._replace(key=b"", value=None)
    rejected = reject(build_batch(batch, codec=codec), COMPACTED)
    assert rejected.error == ErrorCode.INVALID_RECORD
    assert [fault.batch_index for fault in rejected.record_errors] == [1]
    accept(build_batch(batch, codec=codec))
    accept(build_batch(records(count), codec=codec), COMPACTED)


def test_timestamps_outrank_keys_in_the_error_code() -> None:
    batch = [Record(0, NOW + 10 * HOUR, b"k", b"v"), Record(1, NOW, None, b"v")]
    rejected = reject(build_batch(batch), COMPACTED)
    assert rejected.error == ErrorCode.INVALID_TIMESTAMP
    assert [fault.batch_index for fault in rejected.record_errors] == [0, 1]


# ---- records areas that do not hold what the header says

AREA = bytes(encode_records(records(3), 0, TIME))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(
    "area",
    [AREA[:-1], AREA + b"\0", b"\xff" * 20, b"", bytes(30)],
    ids=["cut off", "left over", "garbage", "empty", "zeros"],
)
def test_small_batches_are_checked_whole(codec: int, area: bytes) -> None:
    for config in (DEFAULT, COMPACTED, APPEND_TIME, LogConfig(compression_type="zstd")):
        assert reject(with_area(3, codec, compress(codec, area)), config).error == ErrorCode.INVALID_RECORD


@pytest.mark.parametrize("codec", [1, 2, 3, 4])
def test_bytes_that_do_not_decompress(codec: int) -> None:
    for area in (b"", b"rubbish bytes here", compress(codec, AREA)[:-6]):
        assert reject(with_area(3, codec, area)).error == ErrorCode.INVALID_RECORD


def test_offset_deltas_must_count_up() -> None:
    for offsets in ((0, 0, 0), (0, 5, 2), (2, 1, 0)):
        rows = [r._replace(offset=offset) for r, offset in zip(records(3), offsets, strict=True)]
        area = bytes(encode_records(rows, 0, TIME))
        assert reject(with_area(3, 0, area)).error == ErrorCode.INVALID_RECORD


BIG = 2000
BIG_AREA = bytes(encode_records([Record(i, TIME, b"key", bytes(100)) for i in range(BIG)], 0, TIME))


def _salted(area: bytes, codec: int) -> Callable[[int], bytearray]:
    def make(salt: int) -> bytearray:
        header = parse_header(build_batch(records(BIG)))._replace(
            attributes=codec, max_timestamp=TIME + BIG + salt
        )
        return rb.assemble(header, compress(codec, area))

    return make


@pytest.mark.parametrize("codec", CODECS)
def test_damage_at_the_beginning_of_a_large_batch_is_always_found(codec: int) -> None:
    damaged = BIG_AREA[:200] + b"\xff" * 30 + BIG_AREA[230:]
    assert reject(not_audited(_salted(damaged, codec))).error == ErrorCode.INVALID_RECORD


@pytest.mark.parametrize("codec", CODECS)
def test_damage_behind_the_probe_is_found_by_the_audit_and_by_every_rule_that_reads_on(codec: int) -> None:
    damaged = BIG_AREA[:100_000] + b"\xff" * 300 + BIG_AREA[100_300:]
    assert reject(audited(_salted(damaged, codec))).error == ErrorCode.INVALID_RECORD
    unseen = not_audited(_salted(damaged, codec))
    assert reject(unseen, COMPACTED).error == ErrorCode.INVALID_RECORD
    other = "gzip" if codec != 1 else "lz4"
    assert reject(unseen, LogConfig(compression_type=other)).error == ErrorCode.INVALID_RECORD


@pytest.mark.parametrize("codec", CODECS)
def test_a_wrong_count_of_a_large_batch_is_found_when_its_end_is_in_sight(codec: int) -> None:
    area = bytes(encode_records(records(20), 0, TIME))
    for claimed in (19, 21):
        assert reject(with_area(claimed, codec, compress(codec, area))).error == ErrorCode.INVALID_RECORD


def test_a_count_that_cannot_fit_is_always_found() -> None:
    header = parse_header(build_batch(records(3)))
    batch = rb.assemble(header._replace(record_count=10**9, last_offset_delta=10**9 - 1), BIG_AREA)
    assert reject(batch).error == ErrorCode.INVALID_RECORD


def test_bombs() -> None:
    zeros = compress(4, bytes(65 * 1024 * 1024))
    assert reject(with_area(3, 4, zeros), COMPACTED).error == ErrorCode.MESSAGE_TOO_LARGE
    header = parse_header(build_batch(records(3)))
    tiny = bytes([12, 0, 0, 0, 1, 1, 0]) * 1_100_000
    crowd = rb.assemble(
        header._replace(attributes=4, record_count=1_100_000, last_offset_delta=1_099_999), compress(4, tiny)
    )
    assert reject(crowd, COMPACTED).error == ErrorCode.MESSAGE_TOO_LARGE


# ---- replicas


def test_follower_takes_whole_batches_as_they_are() -> None:
    one, two = build_batch(records(3)), build_batch([Record(9, TIME, b"k", b"v")], leader_epoch=3)
    data = bytes(one + two)
    result = validate_follower(data)
    assert not isinstance(result, Rejected)
    assert [(pos, header.base_offset) for pos, header in result.headers] == [(0, 0), (len(one), 9)]
    assert result.size == len(data)
    cut = validate_follower(data[:-1])
    assert not isinstance(cut, Rejected)
    assert (len(cut.headers), cut.size) == (1, len(one))
    assert validate_follower(b"") == ((), 0)


def test_follower_accepts_what_only_a_leader_may_write() -> None:
    marker = rb.build_end_txn_marker(
        is_commit=True, producer_id=1, producer_epoch=0, coordinator_epoch=0, timestamp=TIME, base_offset=50
    )
    emptied = rb.assemble(parse_header(GOOD)._replace(base_offset=60, record_count=0), b"")
    result = validate_follower(bytes(marker + emptied))
    assert not isinstance(result, Rejected)
    assert len(result.headers) == 2


def test_follower_refuses_damage() -> None:
    one, two = build_batch(records(3)), build_batch([Record(9, TIME, b"k", b"v")])
    damaged = bytearray(one + two)
    damaged[-1] ^= 1
    for data in (bytes(damaged), bytes(two + one), bytes(one + one), bytes(one + edited(two, 8, ">i", 20))):
        result = validate_follower(data)
        assert isinstance(result, Rejected)
        assert result.error == ErrorCode.CORRUPT_MESSAGE
