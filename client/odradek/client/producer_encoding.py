"""Many records into one record batch, once for a whole batch: sizes, codecs, and whose batch it is.

Does not decide: how the bytes are put together (`odradek.proto.kafka.record_batch`), or which records go together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from odradek.client.records import Header
from odradek.proto.kafka.compression import CODEC_NAMES
from odradek.proto.kafka.record_batch import Entry as Entry
from odradek.proto.kafka.record_batch import build_new_batch

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
    batch = build_new_batch(
        entries,
        codec=codec,
        producer_id=identity.producer_id,
        producer_epoch=identity.producer_epoch,
        base_sequence=base_sequence,
    )
    return bytes(batch)
