"""Many records into one record batch, once for a whole batch.

Decides: how the bytes of the records area are put together quickly. Does not decide: what the header says
(`odradek.proto.kafka.record_batch` writes that), or which records go together.

All that costs time per record when writing is here: short varints come from a table, and a record is one `join`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from odradek.client.records import Header
from odradek.proto.kafka.compression import CODEC_NAMES, compress
from odradek.proto.kafka.record_batch import MAGIC, BatchHeader, assemble
from odradek.proto.kafka.records import append_varint

Entry = tuple[int, bytes | None, bytes | None, Sequence[Header]]
"""Timestamp in ms, key, value, headers."""

RECORD_OVERHEAD: Final = 24
"""Bytes: more than the lengths, deltas and the like of any record below 2 MiB take."""
HEADER_OVERHEAD: Final = 10
BATCH_OVERHEAD: Final = 61


class Identity(NamedTuple):
    """Whose batches these are, to the partition that writes them."""

    producer_id: int
    producer_epoch: int


ANONYMOUS: Final = Identity(-1, -1)
NO_SEQUENCE: Final = -1


def _varint(value: int) -> bytes:
    out = bytearray()
    append_varint(out, value)
    return bytes(out)


_TABLE_SIZE: Final = 8192
_VARINTS: Final = [_varint(value) for value in range(_TABLE_SIZE)]
_NULL: Final = _varint(-1)


def codec_number(compression: str) -> int:
    """The number of a codec by its name. ValueError: there is none of that name."""
    if compression not in CODEC_NAMES:
        raise ValueError(f"compression {compression!r} is none of {', '.join(CODEC_NAMES)}")
    return CODEC_NAMES.index(compression)


def size_of(key: bytes | None, value: bytes | None, headers: Sequence[Header]) -> int:
    """At least the bytes that a record takes in a batch, uncompressed."""
    size = RECORD_OVERHEAD
    if key is not None:
        size += len(key)
    if value is not None:
        size += len(value)
    for name, content in headers:
        # A character takes up to 4 bytes.
        size += HEADER_OVERHEAD + (len(name) if name.isascii() else 4 * len(name))
        if content is not None:
            size += len(content)
    return size


def encode_batch(
    entries: Sequence[Entry], *, codec: int, identity: Identity = ANONYMOUS, base_sequence: int = NO_SEQUENCE
) -> bytes:
    """One batch of all `entries`, of which there must be at least one."""
    base_timestamp = entries[0][0]
    area, max_timestamp = _encode_records(entries, base_timestamp)
    header = BatchHeader(
        base_offset=0,
        batch_length=0,
        partition_leader_epoch=-1,
        magic=MAGIC,
        crc=0,
        attributes=codec,
        last_offset_delta=len(entries) - 1,
        base_timestamp=base_timestamp,
        max_timestamp=max_timestamp,
        producer_id=identity.producer_id,
        producer_epoch=identity.producer_epoch,
        base_sequence=base_sequence,
        record_count=len(entries),
    )
    return bytes(assemble(header, area if codec == 0 else compress(codec, area)))


def _encode_records(entries: Sequence[Entry], base_timestamp: int) -> tuple[bytes, int]:
    """The records area, and the greatest timestamp."""
    parts: list[bytes] = []
    append = parts.append
    table = _VARINTS
    join = b"".join
    max_timestamp = base_timestamp
    for index, (timestamp, key, value, headers) in enumerate(entries):
        if timestamp > max_timestamp:
            max_timestamp = timestamp
        delta = timestamp - base_timestamp
        size = -1 if value is None else len(value)
        body = join(
            (
                b"\0",  # attributes: unused
                table[delta] if 0 <= delta < _TABLE_SIZE else _varint(delta),
                table[index] if index < _TABLE_SIZE else _varint(index),
                _NULL if key is None else _length(key) + key,
                table[size] if 0 <= size < _TABLE_SIZE else _varint(size),
                value or b"",
                _encode_headers(headers) if headers else b"\0",
            )
        )
        size = len(body)
        append(table[size] if size < _TABLE_SIZE else _varint(size))
        append(body)
    return join(parts), max_timestamp


def _length(data: bytes) -> bytes:
    size = len(data)
    return _VARINTS[size] if size < _TABLE_SIZE else _varint(size)


def _encode_headers(headers: Sequence[Header]) -> bytes:
    parts = [_varint(len(headers))]
    for name, content in headers:
        raw = name.encode("utf-8", "surrogateescape")
        parts += (_length(raw), raw)
        parts += (_NULL,) if content is None else (_length(content), content)
    return b"".join(parts)
