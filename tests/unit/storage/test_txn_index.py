"""The layout of the index, and which aborted transactions a range of offsets meets."""

from __future__ import annotations

import struct

import pytest

from odradek.storage.txn_index import (
    AbortedTxn,
    CorruptTxnIndex,
    decode_entries,
    encode_entry,
    keep_until,
    search,
)

ENTRIES = [AbortedTxn(1, 0, 10, 11), AbortedTxn(2, 5, 20, 15), AbortedTxn(3, 15, 30, 31)]


def test_layout() -> None:
    assert encode_entry(ENTRIES[1]) == struct.pack(">hqqqq", 0, 2, 5, 20, 15)
    data = b"".join(map(encode_entry, ENTRIES))
    assert len(data) == 3 * 34
    assert decode_entries(data) == ENTRIES
    assert decode_entries(b"") == []


@pytest.mark.parametrize(
    "data",
    [
        encode_entry(ENTRIES[0])[:-1],
        encode_entry(ENTRIES[1]) + encode_entry(ENTRIES[0]),
        encode_entry(AbortedTxn(1, 11, 10, 11)),
        struct.pack(">hqqqq", -1, 2, 5, 20, 15),
    ],
    ids=["cut off", "out of order", "ends before it begins", "version -1"],
)
def test_damage(data: bytes) -> None:
    assert isinstance(decode_entries(data), CorruptTxnIndex)


@pytest.mark.parametrize(
    ("start", "end", "producers", "complete"),
    [
        (0, 1, [1], True),
        (0, 12, [1, 2], True),
        (11, 14, [2], True),
        (11, 16, [2, 3], True),
        (21, 25, [3], True),
        (21, 40, [3], False),
        (31, 40, [], False),
    ],
)
def test_search(start: int, end: int, producers: list[int], complete: bool) -> None:
    found = search(ENTRIES, start, end)
    assert ([txn.producer_id for txn in found.aborted], found.is_complete) == (producers, complete)


def test_the_end_of_a_range_is_exclusive() -> None:
    entries = [AbortedTxn(1, 0, 10, 5), AbortedTxn(2, 8, 20, 21)]
    assert [txn.producer_id for txn in search(entries, 0, 8).aborted] == [1]
    assert [txn.producer_id for txn in search(entries, 0, 9).aborted] == [1, 2]


def test_truncation_keeps_what_was_decided_before() -> None:
    assert [keep_until(ENTRIES, offset) for offset in (0, 10, 11, 30, 31)] == [0, 0, 1, 2, 3]
