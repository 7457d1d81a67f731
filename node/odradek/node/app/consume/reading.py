"""The records of a fetched partition, from a position on and no more than the credit allows. Pure.

What is per record here is `proto.kafka.records`; this is a loop over batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from odradek.proto.kafka.record_batch import Record, iter_headers, iter_records

Buffer = bytes | bytearray | memoryview


def take(batches: Buffer, position: int, credit: int) -> tuple[list[Record], int]:
    """At most `credit` records at or behind `position`, and the position behind what was looked at.

    Control batches have no records for readers, and a batch may have lost some to compaction: the position passes
    them. Raises InvalidBatchError for bytes that are no batches.
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
        records = iter_records(batches, at)
        if records and records[0].offset < position:
            records = [record for record in records if record.offset >= position]
        if len(records) > room:
            del records[room:]
            found += records
            return found, records[-1].offset + 1
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
