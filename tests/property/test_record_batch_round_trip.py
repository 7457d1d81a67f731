"""Batches of arbitrary records: ours back to ours, and both ways against kafka-python and aiokafka."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.record.default_records import DefaultRecordBatch as AioBatch
from aiokafka.record.default_records import DefaultRecordBatchBuilder as AioBuilder
from hypothesis import given
from hypothesis import strategies as st
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from odradek.proto.kafka import record_batch as rb
from odradek.proto.kafka.record_batch import Record, build_batch, iter_records, parse_header
from odradek.proto.kafka.records import append_varint, encode_records, read_records, read_varint, scan_records

CODECS = [0, 1, 2, 3, 4]
#: kafka-python reads snappy only with a library of its own; aiokafka stands in for it.
KAFKA_PYTHON_CODECS = [0, 1, 3, 4]

_bytes = st.one_of(st.none(), st.binary(max_size=300), st.integers(0, 20_000).map(bytes))
_headers = st.lists(st.tuples(st.text(max_size=10), st.one_of(st.none(), st.binary(max_size=20))), max_size=4)


@st.composite
def record_lists(draw: st.DrawFn) -> list[Record]:
    times = st.integers(0, 2**45)
    rows = draw(st.lists(st.tuples(times, _bytes, _bytes, _headers), min_size=1, max_size=20))
    return [
        Record(index, time, key, value, tuple(headers))
        for index, (time, key, value, headers) in enumerate(rows)
    ]


def plain(records: list[Record]) -> list[tuple[Any, ...]]:
    return [(r.offset, r.timestamp, r.key, r.value, list(r.headers)) for r in records]


def foreign(batch: Any) -> list[tuple[Any, ...]]:
    assert batch.validate_crc()
    return [(r.offset, r.timestamp, r.key, r.value, list(r.headers)) for r in batch]


@pytest.mark.parametrize("codec", CODECS)
@given(records=record_lists(), base=st.integers(0, 2**62), epoch=st.integers(-1, 2**31 - 1))
def test_ours_to_ours(codec: int, records: list[Record], base: int, epoch: int) -> None:
    batch = build_batch(records, codec=codec)
    header = parse_header(batch)
    assert header.crc == rb.compute_crc(batch, 0, len(batch))
    assert header.max_timestamp == max(record.timestamp for record in records)
    rb.stamp(batch, 0, base, epoch)
    assert plain(iter_records(batch)) == plain([r._replace(offset=r.offset + base) for r in records])
    assert [(pos, h.base_offset, h.partition_leader_epoch) for pos, h in rb.iter_headers(batch)] == [
        (0, base, epoch)
    ]


@pytest.mark.parametrize("codec", KAFKA_PYTHON_CODECS)
@given(records=record_lists())
def test_ours_to_kafka_python(codec: int, records: list[Record]) -> None:
    batch = build_batch(records, codec=codec, producer_id=5, producer_epoch=1, base_sequence=9)
    other = DefaultRecordBatch(bytes(batch))
    assert foreign(other) == plain(records)
    header = parse_header(batch)
    assert (other.base_offset, other.last_offset_delta, other.first_timestamp, other.max_timestamp) == (
        header.base_offset,
        header.last_offset_delta,
        header.base_timestamp,
        header.max_timestamp,
    )
    assert (other.producer_id, other.producer_epoch, other.base_sequence) == (5, 1, 9)


@pytest.mark.parametrize("codec", KAFKA_PYTHON_CODECS)
@given(records=record_lists())
def test_kafka_python_to_ours(codec: int, records: list[Record]) -> None:
    builder = DefaultRecordBatchBuilder(2, codec, False, -1, -1, -1, 1 << 30)
    for r in records:
        builder.append(r.offset, r.timestamp, r.key, r.value, list(r.headers))
    data = bytes(builder.build())
    assert plain(iter_records(data)) == plain(records)
    if codec == 0:
        assert build_batch(records, leader_epoch=parse_header(data).partition_leader_epoch) == data


@pytest.mark.parametrize("codec", CODECS)
@given(records=record_lists())
def test_both_ways_with_aiokafka(codec: int, records: list[Record]) -> None:
    assert foreign(AioBatch(build_batch(records, codec=codec))) == plain(records)
    builder = AioBuilder(2, codec, 0, -1, -1, -1, 1 << 30)
    for r in records:
        builder.append(r.offset, r.timestamp, r.key, r.value, list(r.headers))
    assert plain(iter_records(bytes(builder.build()))) == plain(records)


@given(records=record_lists())
def test_scan_sees_what_the_reader_reads(records: list[Record]) -> None:
    batch = build_batch(records)
    deltas = [record.timestamp - records[0].timestamp for record in records]
    scan = scan_records(bytes(batch[rb.HEADER_SIZE :]), len(records))
    assert scan == (min(deltas), max(deltas), True, any(record.key is None for record in records))


@given(st.integers(-(2**63), 2**63 - 1))
def test_varints(value: int) -> None:
    out = bytearray(b"\xff")
    append_varint(out, value)
    data = bytes(out)
    area = encode_records([Record(0, value, None, None)], 0, 0)
    assert read_records(bytes(area), 1, 0, 0) == [Record(0, value, None, None)]
    if -(2**31) <= value < 2**31:
        assert read_varint(data, 1, len(data)) == (value, len(data))
        assert len(data) <= 6
