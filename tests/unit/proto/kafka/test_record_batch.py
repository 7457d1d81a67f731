"""Header fields at their places, stamping that leaves the CRC alone, records in and out, and damage."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from odradek.proto.kafka import record_batch as rb
from odradek.proto.kafka.record_batch import (
    Entry,
    InvalidBatchError,
    Record,
    build_batch,
    build_new_batch,
    iter_records,
    parse_header,
)
from odradek.proto.kafka.records import RecordError, read_records, scan_records, skip_records

NOW = 1_700_000_000_000
RECORDS = [
    Record(100, NOW, b"key", b"value"),
    Record(101, NOW - 5, None, b"", [("h", b"1"), ("null", None)]),
    Record(102, NOW + 300, b"", None),
]
#: One record "k" -> "v" at offset 0, written by hand from the layout.
BY_HAND = bytes.fromhex(
    "0000000000000000 0000003a ffffffff 02 00000000 0000 00000000 0000018bcfe56800 0000018bcfe56800"
    "ffffffffffffffff ffff ffffffff 00000001  10 00 00 00 02 6b 02 76 00".replace(" ", "")
)


def _with_crc(batch: bytearray) -> bytearray:
    struct.pack_into(">I", batch, 17, rb.compute_crc(batch, 0, len(batch)))
    return batch


def test_layout_by_hand() -> None:
    batch = _with_crc(bytearray(BY_HAND))
    assert build_batch([Record(0, 0x18BCFE56800, b"k", b"v")]) == batch
    assert iter_records(batch) == [Record(0, NOW, b"k", b"v")]


def test_header_fields() -> None:
    batch = build_batch(
        RECORDS, codec=4, leader_epoch=7, producer_id=9, producer_epoch=2, base_sequence=5, attributes=0x10
    )
    header = parse_header(batch)
    assert header[:4] == (100, len(batch) - 12, 7, 2)
    assert header[5:] == (0x14, 2, NOW, NOW + 300, 9, 2, 5, 3)
    assert (header.size, header.last_offset, header.last_sequence, header.codec) == (len(batch), 102, 7, 4)
    assert (header.is_transactional, header.is_control, header.is_log_append_time) == (True, False, False)
    assert header.has_producer_id and not header.has_delete_horizon


def test_last_sequence_wraps_and_is_absent_without_a_producer() -> None:
    header = parse_header(build_batch(RECORDS, producer_id=1, producer_epoch=0, base_sequence=0x7FFFFFFE))
    assert header.last_sequence == 0
    assert parse_header(build_batch(RECORDS)).last_sequence == -1


@pytest.mark.parametrize("codec", range(5))
@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
def test_records_come_back(codec: int, wrap: type) -> None:
    padded = b"padding" + build_batch(RECORDS, codec=codec)
    assert iter_records(wrap(padded), 7) == RECORDS


@pytest.mark.parametrize("wrap", [bytearray, memoryview])
def test_stamp_changes_offset_and_epoch_and_not_the_crc(wrap: type) -> None:
    batch = build_batch(RECORDS, codec=1)
    before = parse_header(batch)
    rb.stamp(batch if wrap is bytearray else memoryview(batch), 0, 5000, 12)
    assert parse_header(batch) == before._replace(base_offset=5000, partition_leader_epoch=12)
    assert rb.compute_crc(batch, 0, len(batch)) == before.crc
    assert [record.offset for record in iter_records(batch)] == [5000, 5001, 5002]


def test_crc_of_a_large_batch_equals_that_of_one_piece() -> None:
    import google_crc32c

    batch = build_batch([Record(0, NOW, None, bytes(range(256)) * 1000)])
    assert rb.compute_crc(batch, 0, len(batch)) == google_crc32c.value(bytes(batch[21:]))


def test_log_append_time_is_the_time_of_every_record() -> None:
    batch = build_batch(RECORDS)
    header = parse_header(batch)
    rb.rewrite_times(
        batch, 0, len(batch), attributes=8, base_timestamp=header.base_timestamp, max_timestamp=NOW + 9
    )
    assert parse_header(batch).crc == rb.compute_crc(batch, 0, len(batch)) != header.crc
    assert [record.timestamp for record in iter_records(batch)] == [NOW + 9] * 3


def test_iter_headers_stops_at_a_torn_tail_and_refuses_damage() -> None:
    one, two = build_batch(RECORDS), build_batch([Record(103, NOW, b"k", b"v")])
    whole = bytes(one + two)
    assert [(pos, header.base_offset) for pos, header in rb.iter_headers(whole)] == [
        (0, 100),
        (len(one), 103),
    ]
    for cut in (len(whole) - 1, len(one) + 61, len(one) + 60, len(one) + 1, len(one)):
        assert len(list(rb.iter_headers(whole[:cut]))) == 1
    for offset, value in ((8, 48), (8, -1), (16, 1)):
        damaged = bytearray(whole)
        struct.pack_into(">i" if offset == 8 else ">b", damaged, len(one) + offset, value)
        with pytest.raises(InvalidBatchError):
            list(rb.iter_headers(damaged))


def test_peek_size() -> None:
    batch = build_batch(RECORDS)
    assert rb.peek_size(batch[:12]) == len(batch)
    with pytest.raises(InvalidBatchError):
        rb.peek_size(batch[:11])
    struct.pack_into(">i", batch, 8, 48)
    with pytest.raises(InvalidBatchError):
        rb.peek_size(batch)


def test_end_txn_markers() -> None:
    for is_commit in (True, False):
        batch = rb.build_end_txn_marker(
            is_commit=is_commit, producer_id=7, producer_epoch=3, coordinator_epoch=11, timestamp=NOW
        )
        header = parse_header(batch)
        assert (header.is_control, header.is_transactional, header.base_sequence) == (True, True, -1)
        assert rb.parse_end_txn_marker(batch) == rb.EndTxnMarker(is_commit, 11)
    other = build_batch([Record(0, NOW, b"\x00\x00\x00\x02", b"leader change")], attributes=rb.CONTROL)
    assert rb.parse_end_txn_marker(other) is None
    for key, value in (
        (None, b""),
        (b"\x00", b""),
        (b"\x00\x00\x00\x01", None),
        (b"\x00\x00\x00\x01", b"abc"),
    ):
        with pytest.raises(InvalidBatchError):
            rb.parse_end_txn_marker(build_batch([Record(0, NOW, key, value)], attributes=rb.CONTROL))


def test_short_and_overlong_buffers_are_refused() -> None:
    batch = build_batch(RECORDS)
    with pytest.raises(InvalidBatchError):
        parse_header(batch[:60])
    for cut in (61, len(batch) - 1):
        with pytest.raises(InvalidBatchError):
            iter_records(batch[:cut])


def test_a_records_area_larger_than_the_limit_is_refused() -> None:
    batch = build_batch([Record(0, NOW, None, bytes(100_000))], codec=4)
    with pytest.raises(InvalidBatchError):
        iter_records(batch, 0, limit=50_000)


AREA = bytes(build_batch(RECORDS)[61:])
#: (name, bytes, declared count) of areas that no reader may accept.
DAMAGED_AREAS = [
    ("too few records", AREA, 4),
    ("bytes left over", AREA, 2),
    ("cut off", AREA[:-1], 3),
    ("empty", b"", 1),
    ("length of zero", bytes(20), 1),
    ("negative length", b"\x0f" + bytes(10), 1),
    ("length beyond the end", b"\x7e" + bytes(10), 1),
    ("length of 5 bytes that is 2 GiB", b"\xfe\xff\xff\xff\x0f" + bytes(10), 1),
    ("endless varint", b"\xff" * 30, 1),
    ("fields shorter than the record", bytes([16, 0, 0, 0, 1, 1, 0, 0, 0]), 1),
    ("length too large, fields in a chain", bytes([14, 0, 0, 0, 1, 1, 0, 12, 0, 0, 2, 1, 1, 0]), 2),
    ("length too small, fields in a chain", bytes([12, 0, 0, 0, 1, 2, 9, 0, 12, 0, 0, 2, 1, 1, 0]), 2),
    ("key longer than the record", bytes([12, 0, 0, 0, 10, 1, 0]) + AREA, 4),
    ("key length -2", bytes([12, 0, 0, 0, 3, 1, 0]), 1),
    ("value length -2", bytes([12, 0, 0, 0, 1, 3, 0]), 1),
    ("header count -1", bytes([12, 0, 0, 0, 1, 1, 1]), 1),
    ("header count beyond the record", bytes([14, 0, 0, 0, 1, 1, 126, 0]), 1),
    ("null header key", bytes([16, 0, 0, 0, 1, 1, 2, 1, 1]), 1),
    ("header value beyond the record", bytes([16, 0, 0, 0, 1, 1, 2, 0, 8]), 1),
    ("timestamp delta of 11 bytes", bytes([34, 0]) + b"\xff" * 10 + bytes([1, 0, 1, 1, 0]), 1),
]


@pytest.mark.parametrize(
    ("area", "count"), [case[1:] for case in DAMAGED_AREAS], ids=[c[0] for c in DAMAGED_AREAS]
)
def test_reader_and_scan_agree_on_damage(area: bytes, count: int) -> None:
    with pytest.raises(RecordError):
        read_records(area, count, 0, 0)
    with pytest.raises(RecordError):
        scan_records(area, count)


def test_scan_sees_what_validation_asks() -> None:
    scan = scan_records(AREA, 3)
    assert scan == (-5, 300, True, True)
    assert scan_records(bytes(build_batch([Record(0, NOW, b"", b"")])[61:]), 1) == (0, 0, True, False)
    gap = bytes(build_batch([Record(0, NOW, b"k", b""), Record(5, NOW, b"k", b"")])[61:])
    assert not scan_records(gap, 2).is_sequential


def test_skip_records_follows_lengths_within_its_window() -> None:
    area = bytes(build_batch([Record(i, NOW, None, bytes(i)) for i in range(200)])[61:])
    assert skip_records(area, 200, len(area), 1000) == len(area)
    assert skip_records(area, 200, len(area), 10) == -1
    for window in range(300):
        assert skip_records(area[:window], 200, len(area), 1000) == -1
    with pytest.raises(RecordError):
        skip_records(area, 201, len(area), 1000)
    with pytest.raises(RecordError):
        skip_records(area, 5000, len(area), 10)
    assert skip_records(area, 199, len(area), 1000) < len(area)


def test_header_keys_that_are_not_utf8_are_written_as_they_were_read() -> None:
    area = bytes([20, 0, 0, 0, 1, 1, 2, 4, 0xFF, 0xFE, 1])
    (record,) = read_records(area, 1, 0, 0)
    assert build_batch([record])[61:] == area


def test_kafka_reads_our_batches_in_every_codec(tmp_path: Path) -> None:
    libs = os.environ.get("ODRADEK_KAFKA_LIBS")
    java = shutil.which("java")
    if not libs or not java:
        pytest.skip("NOT RUN: set ODRADEK_KAFKA_LIBS to a folder with the jars of Kafka 4.3 and install Java")
    path = tmp_path / "00000000000000000000.log"
    with path.open("wb") as file:
        for codec in range(5):
            rows = [Record(codec * 500 + i, NOW, b"key", b"value %d" % i) for i in range(500)]
            file.write(build_batch(rows, codec=codec))
    tool = [java, "-cp", f"{libs}/*", "org.apache.kafka.tools.DumpLogSegments", "--print-data-log"]
    run = subprocess.run([*tool, "--files", str(path)], capture_output=True, text=True, check=True)
    batches = [line for line in run.stdout.splitlines() if line.startswith("baseOffset:")]
    for line, name in zip(batches, ("none", "gzip", "snappy", "lz4", "zstd"), strict=True):
        assert f"compresscodec: {name}" in line and "isvalid: true" in line
    assert run.stdout.count("payload: value") == 2500


def test_a_new_batch_is_the_one_that_records_with_places_make() -> None:
    headers = [("h", b"1"), ("", None), ("é", b"")]
    entries: list[Entry] = [
        (5, b"k", b"v" * 9_000, ()),
        (3, None, None, headers),
        (2**40, b"", b"", [("h" * 100, b"x" * 200)]),
        *((at, None, b"%d" % at, ()) for at in range(9_000)),
    ]
    records = [Record(at, *entry) for at, entry in enumerate(entries)]
    for codec in range(5):
        batch = build_new_batch(entries, codec=codec, producer_id=7, producer_epoch=1, base_sequence=3)
        same = build_batch(records, codec=codec, producer_id=7, producer_epoch=1, base_sequence=3)
        assert parse_header(batch)._replace(crc=0) == parse_header(same)._replace(crc=0)
        assert [tuple(one) for one in iter_records(batch)] == [tuple(one) for one in iter_records(same)]
    with pytest.raises(ValueError, match="a batch needs records"):
        build_new_batch([])
