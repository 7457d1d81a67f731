"""Record batches (magic 2, KIP-98): header views, stamping in place, checksums, and the records inside.

Decides: where each header field lies, what a batch's size and offsets are, and how a batch is built. Does
not decide: whether a broker accepts it (`storage.batch_validator`).

Invariants: a header is read with one `struct` call and nothing is copied; `stamp` changes only bytes that
the CRC does not cover; records are decompressed only when asked for, never past a limit. The CRC is CRC-32C
over everything from the attributes (byte 21) on.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import google_crc32c

from odradek.proto.kafka.compression import Buffer, CompressionError, compress, decompress
from odradek.proto.kafka.records import Entry as Entry
from odradek.proto.kafka.records import Header as Header
from odradek.proto.kafka.records import Record as Record
from odradek.proto.kafka.records import RecordError, encode_entries, encode_records, read_records

HEADER_SIZE: Final = 61
LOG_OVERHEAD: Final = 12
"""Bytes before and in the batch length field: the size of a batch is its length field plus this."""
MIN_BATCH_LENGTH: Final = HEADER_SIZE - LOG_OVERHEAD
MAGIC: Final = 2

CODEC_MASK: Final = 0x07
LOG_APPEND_TIME: Final = 0x08
TRANSACTIONAL: Final = 0x10
CONTROL: Final = 0x20
DELETE_HORIZON: Final = 0x40

NO_TIMESTAMP: Final = -1
NO_PRODUCER_ID: Final = -1
NO_PRODUCER_EPOCH: Final = -1
NO_SEQUENCE: Final = -1
MAX_SEQUENCE: Final = 0x7FFFFFFF

CONTROL_ABORT: Final = 0
CONTROL_COMMIT: Final = 1

DEFAULT_DECOMPRESSION_LIMIT: Final = 64 * 1024 * 1024
"""Bytes: the largest records area anybody here inflates."""

_HEADER: Final = struct.Struct(">qiibIhiqqqhii")
_OFFSET_OF_LEADER_EPOCH: Final = 12
_OFFSET_OF_CRC: Final = 17
OFFSET_OF_ATTRIBUTES: Final = 21
_OFFSET: Final = struct.Struct(">q")
_EPOCH: Final = struct.Struct(">i")
_CRC: Final = struct.Struct(">I")
_TIMES: Final = struct.Struct(">qq")
_CONTROL_KEY: Final = struct.Struct(">hh")
_END_TXN_VALUE: Final = struct.Struct(">hi")
_CRC_CHUNK: Final = 64 * 1024


class InvalidBatchError(ValueError):
    """The bytes are not a whole, well-formed batch of magic 2."""


class BatchHeader(NamedTuple):
    """The fixed part of a batch, in wire order.

    Timestamps in ms; `batch_length` counts the bytes after it.
    """

    base_offset: int
    batch_length: int
    partition_leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    record_count: int

    @property
    def size(self) -> int:
        """Bytes of the whole batch."""
        return self.batch_length + LOG_OVERHEAD

    @property
    def last_offset(self) -> int:
        return self.base_offset + self.last_offset_delta

    @property
    def last_sequence(self) -> int:
        """Sequence of the last record; wraps from 2147483647 to 0. -1 without a sequence."""
        if self.base_sequence < 0:
            return NO_SEQUENCE
        return (self.base_sequence + self.last_offset_delta) & MAX_SEQUENCE

    @property
    def codec(self) -> int:
        return self.attributes & CODEC_MASK

    @property
    def is_log_append_time(self) -> bool:
        return self.attributes & LOG_APPEND_TIME != 0

    @property
    def is_transactional(self) -> bool:
        return self.attributes & TRANSACTIONAL != 0

    @property
    def is_control(self) -> bool:
        return self.attributes & CONTROL != 0

    @property
    def has_delete_horizon(self) -> bool:
        """`base_timestamp` then holds the time from which tombstones of this batch may go (KIP-534)."""
        return self.attributes & DELETE_HORIZON != 0

    @property
    def has_producer_id(self) -> bool:
        return self.producer_id >= 0


class EndTxnMarker(NamedTuple):
    """The record of a control batch that ends a transaction on this partition."""

    is_commit: bool
    coordinator_epoch: int


def parse_header(buf: Buffer, pos: int = 0) -> BatchHeader:
    """The header at `pos`. InvalidBatchError when fewer than 61 bytes remain; the values are not judged."""
    try:
        return BatchHeader._make(_HEADER.unpack_from(buf, pos))
    except struct.error as error:
        raise InvalidBatchError(f"{len(buf) - pos} bytes at {pos} hold no batch header") from error


def peek_size(buf: Buffer, pos: int = 0) -> int:
    """Size in bytes of the batch at `pos`, for which 12 bytes must be there.

    InvalidBatchError for an impossible one.
    """
    if pos + LOG_OVERHEAD > len(buf):
        raise InvalidBatchError(f"{len(buf) - pos} bytes at {pos} hold no batch size")
    (length,) = _EPOCH.unpack_from(buf, pos + 8)
    if length < MIN_BATCH_LENGTH:
        raise InvalidBatchError(f"batch length {length} at {pos}")
    return int(length) + LOG_OVERHEAD


def iter_headers(buf: Buffer) -> Iterator[tuple[int, BatchHeader]]:
    """Position and header of every whole batch in `buf`.

    Stops without an error where the bytes end inside a batch (a torn tail, or a fetch cut at its size limit).
    InvalidBatchError at a length below a header or a magic other than 2.
    """
    pos = 0
    end = len(buf)
    while end - pos >= HEADER_SIZE:
        header = BatchHeader._make(_HEADER.unpack_from(buf, pos))
        if header.batch_length < MIN_BATCH_LENGTH or header.magic != MAGIC:
            raise InvalidBatchError(f"batch length {header.batch_length}, magic {header.magic} at {pos}")
        if header.size > end - pos:
            return
        yield pos, header
        pos += header.size


def stamp(buf: bytearray | memoryview, pos: int, base_offset: int, leader_epoch: int) -> None:
    """Write offset and leader epoch into the batch at `pos`. The CRC covers neither."""
    _OFFSET.pack_into(buf, pos, base_offset)
    _EPOCH.pack_into(buf, pos + _OFFSET_OF_LEADER_EPOCH, leader_epoch)


def compute_crc(buf: Buffer, pos: int, size: int) -> int:
    """CRC-32C of the batch of `size` bytes at `pos`, as its header should hold it."""
    # The library takes only `bytes`. Copying in chunks reuses one small allocation instead of faulting in a
    # large one.
    start = pos + OFFSET_OF_ATTRIBUTES
    end = pos + size
    view = memoryview(buf)
    if end - start <= _CRC_CHUNK:
        return int(google_crc32c.value(bytes(view[start:end])))
    crc = 0
    for at in range(start, end, _CRC_CHUNK):
        crc = google_crc32c.extend(crc, bytes(view[at : min(at + _CRC_CHUNK, end)]))
    return int(crc)


def rewrite_times(
    buf: bytearray | memoryview,
    pos: int,
    size: int,
    *,
    attributes: int,
    base_timestamp: int,
    max_timestamp: int,
) -> None:
    """Set attributes and both timestamps of the batch at `pos` and recompute its CRC."""
    struct.pack_into(">h", buf, pos + OFFSET_OF_ATTRIBUTES, attributes)
    _TIMES.pack_into(buf, pos + 27, base_timestamp, max_timestamp)
    _CRC.pack_into(buf, pos + _OFFSET_OF_CRC, compute_crc(buf, pos, size))


def records_area(buf: Buffer, pos: int, header: BatchHeader) -> memoryview:
    """The bytes after the header, compressed or not.

    InvalidBatchError when the batch runs past the buffer.
    """
    if header.magic != MAGIC or header.batch_length < MIN_BATCH_LENGTH or header.size > len(buf) - pos:
        raise InvalidBatchError(
            f"batch length {header.batch_length}, magic {header.magic} with {len(buf) - pos} bytes at {pos}"
        )
    return memoryview(buf)[pos + HEADER_SIZE : pos + header.size]


def iter_records(buf: Buffer, pos: int = 0, limit: int = DEFAULT_DECOMPRESSION_LIMIT) -> list[Record]:
    """The records of the batch at `pos`, at most `limit` bytes of them once decompressed.

    A control batch's record comes like any other. Raises InvalidBatchError for whatever is wrong with the
    batch or what is in it; does not look at the CRC.
    """
    header = parse_header(buf, pos)
    area = records_area(buf, pos, header)
    try:
        data = decompress(header.codec, area, limit)
        return read_records(
            data,
            header.record_count,
            header.base_offset,
            header.base_timestamp,
            header.max_timestamp if header.is_log_append_time else None,
        )
    except (CompressionError, RecordError) as error:
        raise InvalidBatchError(f"batch at offset {header.base_offset}: {error}") from error


def parse_end_txn_marker(buf: Buffer, pos: int = 0) -> EndTxnMarker | None:
    """The transaction marker in the control batch at `pos`.

    None for any other control batch: leader change, or one that compaction has emptied. InvalidBatchError.
    """
    records = iter_records(buf, pos)
    if not records:
        return None
    key, value = records[0].key, records[0].value
    if key is None or len(key) < _CONTROL_KEY.size:
        raise InvalidBatchError("control record without a type")
    _, kind = _CONTROL_KEY.unpack_from(key)
    if kind not in (CONTROL_ABORT, CONTROL_COMMIT):
        return None
    if value is None or len(value) < _END_TXN_VALUE.size:
        raise InvalidBatchError("transaction marker without a coordinator epoch")
    _, coordinator_epoch = _END_TXN_VALUE.unpack_from(value)
    return EndTxnMarker(kind == CONTROL_COMMIT, coordinator_epoch)


def build_batch(
    records: Sequence[Record],
    *,
    codec: int = 0,
    level: int | None = None,
    base_offset: int | None = None,
    leader_epoch: int = -1,
    producer_id: int = NO_PRODUCER_ID,
    producer_epoch: int = NO_PRODUCER_EPOCH,
    base_sequence: int = NO_SEQUENCE,
    attributes: int = 0,
) -> bytearray:
    """A batch of `records`, whose offsets must ascend; `base_offset` is the first one's unless given.

    `attributes` holds the bits above the codec (`LOG_APPEND_TIME`, `TRANSACTIONAL`, `CONTROL`). The base
    timestamp is the first record's, the maximum timestamp the greatest.
    """
    if not records:
        raise ValueError("a batch needs records")
    first = records[0]
    base = first.offset if base_offset is None else base_offset
    area = encode_records(records, base, first.timestamp)
    return assemble(
        BatchHeader(
            base_offset=base,
            batch_length=0,
            partition_leader_epoch=leader_epoch,
            magic=MAGIC,
            crc=0,
            attributes=(attributes & ~CODEC_MASK) | codec,
            last_offset_delta=records[-1].offset - base,
            base_timestamp=first.timestamp,
            max_timestamp=max(record.timestamp for record in records),
            producer_id=producer_id,
            producer_epoch=producer_epoch,
            base_sequence=base_sequence,
            record_count=len(records),
        ),
        area if codec == 0 else compress(codec, area, level),
    )


def build_new_batch(
    entries: Sequence[Entry],
    *,
    codec: int = 0,
    producer_id: int = NO_PRODUCER_ID,
    producer_epoch: int = NO_PRODUCER_EPOCH,
    base_sequence: int = NO_SEQUENCE,
) -> bytearray:
    """A batch of records that nobody has written yet, as a producer makes it: offsets from 0 on. Quicker than
    `build_batch`."""
    if not entries:
        raise ValueError("a batch needs records")
    base_timestamp = entries[0][0]
    area, max_timestamp = encode_entries(entries, base_timestamp)
    return assemble(
        BatchHeader(
            base_offset=0,
            batch_length=0,
            partition_leader_epoch=-1,
            magic=MAGIC,
            crc=0,
            attributes=codec,
            last_offset_delta=len(entries) - 1,
            base_timestamp=base_timestamp,
            max_timestamp=max_timestamp,
            producer_id=producer_id,
            producer_epoch=producer_epoch,
            base_sequence=base_sequence,
            record_count=len(entries),
        ),
        area if codec == 0 else compress(codec, area),
    )


def assemble(header: BatchHeader, area: Buffer) -> bytearray:
    """A batch of `header` and its (already compressed) records area; length and CRC are computed."""
    out = bytearray(HEADER_SIZE + len(area))
    _HEADER.pack_into(out, 0, *header._replace(batch_length=len(out) - LOG_OVERHEAD))
    out[HEADER_SIZE:] = area
    _CRC.pack_into(out, _OFFSET_OF_CRC, compute_crc(out, 0, len(out)))
    return out


def build_end_txn_marker(
    *,
    is_commit: bool,
    producer_id: int,
    producer_epoch: int,
    coordinator_epoch: int,
    timestamp: int,
    base_offset: int = 0,
    leader_epoch: int = -1,
) -> bytearray:
    """The control batch that commits or aborts a producer's transaction on one partition."""
    record = Record(
        base_offset,
        timestamp,
        _CONTROL_KEY.pack(0, CONTROL_COMMIT if is_commit else CONTROL_ABORT),
        _END_TXN_VALUE.pack(0, coordinator_epoch),
    )
    return build_batch(
        [record],
        leader_epoch=leader_epoch,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        attributes=TRANSACTIONAL | CONTROL,
    )
