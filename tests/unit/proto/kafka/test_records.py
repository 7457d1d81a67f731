"""The records area of a batch: varints, records, walks of three depths, and what is not one."""

import pytest

from odradek.proto.kafka.records import (
    Record,
    RecordError,
    append_varint,
    encode_records,
    read_records,
    read_varint,
    scan_records,
    skip_records,
)

RECORDS = [
    Record(10, 1000, b"k", b"v", [("h", b"x")]),
    Record(11, 1007, None, b"v" * 300),
    Record(12, 990, b"", None),
]
AREA = bytes(encode_records(RECORDS, 10, 1000))


@pytest.mark.parametrize(
    ("value", "data"),
    [(0, b"\0"), (-1, b"\1"), (1, b"\2"), (-64, b"\x7f"), (64, b"\x80\1"), (300, b"\xd8\4")],
)
def test_varints_are_zigzag(value: int, data: bytes) -> None:
    out = bytearray()
    append_varint(out, value)
    assert out == data
    assert read_varint(data, 0, len(data)) == (value, len(data))


@pytest.mark.parametrize("value", [2**31 - 1, -(2**31), 2**63 - 1, -(2**63)])
def test_the_longest_varints(value: int) -> None:
    out = bytearray()
    append_varint(out, value)
    area = encode_records([Record(0, value, None, None)], 0, 0)  # a timestamp takes up to 10 bytes
    assert read_records(bytes(area), 1, 0, 0)[0].timestamp == value
    if len(out) > 5:
        with pytest.raises(RecordError):
            read_varint(bytes(out), 0, len(out))


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 11])
def test_a_varint_that_does_not_end(data: bytes) -> None:
    with pytest.raises(RecordError):
        read_varint(data, 0, len(data))


def test_what_was_written_is_read() -> None:
    assert read_records(AREA, 3, 10, 1000) == RECORDS
    stamped = read_records(AREA, 3, 10, 1000, fixed_timestamp=5)
    assert [record.timestamp for record in stamped] == [5, 5, 5]


def test_a_scan_finds_the_bounds_of_time_and_the_null_keys() -> None:
    scan = scan_records(AREA, 3)
    assert (scan.min_timestamp_delta, scan.max_timestamp_delta, scan.is_sequential) == (-10, 7, True)
    assert not scan_records(bytes(encode_records([RECORDS[0], RECORDS[2]], 10, 1000)), 2).is_sequential


def test_skipping_follows_lengths_as_far_as_asked() -> None:
    assert skip_records(AREA, 3, len(AREA), 10) == len(AREA)
    assert skip_records(AREA, 3, len(AREA), 2) == -1
    assert skip_records(AREA[:20], 3, len(AREA), 10) == -1


@pytest.mark.parametrize("count", [2, 4])
def test_a_count_that_does_not_fill_the_area(count: int) -> None:
    for walk in (scan_records, lambda data, many: read_records(data, many, 10, 1000)):
        with pytest.raises(RecordError):
            walk(AREA, count)


def test_every_cut_is_noticed() -> None:
    for end in range(len(AREA)):
        with pytest.raises(RecordError):
            read_records(AREA[:end], 3, 10, 1000)
        with pytest.raises(RecordError):
            scan_records(AREA[:end], 3)
