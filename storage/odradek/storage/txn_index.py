"""The aborted transactions of one segment: what a read_committed consumer has to filter.

Decides: the entries' layout and which of them matter to a range of offsets. Does not decide: where the
file is, or when it is written. Pure.

Invariants: entries are in the order of their markers, so last offsets and last stable offsets ascend.

Source: KIP-98; TransactionIndex and AbortedTxn of Kafka 4.3. An entry is 34 bytes: int16 version 0,
int64 producer id, first offset, last offset (the marker's), last stable offset.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterable
from typing import Final, NamedTuple

ENTRY_SIZE: Final = 34
_ENTRY: Final = struct.Struct(">hqqqq")
_VERSION: Final = 0


class AbortedTxn(NamedTuple):
    producer_id: int
    first_offset: int
    last_offset: int
    last_stable_offset: int


class CorruptTxnIndex(NamedTuple):
    """The index file cannot be used; it has to be rebuilt from the segment."""

    reason: str


class TxnSearch(NamedTuple):
    aborted: list[AbortedTxn]
    is_complete: bool
    """False: later segments may hold more transactions that began in the range."""


def encode_entry(txn: AbortedTxn) -> bytes:
    return _ENTRY.pack(_VERSION, *txn)


def decode_entries(data: bytes) -> list[AbortedTxn] | CorruptTxnIndex:
    """All entries of an index file. CorruptTxnIndex when its size, a version or the order is impossible."""
    if len(data) % ENTRY_SIZE:
        return CorruptTxnIndex(f"{len(data)} bytes are no whole number of entries")
    entries: list[AbortedTxn] = []
    last = -1
    for version, *fields in _ENTRY.iter_unpack(data):
        txn = AbortedTxn._make(fields)
        # Later versions only add fields; what is known stays where it is.
        if version < _VERSION or not (last < txn.last_offset and txn.first_offset <= txn.last_offset):
            return CorruptTxnIndex(f"entry {len(entries)} of version {version} is {tuple(txn)}")
        entries.append(txn)
        last = txn.last_offset
    return entries


def search(entries: Iterable[AbortedTxn], start_offset: int, end_offset: int) -> TxnSearch:
    """Aborted transactions that overlap the offsets from `start_offset` up to `end_offset` (exclusive).

    Search a segment's entries, then the next segment's, until the answer is complete: an entry whose
    last stable offset is at or beyond the range proves that nothing open then can reach into it.
    """
    found: list[AbortedTxn] = []
    for txn in entries:
        if txn.last_offset >= start_offset and txn.first_offset < end_offset:
            found.append(txn)
        if txn.last_stable_offset >= end_offset:
            return TxnSearch(found, True)
    return TxnSearch(found, False)


def keep_until(entries: list[AbortedTxn], end_offset: int) -> int:
    """How many entries stay when the log is truncated to `end_offset`: those whose marker lies below it."""
    return bisect_left(entries, end_offset, key=lambda txn: txn.last_offset)
