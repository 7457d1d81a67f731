"""Hostile batches: whatever the bytes, the validator answers and never takes memory beyond its limits."""

from __future__ import annotations

import contextlib
import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odradek.proto.kafka import record_batch as rb
from odradek.proto.kafka.compression import CompressionError, compress, decompress, decompress_prefix
from odradek.proto.kafka.record_batch import (
    InvalidBatchError,
    Record,
    build_batch,
    iter_records,
    parse_header,
)
from odradek.proto.kafka.records import RecordError, read_records, scan_records, skip_records
from odradek.storage import batch_validator
from odradek.storage.batch_validator import Rejected, Validated, validate, validate_follower
from odradek.storage.log_config import LogConfig

NOW = 1_700_000_000_000
CONFIGS = [
    LogConfig(),
    LogConfig(cleanup_policy=frozenset({"compact"})),
    LogConfig(message_timestamp_type="LogAppendTime"),
    LogConfig(compression_type="zstd"),
    LogConfig(compression_type="uncompressed", message_timestamp_after_max_ms=2**63 - 1),
]
LIMIT = 1 << 20


def judge(data: bytes) -> None:
    for config in CONFIGS:
        result = validate(bytearray(data), config, 2**62, 2**31 - 1, NOW)
        assert isinstance(result, Validated | Rejected)
        if isinstance(result, Validated):
            header = parse_header(result.records)
            assert header.crc == rb.compute_crc(result.records, 0, len(result.records))
            if header.record_count <= batch_validator.FULL_SCAN_RECORDS:
                assert len(iter_records(result.records)) == header.record_count
    validate_follower(data)


def with_crc(data: bytearray) -> bytearray:
    if len(data) >= rb.HEADER_SIZE:
        struct.pack_into(">I", data, 17, rb.compute_crc(data, 0, len(data)))
    return data


@st.composite
def mutated_batches(draw: st.DrawFn) -> bytes:
    """A sound batch with a few bytes changed, and a CRC that covers it up."""
    count = draw(st.integers(1, 60))
    records = [Record(i, NOW + i, b"k", bytes(i % 40), [("h", b"x")] if i % 3 else ()) for i in range(count)]
    batch = build_batch(records, codec=draw(st.integers(0, 4)))
    for _ in range(draw(st.integers(1, 5))):
        batch[draw(st.integers(0, len(batch) - 1))] = draw(st.integers(0, 255))
    if draw(st.booleans()):
        del batch[draw(st.integers(0, len(batch))) :]
    return bytes(with_crc(batch))


@given(st.binary(max_size=400))
def test_arbitrary_bytes(data: bytes) -> None:
    judge(data)


@given(mutated_batches())
def test_mutated_batches(data: bytes) -> None:
    judge(data)


@given(st.integers(1, 1000), st.integers(0, 7), st.binary(max_size=400))
def test_arbitrary_records_areas_under_a_sound_header(count: int, codec: int, area: bytes) -> None:
    header = parse_header(build_batch([Record(0, NOW, None, None)]))
    header = header._replace(record_count=count, last_offset_delta=count - 1, attributes=codec)
    judge(bytes(rb.assemble(header, area)))
    if codec <= 4:
        judge(bytes(rb.assemble(header, compress(codec, area))))


@given(st.binary(max_size=300), st.integers(0, 50))
def test_reader_and_scan_accept_the_same_areas(area: bytes, count: int) -> None:
    def accepts(read: object) -> bool:
        try:
            read(area, count, 0, 0) if read is read_records else scan_records(area, count)
        except RecordError:
            return False
        return True

    assert accepts(read_records) == accepts(scan_records)
    if accepts(scan_records):
        assert skip_records(area, count, len(area), count) == len(area)


@pytest.mark.parametrize("codec", [0, 1, 2, 3, 4])
@given(data=st.binary(max_size=300), cut=st.integers(0, 300))
def test_decompression_of_anything(codec: int, data: bytes, cut: int) -> None:
    for source in (data, compress(codec, data)[:cut], compress(codec, data) + data):
        for size in (1, 100, 10_000):
            with contextlib.suppress(CompressionError):
                assert len(decompress(codec, source, size)) <= size
            with contextlib.suppress(CompressionError):
                decompress_prefix(codec, source, size, 10_000)


@given(st.binary(max_size=400))
def test_reading_arbitrary_bytes(data: bytes) -> None:
    for read in (iter_records, rb.parse_end_txn_marker, rb.peek_size):
        with contextlib.suppress(InvalidBatchError):
            read(data)


def test_declared_sizes_allocate_nothing() -> None:
    header = parse_header(build_batch([Record(0, NOW, b"k", b"v")]))
    huge = 2**31 - 1
    length = b"\xfe\xff\xff\xff\x0f"  # 2147483647 as a varint
    areas = [
        length + bytes(50),
        bytes([100, 0, 0, 0]) + length + bytes(46),
        bytes([20, 0, 0, 0, 1, 1]) + length,
    ]
    batches = [
        bytes(rb.assemble(header._replace(record_count=count, last_offset_delta=count - 1), area))
        for area in areas
        for count in (1, 5, huge)
    ]
    tracemalloc.start()
    try:
        for data in batches:
            judge(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < LIMIT
