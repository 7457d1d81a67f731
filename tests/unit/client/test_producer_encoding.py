from __future__ import annotations

import pytest

from odradek.client.producer_encoding import (
    BATCH_OVERHEAD,
    Entry,
    Identity,
    codec_number,
    encode_batch,
    size_of,
)
from odradek.proto.kafka.record_batch import Record, compute_crc, iter_records, parse_header

ENTRIES: list[Entry] = [
    (1_000, b"key", b"value", ()),
    (1_000, None, b"", (("name", b"content"), ("", None))),
    (900, b"", None, ()),
    (1_000_000, None, b"x" * 20_000, (("ä" * 5_000, b"y" * 9_000),)),
]


def decoded(batch: bytes) -> list[Entry]:
    return [(one.timestamp, one.key, one.value, tuple(one.headers)) for one in iter_records(batch)]


@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_what_is_read_is_what_was_written(compression: str) -> None:
    assert decoded(encode_batch(ENTRIES, codec=codec_number(compression))) == ENTRIES


def test_many_records_in_one_batch() -> None:
    entries: list[Entry] = [(5, None, b"%d" % number, ()) for number in range(20_000)]
    assert decoded(encode_batch(entries, codec=0)) == entries


def test_the_header_says_who_and_what() -> None:
    batch = encode_batch(ENTRIES, codec=0, identity=Identity(77, 3), base_sequence=12)
    header = parse_header(batch)
    assert (header.producer_id, header.producer_epoch, header.base_sequence) == (77, 3, 12)
    assert (header.base_timestamp, header.max_timestamp) == (1_000, 1_000_000)
    assert (header.record_count, header.last_offset_delta) == (4, 3)
    assert header.crc == compute_crc(batch, 0, len(batch))
    assert header.size == len(batch)


def test_nobody_in_particular_has_no_sequence() -> None:
    header = parse_header(encode_batch(ENTRIES, codec=0))
    assert (header.producer_id, header.producer_epoch, header.base_sequence) == (-1, -1, -1)


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_record_takes_no_more_than_its_size(entry: Entry) -> None:
    _, key, value, headers = entry
    assert len(encode_batch([entry], codec=0)) <= BATCH_OVERHEAD + size_of(key, value, headers)


def test_the_order_of_offsets_is_that_of_the_entries() -> None:
    records: list[Record] = list(iter_records(encode_batch(ENTRIES, codec=0)))
    assert [record.offset for record in records] == [0, 1, 2, 3]


def test_an_unknown_codec_is_named() -> None:
    with pytest.raises(ValueError, match="brotli"):
        codec_number("brotli")
