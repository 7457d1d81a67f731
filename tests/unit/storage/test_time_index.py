"""The time index: the first batch that may have a time, its file, and damaged files."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from odradek.storage.time_index import TimeIndex


def _index() -> TimeIndex:
    index = TimeIndex(100)
    for timestamp, offset in ((1000, 109), (2000, 129), (3000, 149)):
        index.maybe_append(timestamp, offset)
    return index


def test_lookup_begins_before_the_time() -> None:
    index = _index()
    assert index.lookup(500) == 100
    assert index.lookup(1000) == 100, "the entry's own batch may hold the first such record, or one before it"
    assert index.lookup(1001) == 109
    assert index.lookup(2001) == 129
    assert index.lookup(9999) == 149


def test_only_newer_times_make_entries() -> None:
    index = _index()
    for timestamp in (3000, 2999, -1):
        index.maybe_append(timestamp, 170)
    assert index.last_entry == (3000, 149)
    assert TimeIndex(0).last_entry is None


def test_truncate() -> None:
    index = _index()
    index.written = 3
    index.truncate_offsets(129)
    assert index.last_entry == (1000, 109)
    assert index.written == 1


def test_the_file_is_kafkas() -> None:
    index = _index()
    assert index.encode(2).hex() == "0000000000000bb800000031"
    decoded = TimeIndex.decode(100, index.encode())
    assert decoded is not None and decoded.encode() == index.encode() and decoded.written == 3
    assert TimeIndex.decode_entry(100, index.encode(2)) == (3000, 149)
    assert TimeIndex.decode_entry(100, b"") is None


def test_damage_is_noticed() -> None:
    data = _index().encode()
    assert TimeIndex.decode(100, data[:-1]) is None
    assert TimeIndex.decode(100, data + bytes(12)) is None
    assert TimeIndex.decode(100, data + data[-12:]) is None


@given(st.binary(max_size=60))
def test_any_bytes_are_an_index_or_nothing(data: bytes) -> None:
    index = TimeIndex.decode(0, data)
    if index is not None:
        assert index.encode() == data
