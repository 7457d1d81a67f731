"""The batches of one partition: which one is open, which go next, and how they are numbered.

Decides: the order of batches, their sequence numbers, and what a failed batch does to both. Does not decide:
when a batch is sent (`producer_accumulator`), or to whom (`producer_cluster`).

Invariants: at most one batch of a partition is under way, and batches are sent in the order in which they were
opened. A batch keeps identity, sequence and bytes for as long as nobody knows whether it was written. Sequences
have no gap: a batch that was certainly not written gives its numbers back, and after one that perhaps was, the
partition goes on under an identity that it never had, so that nothing can be taken for a repetition (KIP-98).
"""

from __future__ import annotations

from collections import deque
from itertools import count
from typing import Final, Protocol

from odradek.client.errors import OdradekError
from odradek.client.producer_encoding import (
    ANONYMOUS,
    BATCH_OVERHEAD,
    NO_SEQUENCE,
    Entry,
    Identity,
    encode_batch,
)
from odradek.client.records import RecordMetadata

_MAX_SEQUENCE: Final = 0x7FFFFFFF
_ids = count()


class Promise(Protocol):
    """What is told how a record fared: an `asyncio.Future`, in production."""

    def done(self) -> bool: ...
    def set_result(self, result: RecordMetadata, /) -> None: ...
    def set_exception(self, exception: BaseException, /) -> None: ...


class Batch:
    """Records of one partition that are written together, or not at all. Sizes in bytes, times in ms."""

    __slots__ = (
        "attempts",
        "base_sequence",
        "created_ms",
        "deadline_ms",
        "encoded",
        "entries",
        "id",
        "identity",
        "is_unknown",
        "last_error",
        "promises",
        "queue",
        "size",
    )

    def __init__(self, queue: PartitionQueue, created_ms: int, deadline_ms: int) -> None:
        self.id = next(_ids)
        self.queue = queue
        self.created_ms = created_ms
        self.deadline_ms = deadline_ms
        self.entries: list[Entry] = []
        self.promises: list[Promise] = []
        self.size = BATCH_OVERHEAD
        self.identity = ANONYMOUS
        self.base_sequence = NO_SEQUENCE
        self.encoded: bytes | None = None
        self.attempts = 0
        self.is_unknown = False
        self.last_error: OdradekError | None = None

    def append(self, entry: Entry, size: int, promise: Promise) -> None:
        self.entries.append(entry)
        self.promises.append(promise)
        self.size += size

    def encode(self, codec: int) -> bytes:
        """The bytes to send: the same ones at every attempt."""
        if self.encoded is None:
            self.encoded = encode_batch(
                self.entries, codec=codec, identity=self.identity, base_sequence=self.base_sequence
            )
        return self.encoded

    def succeed(self, base_offset: int, log_append_time_ms: int) -> None:
        """Tell every record where it is. `base_offset` -1: written, but nobody remembers where."""
        topic, partition = self.queue.topic, self.queue.partition
        step = 0 if base_offset < 0 else 1
        offset = base_offset
        make = tuple.__new__  # half the cost of RecordMetadata(...), which is paid for every record
        for entry, promise in zip(self.entries, self.promises, strict=True):
            if not promise.done():
                timestamp = entry[0] if log_append_time_ms < 0 else log_append_time_ms
                promise.set_result(make(RecordMetadata, (topic, partition, offset, timestamp)))
            offset += step

    def fail(self, error: OdradekError) -> None:
        for promise in self.promises:
            if not promise.done():
                promise.set_exception(error)


class PartitionQueue:
    """The batches of one partition that are not written yet, oldest first."""

    __slots__ = (
        "closed",
        "identity",
        "in_flight",
        "next_sequence",
        "open",
        "partition",
        "retry_at_ms",
        "topic",
    )

    def __init__(self, topic: str, partition: int) -> None:
        self.topic = topic
        self.partition = partition
        self.open: Batch | None = None
        self.closed: deque[Batch] = deque()
        self.in_flight: Batch | None = None
        self.retry_at_ms = 0
        self.identity: Identity | None = None
        self.next_sequence = 0

    @property
    def is_empty(self) -> bool:
        return self.open is None and not self.closed and self.in_flight is None

    def close_open(self) -> None:
        """Nothing more goes into the open batch, if there is one."""
        if self.open is not None:
            self.closed.append(self.open)
            self.open = None

    def batches(self) -> list[Batch]:
        """All of them, in order."""
        first = [] if self.in_flight is None else [self.in_flight]
        last = [] if self.open is None else [self.open]
        return [*first, *self.closed, *last]

    def number(self, batch: Batch, identity: Identity | None) -> None:
        """Give the batch its identity and sequence, once. `identity` is used if the partition has none yet."""
        if batch.base_sequence != NO_SEQUENCE:
            return
        if self.identity is None:
            self.identity, self.next_sequence = identity, 0
        assert self.identity is not None, "a partition without an identity has nothing to number with"
        batch.identity = self.identity
        batch.base_sequence = self.next_sequence
        self.next_sequence = (self.next_sequence + len(batch.entries)) & _MAX_SEQUENCE

    def take(self) -> Batch:
        """The oldest closed batch, which is under way from now on."""
        assert self.in_flight is None, f"{self.topic}-{self.partition} has a batch under way"
        batch = self.closed.popleft()
        batch.attempts += 1
        self.in_flight = batch
        return batch

    def put_back(self, batch: Batch) -> None:
        """The batch under way is tried again, before all others."""
        assert self.in_flight is batch, f"batch {batch.id} is not under way"
        self.in_flight = None
        self.closed.appendleft(batch)

    def finish(self, batch: Batch) -> None:
        """The batch under way is written."""
        assert self.in_flight is batch, f"batch {batch.id} is not under way"
        self.in_flight = None
        self.retry_at_ms = 0

    def give_up(self, batch: Batch) -> None:
        """The oldest batch, which is not under way, will not be tried again."""
        assert self.in_flight is None, f"{self.topic}-{self.partition} has a batch under way"
        if self.closed and self.closed[0] is batch:
            self.closed.popleft()
        else:
            assert self.open is batch, f"batch {batch.id} is not the oldest"
            self.open = None
        self.forget_numbers(batch)

    def forget_numbers(self, batch: Batch) -> None:
        """Take back identity and sequence of the newest batch that has any; see the invariants above."""
        if batch.base_sequence == NO_SEQUENCE:
            return
        if batch.is_unknown:
            self.identity = None
        else:
            self.next_sequence = batch.base_sequence
        batch.base_sequence = NO_SEQUENCE
        batch.identity = ANONYMOUS
        batch.encoded = None

    def split(self, batch: Batch) -> None:
        """Replace the oldest batch, which was certainly not written, by its two halves."""
        assert self.closed and self.closed[0] is batch and not batch.is_unknown
        self.forget_numbers(batch)
        self.closed.popleft()
        middle = len(batch.entries) // 2
        # The size of a record is not kept: what they have in common is divided by their number.
        content = batch.size - BATCH_OVERHEAD
        first = content * middle // len(batch.entries)
        for part, size in ((slice(middle, None), content - first), (slice(0, middle), first)):
            half = Batch(self, batch.created_ms, batch.deadline_ms)
            half.id = batch.id
            half.entries = batch.entries[part]
            half.promises = batch.promises[part]
            half.size = BATCH_OVERHEAD + size
            self.closed.appendleft(half)
