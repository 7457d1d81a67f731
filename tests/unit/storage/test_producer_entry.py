"""One producer: what comes next, what leaves something out, and its bytes in a snapshot."""

from __future__ import annotations

import struct

import google_crc32c
import pytest

from odradek.proto.kafka.record_batch import MAX_SEQUENCE, BatchHeader
from odradek.storage.producer_entry import (
    FIRST_SPARSE_PRODUCER_ID,
    CorruptSnapshot,
    ProducerEntry,
    RetainedBatch,
    decode_snapshot,
    encode_snapshot,
)

TIME = 1_700_000_000_000


def batch(sequence: int, count: int = 1, *, epoch: int = 3, pid: int = 7) -> BatchHeader:
    return BatchHeader(0, 49, 0, 2, 0, 0, count - 1, TIME, TIME, pid, epoch, sequence, count)


def entry(last_sequence: int, pid: int = 7) -> ProducerEntry:
    known = ProducerEntry(pid, 3)
    known.last_offset = 41
    known.last_timestamp = known.seen_ms = TIME
    known.batches.append(RetainedBatch(last_sequence, 41, 1, TIME))
    return known


def judged(known: ProducerEntry, header: BatchHeader) -> tuple[bool, bool]:
    return known.is_next(header, False), known.is_ahead(header)


@pytest.mark.parametrize("last", [9, MAX_SEQUENCE - 1, MAX_SEQUENCE, MAX_SEQUENCE // 2])
def test_a_batch_is_next_or_ahead_or_neither_also_where_sequences_come_round(last: int) -> None:
    known = entry(last)

    def at(distance: int) -> BatchHeader:
        return batch((last + distance) & MAX_SEQUENCE)

    assert judged(known, at(1)) == (True, False)
    for left_out in (2, 3, 1_000, MAX_SEQUENCE // 2):
        assert judged(known, at(left_out)) == (False, True), left_out
    for passed in (0, -1, -7, -1_000):
        assert judged(known, at(passed)) == (False, False), passed


def test_a_later_epoch_begins_at_zero_and_leaves_something_out_elsewhere() -> None:
    known = entry(9)
    assert judged(known, batch(0, epoch=4)) == (True, False)
    assert judged(known, batch(10, epoch=4)) == (False, True)
    assert not known.is_ahead(batch(10, epoch=2)), "that one is fenced"


def test_after_a_marker_an_epoch_has_no_batches_and_leaves_out_from_zero_on() -> None:
    known = ProducerEntry(7, 3)
    assert judged(known, batch(0)) == (True, False)
    assert judged(known, batch(2)) == (False, True)


def test_a_sparse_producer_never_leaves_anything_out() -> None:
    known = entry(9, FIRST_SPARSE_PRODUCER_ID)
    assert judged(known, batch(500, pid=FIRST_SPARSE_PRODUCER_ID)) == (True, False)
    assert judged(known, batch(500, epoch=4, pid=FIRST_SPARSE_PRODUCER_ID)) == (True, False)
    assert judged(known, batch(9, pid=FIRST_SPARSE_PRODUCER_ID)) == (False, False)


def test_every_damaged_byte_of_a_snapshot_is_noticed() -> None:
    data = encode_snapshot([entry(9), entry(12, 8)])
    decoded = decode_snapshot(data)
    assert isinstance(decoded, list)
    assert [(one.producer_id, one.last_sequence) for one in decoded] == [(7, 9), (8, 12)]
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 0x40
        assert isinstance(decode_snapshot(bytes(damaged)), CorruptSnapshot)
    for size in range(len(data)):
        assert isinstance(decode_snapshot(data[:size]), CorruptSnapshot)
    assert isinstance(decode_snapshot(data + b"\0"), CorruptSnapshot)


def test_a_count_that_lies_under_a_valid_crc_allocates_nothing() -> None:
    body = struct.pack(">i", 2**31 - 1)
    lying = struct.pack(">hI", 1, google_crc32c.value(body)) + body
    assert isinstance(decode_snapshot(lying), CorruptSnapshot)
