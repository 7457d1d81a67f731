"""What a partition remembers of idempotent and transactional producers.

Decides: whether a client's batch is new, a duplicate, out of order or fenced; which transactions are
open, and so which offset is the first whose fate is not settled. Does not decide: when snapshots are
written, where the high watermark is, or whether a transaction's coordinator agrees. Pure.

Invariants: per producer id the last 5 batches are known, all of one epoch; offsets in one partition
only grow, so open transactions are in the order of their first offset. `check` never changes anything;
`update` never refuses anything, which makes it fit for replicated batches and for replay. At most `max_producers`
ids are kept: beyond that the one that has been silent longest is forgotten, as if it had expired.

Sparse producers: ids from `FIRST_SPARSE_PRODUCER_ID` on belong to senders that number their records themselves and
spread them over partitions. A partition sees only some of the numbers, so a batch is in sequence if it lies behind
the last one, or in a later epoch; one from before that is not among the last is refused, never taken for written.

Expiry: Kafka counts from the newest timestamp in the batches. A producer of old timestamps would expire while it
writes, so here `update` may be told the time of the append, and the later of the two counts.

Source: KIP-98, KIP-360, KIP-890; ProducerStateManager, ProducerAppendInfo, ProducerStateEntry of Kafka 4.3. A snapshot
has the last batch of each producer only; `refill` brings back the other four from the headers in the log.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.record_batch import MAX_SEQUENCE, BatchHeader, EndTxnMarker
from odradek.storage.producer_entry import (
    BATCHES_RETAINED,
    FIRST_SPARSE_PRODUCER_ID,
    NO_OFFSET,
    CorruptSnapshot,
    ProducerEntry,
    RetainedBatch,
    decode_snapshot,
    encode_snapshot,
)

DEFAULT_MAX_PRODUCERS: Final = 20_000
"""Producer ids per partition, about 600 bytes each."""

_MAX_EPOCH: Final = 32767
_EVICTION_TRIES: Final = 16


class Duplicate(NamedTuple):
    """The batch is in the log already: answer success with these and append nothing."""

    base_offset: int
    last_offset: int
    timestamp: int
    """Maximum timestamp of the batch as it was appended, in ms."""


class CompletedTxn(NamedTuple):
    """A marker has ended a transaction that has records in this partition."""

    producer_id: int
    first_offset: int
    last_offset: int
    """The marker's own offset."""
    is_aborted: bool
    last_stable_offset: int
    """Once this transaction is settled; belongs in the transaction index entry of an aborted one."""


class ActiveProducer(NamedTuple):
    """One producer as DescribeProducers shows it."""

    producer_id: int
    producer_epoch: int
    last_sequence: int
    last_timestamp: int
    coordinator_epoch: int
    current_txn_start_offset: int


class GapJudge(Protocol):
    """Whom to ask again for what leaves some out. It may remember that it did."""

    def ask_again(self, header: BatchHeader, last_offset: int) -> bool:
        """`last_offset`: of the producer's last batch here, -1 if it is not known."""


class ProducerState:
    """All producers of one partition."""

    __slots__ = (
        "_entries",
        "_log_start_offset",
        "_max_producers",
        "_oldest_seen_ms",
        "_open",
        "_unreplicated",
    )

    def __init__(self, max_producers: int = DEFAULT_MAX_PRODUCERS) -> None:
        self._max_producers = max_producers
        self._entries: dict[int, ProducerEntry] = {}  # least recently changed first
        self._open: dict[int, int] = {}  # first offset -> producer id, ascending
        self._unreplicated: dict[int, int] = {}  # first offset -> marker offset, by ascending marker offset
        self._log_start_offset = 0
        self._oldest_seen_ms: int | None = None  # no entry that may expire has been seen before this

    def __len__(self) -> int:
        return len(self._entries)

    def entry(self, producer_id: int) -> ProducerEntry | None:
        """State of one producer, to be read only."""
        return self._entries.get(producer_id)

    # ---- judging a client's batch

    def check(
        self, header: BatchHeader, *, first_sequence_is_zero: bool = False, patience: GapJudge | None = None
    ) -> Duplicate | ErrorCode | None:
        """Judge a data batch from a client; None when it may be appended. Changes nothing here.

        `first_sequence_is_zero`: the producer follows transactions V2, which start every epoch at
        sequence 0, so a producer that is not known here may not start elsewhere.
        `patience` may have a batch that leaves some out, as one does of a producer that is not known here and does not
        begin at sequence 0, asked for again (NOT_LEADER_OR_FOLLOWER). Without it, it is out of order, or taken.
        """
        if header.producer_id < 0:
            return None
        entry = self._entries.get(header.producer_id)
        first = header.base_sequence
        if entry is None:
            if (
                first > 0
                and header.producer_id < FIRST_SPARSE_PRODUCER_ID
                and _asks(patience, header, NO_OFFSET)
            ):
                return ErrorCode.NOT_LEADER_OR_FOLLOWER
            return ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER if first_sequence_is_zero and first != 0 else None
        if entry.epoch == header.producer_epoch:
            batch = entry.find(first, header.last_sequence)
            if batch is not None:
                return Duplicate(batch.base_offset, batch.last_offset, batch.timestamp)
        elif header.producer_epoch < entry.epoch:
            return ErrorCode.INVALID_PRODUCER_EPOCH
        if not entry.is_next(header, first_sequence_is_zero):
            if entry.is_ahead(header) and _asks(patience, header, entry.last_offset):
                return ErrorCode.NOT_LEADER_OR_FOLLOWER
            return ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
        if entry.txn_first_offset != NO_OFFSET and not header.is_transactional:
            return ErrorCode.INVALID_TXN_STATE
        return None

    def check_marker(
        self, header: BatchHeader, marker: EndTxnMarker, *, transaction_version: int = 1
    ) -> ErrorCode | None:
        """Judge a transaction marker from a coordinator.

        Transactions V2 end an epoch, so its marker has a new one.
        """
        entry = self._entries.get(header.producer_id)
        if entry is None:
            return None
        epoch = header.producer_epoch
        if epoch < entry.epoch:
            return ErrorCode.INVALID_PRODUCER_EPOCH
        # The same marker once more is fine; with a transaction open it would end one that is not its own.
        is_stale = transaction_version >= 2 and epoch == entry.epoch and epoch != _MAX_EPOCH
        if is_stale and entry.txn_first_offset != NO_OFFSET:
            return ErrorCode.INVALID_PRODUCER_EPOCH
        if entry.coordinator_epoch > marker.coordinator_epoch:
            return ErrorCode.TRANSACTION_COORDINATOR_FENCED
        return None

    # ---- what has been appended

    def update(
        self, header: BatchHeader, marker: EndTxnMarker | None = None, now_ms: int = -1
    ) -> CompletedTxn | None:
        """Take in a batch that is in the log, with its final offsets in `header`, whoever wrote it.

        `marker` is the parsed record of a control batch, None for data and for other control batches.
        `now_ms` is the time of the append where it is known. Returns the transaction that a marker has
        ended: unless it is about nothing, for an aborted one an entry belongs in the transaction index.
        """
        if header.producer_id < 0 or (header.is_control and marker is None):
            return None
        entry = self._entries.pop(header.producer_id, None)
        if entry is None:
            entry = ProducerEntry(header.producer_id)
            if len(self._entries) >= self._max_producers:
                self._evict()
        self._entries[header.producer_id] = entry
        entry.set_epoch(header.producer_epoch)
        entry.last_timestamp = header.max_timestamp
        entry.last_offset = header.last_offset
        entry.seen_ms = max(header.max_timestamp, now_ms)
        if marker is not None:
            completed = self._end_txn(entry, header, marker)
        else:
            completed = None
            self._add_batch(entry, header)
        if self._oldest_seen_ms is None or entry.seen_ms < self._oldest_seen_ms:
            self._oldest_seen_ms = entry.seen_ms
        return completed

    def _add_batch(self, entry: ProducerEntry, header: BatchHeader) -> None:
        batches = entry.batches
        if len(batches) >= BATCHES_RETAINED:
            del batches[0]
        batches.append(RetainedBatch.of(header))
        if header.is_transactional and entry.txn_first_offset == NO_OFFSET:
            entry.txn_first_offset = header.base_offset
            self._open[header.base_offset] = entry.producer_id

    def _end_txn(
        self, entry: ProducerEntry, header: BatchHeader, marker: EndTxnMarker
    ) -> CompletedTxn | None:
        entry.coordinator_epoch = marker.coordinator_epoch
        first_offset = entry.txn_first_offset
        if first_offset == NO_OFFSET:
            return None
        entry.txn_first_offset = NO_OFFSET
        self._open.pop(first_offset, None)
        offset = header.last_offset
        self._unreplicated[first_offset] = offset
        last_stable = next(iter(self._open), offset + 1)
        return CompletedTxn(entry.producer_id, first_offset, offset, not marker.is_commit, last_stable)

    def _evict(self) -> None:
        for _, producer_id in zip(range(_EVICTION_TRIES), self._entries, strict=False):
            if self._entries[producer_id].txn_first_offset == NO_OFFSET:
                del self._entries[producer_id]
                return

    # ---- transactions

    @property
    def first_undecided_offset(self) -> int | None:
        """First offset of the oldest transaction without a marker."""
        return next(iter(self._open), None)

    @property
    def first_unstable_offset(self) -> int | None:
        """First offset of the oldest transaction whose marker is missing or not yet below the high watermark.

        Never before the log start offset: what has been deleted is not waited for.
        """
        first = self.first_undecided_offset
        if self._unreplicated:
            settled = min(self._unreplicated)
            first = settled if first is None else min(first, settled)
        return None if first is None else max(first, self._log_start_offset)

    def on_high_watermark(self, high_watermark: int) -> None:
        """Markers below the high watermark are replicated: their transactions no longer hold anything
        back.
        """
        unreplicated = self._unreplicated
        while unreplicated:
            first_offset = next(iter(unreplicated))
            if unreplicated[first_offset] >= high_watermark:
                return
            del unreplicated[first_offset]

    def advance_log_start_offset(self, offset: int) -> None:
        """Records below `offset` are gone. Producers stay known: they go on where they were."""
        self._log_start_offset = max(self._log_start_offset, offset)
        self.on_high_watermark(offset)

    # ---- truncation

    def truncate_to(self, offset: int) -> bool:
        """The log now ends at `offset`. True when the state is right as it is: nothing in it lay behind.

        Otherwise what came before a removed batch cannot be known from here; everything is forgotten, and the
        caller loads the newest snapshot at or below `offset` and replays the log from there.
        """
        if all(entry.last_offset < offset for entry in self._entries.values()):
            return True
        self.clear()
        return False

    def clear(self) -> None:
        """Forget all producers and transactions."""
        self._entries.clear()
        self._open.clear()
        self._unreplicated.clear()
        self._oldest_seen_ms = None

    # ---- expiry

    def next_deadline(self, producer_id_expiration_ms: int) -> int | None:
        """When `expire` may next find something; it may find nothing then, but never anything before."""
        oldest = self._oldest_seen_ms
        return None if oldest is None else oldest + producer_id_expiration_ms

    def expire(self, now_ms: int, producer_id_expiration_ms: int) -> int:
        """Forget producers that have been silent for so long, except those with a transaction open.

        How many.
        """
        deadline = self.next_deadline(producer_id_expiration_ms)
        if deadline is None or deadline > now_ms:
            return 0
        latest = now_ms - producer_id_expiration_ms
        expired: list[int] = []
        oldest: int | None = None
        for producer_id, entry in self._entries.items():
            if entry.txn_first_offset != NO_OFFSET:
                continue
            if entry.seen_ms <= latest:
                expired.append(producer_id)
            elif oldest is None or entry.seen_ms < oldest:
                oldest = entry.seen_ms
        for producer_id in expired:
            del self._entries[producer_id]
        self._oldest_seen_ms = oldest
        return len(expired)

    # ---- views and snapshots

    def active_producers(self) -> list[ActiveProducer]:
        """Every known producer, for DescribeProducers, by producer id."""
        return [
            ActiveProducer(
                entry.producer_id,
                entry.epoch,
                entry.last_sequence,
                entry.last_timestamp,
                entry.coordinator_epoch,
                entry.txn_first_offset,
            )
            for _, entry in sorted(self._entries.items())
        ]

    def snapshot(self) -> bytes:
        """The state as a Kafka `.snapshot` file."""
        return encode_snapshot(self._entries.values())

    def load_snapshot(self, data: bytes, log_start_offset: int = 0) -> CorruptSnapshot | None:
        """Replace everything by a snapshot file's content. After CorruptSnapshot the state is empty."""
        self.clear()
        self._log_start_offset = log_start_offset
        entries = decode_snapshot(data)
        if isinstance(entries, CorruptSnapshot):
            return entries
        # The order of least recent change is not in the file; timestamps come closest to it.
        for entry in sorted(entries, key=lambda entry: entry.last_timestamp)[-self._max_producers :]:
            self._entries[entry.producer_id] = entry
            if entry.txn_first_offset == NO_OFFSET and self._oldest_seen_ms is None:
                self._oldest_seen_ms = entry.seen_ms
        in_txn = [entry for entry in self._entries.values() if entry.txn_first_offset != NO_OFFSET]
        for entry in sorted(in_txn, key=lambda entry: entry.txn_first_offset):
            self._open[entry.txn_first_offset] = entry.producer_id
        return None

    def refill(self, headers: Sequence[BatchHeader]) -> None:
        """Add the batches before the one that a snapshot has: `headers` are the last in the log, oldest first.

        Nothing that the snapshot says changes. A gap in the sequence of a producer ends what is taken of it.
        """
        for header in reversed(headers):
            entry = self._entries.get(header.producer_id)
            if entry is None or not entry.batches or len(entry.batches) >= BATCHES_RETAINED:
                continue
            oldest = entry.batches[0]
            is_next = header.producer_id >= FIRST_SPARSE_PRODUCER_ID or (
                header.last_sequence == (oldest.first_sequence - 1) & MAX_SEQUENCE
            )
            is_older = header.last_offset < oldest.base_offset and header.producer_epoch == entry.epoch
            if is_next and is_older and not header.is_control:
                entry.batches.insert(0, RetainedBatch.of(header))


def _asks(patience: GapJudge | None, header: BatchHeader, last_offset: int) -> bool:
    return patience is not None and patience.ask_again(header, last_offset)
