"""What a partition remembers of one producer id: its epoch and last batches, and how they lie in a snapshot file.

Decides: whether a batch goes on where the producer was, or leaves some out. Does not decide: what is answered then
(`producer_state`). Invariant: the last 5 batches are known, all of one epoch.

Source: ProducerStateEntry of Kafka 4.3, and its ProducerSnapshot (version 1): int16 version, uint32 CRC-32C of all that
follows, int32 count, and 46 bytes for each producer with its last batch only.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

import google_crc32c

from odradek.proto.kafka.record_batch import MAX_SEQUENCE, NO_PRODUCER_EPOCH, NO_SEQUENCE, BatchHeader

BATCHES_RETAINED: Final = 5
FIRST_SPARSE_PRODUCER_ID: Final = 1 << 62
NO_OFFSET: Final = -1
NO_COORDINATOR_EPOCH: Final = -1

_SNAPSHOT_VERSION: Final = 1
_SNAPSHOT_HEAD: Final = struct.Struct(">hIi")
_SNAPSHOT_ENTRY: Final = struct.Struct(">qhiqiqiq")
_CRC_END: Final = 6


class CorruptSnapshot(NamedTuple):
    """The snapshot cannot be used; the state has to be rebuilt from an older one, or from the log."""

    reason: str


class RetainedBatch(NamedTuple):
    last_sequence: int
    last_offset: int
    offset_delta: int
    timestamp: int

    @property
    def base_offset(self) -> int:
        return self.last_offset - self.offset_delta

    @property
    def first_sequence(self) -> int:
        """Counted back from the last one, below 0 to the top of the range."""
        return (self.last_sequence - self.offset_delta) & MAX_SEQUENCE

    @classmethod
    def of(cls, header: BatchHeader) -> RetainedBatch:
        return cls(header.last_sequence, header.last_offset, header.last_offset_delta, header.max_timestamp)


class ProducerEntry:
    """State of one producer id. Changed only by `ProducerState`."""

    __slots__ = (
        "batches",
        "coordinator_epoch",
        "epoch",
        "last_offset",
        "last_timestamp",
        "producer_id",
        "seen_ms",
        "txn_first_offset",
    )

    def __init__(self, producer_id: int, epoch: int = NO_PRODUCER_EPOCH) -> None:
        self.producer_id = producer_id
        self.epoch = epoch
        self.coordinator_epoch = NO_COORDINATOR_EPOCH
        self.last_timestamp = -1
        self.seen_ms = -1
        """Last append as far as expiry counts: the batch's timestamp, or the clock where that was later."""
        self.txn_first_offset = NO_OFFSET
        self.batches: list[RetainedBatch] = []
        """Oldest first, at most BATCHES_RETAINED."""
        self.last_offset = NO_OFFSET
        """Of the newest batch or marker that changed this entry."""

    @property
    def last_sequence(self) -> int:
        return self.batches[-1].last_sequence if self.batches else NO_SEQUENCE

    def find(self, first_sequence: int, last_sequence: int) -> RetainedBatch | None:
        for batch in self.batches:
            if batch.last_sequence == last_sequence and batch.first_sequence == first_sequence:
                return batch
        return None

    def is_next(self, header: BatchHeader, first_sequence_is_zero: bool) -> bool:
        """Whether a batch of this epoch or a later one goes on where the producer was."""
        first = header.base_sequence
        is_sparse = self.producer_id >= FIRST_SPARSE_PRODUCER_ID
        if header.producer_epoch != self.epoch:
            return first == 0 or is_sparse or self.epoch == NO_PRODUCER_EPOCH
        if not self.batches and first_sequence_is_zero:
            return first == 0
        last = self.last_sequence
        if self.epoch == NO_PRODUCER_EPOCH or (is_sparse and first > last):
            return True
        return first == last + 1 or (first == 0 and last == MAX_SEQUENCE)

    def is_ahead(self, header: BatchHeader) -> bool:
        """Whether it leaves some out before it, of this epoch or of the one it begins."""
        if self.producer_id >= FIRST_SPARSE_PRODUCER_ID:
            return False
        if header.producer_epoch != self.epoch:
            return header.producer_epoch > self.epoch and header.base_sequence > 0
        return 0 < (header.base_sequence - self.last_sequence - 1) & MAX_SEQUENCE <= MAX_SEQUENCE // 2

    def set_epoch(self, epoch: int) -> None:
        if epoch != self.epoch:
            self.epoch = epoch
            self.batches.clear()


def encode_snapshot(entries: Iterable[ProducerEntry]) -> bytes:
    """Kafka's ProducerSnapshot, version 1."""
    out = bytearray(_SNAPSHOT_HEAD.size)
    count = 0
    for entry in entries:
        last = entry.batches[-1] if entry.batches else RetainedBatch(NO_SEQUENCE, NO_OFFSET, 0, -1)
        out += _SNAPSHOT_ENTRY.pack(
            entry.producer_id,
            entry.epoch,
            last.last_sequence,
            last.last_offset,
            last.offset_delta,
            entry.last_timestamp,
            entry.coordinator_epoch,
            entry.txn_first_offset,
        )
        count += 1
    struct.pack_into(">i", out, _CRC_END, count)
    _SNAPSHOT_HEAD.pack_into(out, 0, _SNAPSHOT_VERSION, google_crc32c.value(bytes(out[_CRC_END:])), count)
    return bytes(out)


def decode_snapshot(data: bytes) -> list[ProducerEntry] | CorruptSnapshot:
    """The entries of a snapshot file; CorruptSnapshot for anything that its CRC or its size gives away."""
    if len(data) < _SNAPSHOT_HEAD.size:
        return CorruptSnapshot(f"{len(data)} bytes are no snapshot")
    version, crc, count = _SNAPSHOT_HEAD.unpack_from(data)
    if version != _SNAPSHOT_VERSION:
        return CorruptSnapshot(f"snapshot version {version}")
    if google_crc32c.value(bytes(data[_CRC_END:])) != crc:
        return CorruptSnapshot("the CRC does not match")
    if count < 0 or len(data) != _SNAPSHOT_HEAD.size + count * _SNAPSHOT_ENTRY.size:
        return CorruptSnapshot(f"{len(data)} bytes for {count} producers")
    entries: list[ProducerEntry] = []
    for fields in _SNAPSHOT_ENTRY.iter_unpack(data[_SNAPSHOT_HEAD.size :]):
        producer_id, epoch, last_sequence, last_offset, offset_delta, timestamp, coordinator_epoch, txn = (
            fields
        )
        entry = ProducerEntry(producer_id, epoch)
        entry.last_timestamp = entry.seen_ms = timestamp
        entry.coordinator_epoch = coordinator_epoch
        entry.txn_first_offset = txn if txn >= 0 else NO_OFFSET
        entry.last_offset = last_offset
        if last_offset >= 0:
            entry.batches.append(RetainedBatch(last_sequence, last_offset, offset_delta, timestamp))
        entries.append(entry)
    return entries
