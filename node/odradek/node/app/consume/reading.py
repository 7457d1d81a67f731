"""The records of a fetched partition, from a position on and no more than the credit allows. Pure.

What is per record here is `proto.kafka.records`; this is a loop over batches.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from operator import attrgetter

from odradek.proto.kafka.record_batch import BatchHeader, Record, iter_headers, iter_records

Buffer = bytes | bytearray | memoryview
_offset = attrgetter("offset")


class Remainder:
    """The records of the one batch that credit did not cover wholly: the next grant nearly always goes on there, and
    decoding the batch again for each would cost more than everything else. Whoever owns it drops it before long."""

    __slots__ = ("_key", "_records", "_start")

    def __init__(self) -> None:
        self._key: tuple[str, int, int, int] | None = None
        self._start = 0
        self._records: list[Record] = []

    @property
    def is_empty(self) -> bool:
        return self._key is None

    def drop(self) -> None:
        self._key, self._records = None, []

    def keep(self, topic: str, index: int, header: BatchHeader, start: int, records: list[Record]) -> None:
        """`records` are all that the batch has from offset `start` on."""
        self._key, self._start, self._records = (topic, index, header.base_offset, header.crc), start, records

    def find(self, topic: str, index: int, header: BatchHeader, position: int) -> list[Record] | None:
        """What the batch has from `position` on, and perhaps more before. None: that is not known."""
        is_same = self._key == (topic, index, header.base_offset, header.crc)
        return self._records if is_same and position >= self._start else None


def take(
    batches: Buffer,
    position: int,
    credit: int,
    remainder: Remainder | None = None,
    place: tuple[str, int] = ("", 0),
) -> tuple[list[Record], int]:
    """At most `credit` records at or behind `position`, and the position behind what was looked at.

    Control batches have no records for readers, and a batch may have lost some to compaction: the position passes
    them. `remainder` is that of the reader, `place` topic and partition. Raises InvalidBatchError for bytes that are no
    batches.
    """
    found: list[Record] = []
    for at, header in iter_headers(batches):
        if header.last_offset < position:
            continue
        if header.is_control:
            position = header.last_offset + 1
            continue
        room = credit - len(found)
        if room <= 0:
            break
        known = None if remainder is None else remainder.find(*place, header, position)
        records = iter_records(batches, at) if known is None else known
        if records and records[0].offset < position:
            records = records[bisect_left(records, position, key=_offset) :]
        if len(records) > room:
            position = records[room - 1].offset + 1
            if remainder is not None:
                remainder.keep(*place, header, position, records[room:])
            found += records[:room]
            return found, position
        found += records
        position = header.last_offset + 1
    return found, position


def pieces(records: Sequence[Record], limit: int) -> Iterator[tuple[Sequence[Record], int]]:
    """The records in runs of at most `limit` bytes each, a larger record alone; each run with its size."""
    first = size = 0
    for place, record in enumerate(records):
        more = size_of(record)
        if place > first and size + more > limit:
            yield records[first:place], size
            first, size = place, 0
        size += more
    if records:
        yield records[first:], size


def size_of(record: Record) -> int:
    """About what a record takes in a message, in bytes."""
    size = 24
    if record.key is not None:
        size += len(record.key)
    if record.value is not None:
        size += len(record.value)
    for key, value in record.headers:
        size += 8 + len(key) + (0 if value is None else len(value))
    return size
