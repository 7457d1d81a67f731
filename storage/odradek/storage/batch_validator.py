"""What a partition accepts from a client, and what it changes: Kafka's LogValidator, for magic 2.

Decides: whether one produced record set is appended, with which offsets, leader epoch, timestamps and
codec; and whether a replicated one is whole. Does not decide: duplicates and sequence order
(`producer_state`), or where bytes go. Pure: bytes and values in, values out; expected outcomes are
`Validated` and `Rejected`, no byte sequence raises.

How much of a batch is looked at. Kafka walks every record of every batch; in Python that is 0.7 us a
record, more than everything else a produce request costs. So here:

* Always: the whole header, the CRC, the counts, and the batch's own time range (base and maximum
  timestamp) against the bounds. About 3 us, plus 50 us a MiB for the CRC.
* Always, of the records: a probe. At most the first 16 KiB are decompressed, and the first
  `PROBE_RECORDS` record lengths followed; where that reaches the end, count and size have to agree. 1 to 5
  us without compression. With it, what the codec's first block costs: 2 to 20 us, and up to 80 us for the
  128 KiB blocks of zstd.
* A batch of up to `FULL_SCAN_RECORDS` records: every field of every record, as Kafka does.
* One batch in 32, picked by its CRC: all of it decompressed and every record length followed (0.15 us a
  record), so that a client that writes broken batches is found out soon whatever their size.
* Every field of every record, in any batch, when a rule needs it: a compacted topic (null keys); a time
  range that is out of bounds or contradicts itself (then `record_errors` names the records, and a wrong
  maximum is put right).
* Everything decompressed, and every length followed, when the topic asks for another codec.

With `proto.kafka.records` compiled by mypyc a scan costs 0.02 us a record, and FULL_SCAN_RECORDS is large.

What can slip through, compared with Kafka: in a large batch, inner damage that its producer has covered
with a valid CRC, and a single timestamp outside the bounds while the header claims otherwise. Retention and
the time index use the header's maximum, so the second does no harm here. What is stricter than Kafka: a
cut-off batch after the first, offset deltas that do not count 0, 1, 2, a delete horizon, a transactional
batch without producer id, and a batch that would inflate beyond 64 MiB are refused. What Kafka answers with
UNKNOWN_SERVER_ERROR (an unknown codec, a records area that does not decompress) has a real error here.

Source: KIP-98, KIP-467 (record errors), KIP-937 (timestamp bounds); LogValidator,
UnifiedLog.analyzeAndValidateRecords, ProduceRequest.validateRecords of Kafka 4.3, whose answers
`tests/unit/storage/test_batch_validator.py` records.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from odradek.proto.kafka.compression import (
    CODEC_NAMES,
    GZIP,
    LZ4,
    NONE,
    ZSTD,
    Buffer,
    CompressionError,
    DecompressionLimitError,
    compress,
    decompress,
    decompress_prefix,
)
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.record_batch import (
    CODEC_MASK,
    CONTROL,
    DEFAULT_DECOMPRESSION_LIMIT,
    DELETE_HORIZON,
    HEADER_SIZE,
    LOG_APPEND_TIME,
    LOG_OVERHEAD,
    MAGIC,
    MIN_BATCH_LENGTH,
    NO_TIMESTAMP,
    TRANSACTIONAL,
    BatchHeader,
    InvalidBatchError,
    assemble,
    compute_crc,
    iter_headers,
    parse_header,
    rewrite_times,
    stamp,
)
from odradek.proto.kafka.records import (
    COMPILED,
    RecordError,
    Scan,
    read_records,
    scan_records,
    skip_records,
)
from odradek.storage.log_config import LogConfig

FULL_SCAN_RECORDS: Final = 4096 if COMPILED else 4
"""Batches of up to this many records are scanned whole (when they also fit in PROBE_BYTES)."""
PROBE_RECORDS: Final = 32
PROBE_BYTES: Final = 16 * 1024
AUDIT_MASK: Final = 31
"""Batches whose CRC has these bits clear have all their record lengths followed."""
MAX_DECOMPRESSED_BYTES: Final = DEFAULT_DECOMPRESSION_LIMIT
MAX_SCANNED_RECORDS: Final = 1_000_000
"""A compressed batch that must be looked at record by record may not have more: a bomb's other dimension."""
MAX_RECORD_ERRORS: Final = 1000
"""Record errors reported for one batch; the batch is refused whole in any case."""

_FLAGS: Final = LOG_APPEND_TIME | TRANSACTIONAL | CONTROL | DELETE_HORIZON
_PRODUCE_VERSION_WITH_ZSTD: Final = 7
_MAX_INT64: Final = 0x7FFFFFFFFFFFFFFF
_OFFSET_OF_MAGIC: Final = 16
_MIN_LEGACY_LENGTH: Final = 14


class RecordFault(NamedTuple):
    """Why the record at `batch_index` (0-based, within its batch) is refused: an entry of `record_errors`."""

    batch_index: int
    message: str


class Rejected(NamedTuple):
    """Nothing of the record set is appended."""

    error: ErrorCode
    message: str
    record_errors: tuple[RecordFault, ...] = ()


class Validated(NamedTuple):
    """A batch ready to be written.

    `records` is the buffer that came in unless the batch had to be rebuilt.
    """

    records: bytearray | memoryview
    header: BatchHeader
    """As it stands in `records`: stamped."""
    base_offset: int
    last_offset: int
    max_timestamp: int
    log_append_time_ms: int
    """-1 when the topic keeps the producers' timestamps."""


class ValidatedReplica(NamedTuple):
    """Whole, intact batches from the leader.

    `size` bytes of `records` hold them; the rest is a cut-off tail.
    """

    headers: tuple[tuple[int, BatchHeader], ...]
    """Position and header of each batch, offsets ascending."""
    size: int


def validate(
    records: bytearray | memoryview,
    config: LogConfig,
    next_offset: int,
    leader_epoch: int,
    now_ms: int,
    produce_version: int = 13,
) -> Validated | Rejected:
    """Judge one produced record set (one batch) and stamp it with `next_offset` and `leader_epoch` in place.

    `records` must be writable. `produce_version` is the version of the Produce request; other doors pass the
    newest. Never raises for what the bytes hold.
    """
    header = _check_framing(records, produce_version)
    if isinstance(header, Rejected):
        return header
    rejected = _check_header(records, header, config)
    if rejected is not None:
        return rejected
    try:
        return _append(records, header, config, next_offset, leader_epoch, now_ms)
    except DecompressionLimitError as error:
        return Rejected(ErrorCode.MESSAGE_TOO_LARGE, str(error))
    except (CompressionError, RecordError) as error:
        return Rejected(ErrorCode.INVALID_RECORD, f"The records of the batch are malformed: {error}")


def validate_follower(records: Buffer) -> ValidatedReplica | Rejected:
    """Check headers and CRCs of batches fetched from the leader. Changes nothing and looks at no record.

    A batch that is cut off at the end is left out (a fetch is cut at its size limit); any other damage is
    CORRUPT_MESSAGE. Gaps between offsets are normal (compaction), going back is not.
    """
    headers: list[tuple[int, BatchHeader]] = []
    end = 0
    last_offset = -1
    try:
        for pos, header in iter_headers(records):
            if header.base_offset <= last_offset or header.last_offset_delta < 0 or header.record_count < 0:
                return Rejected(
                    ErrorCode.CORRUPT_MESSAGE,
                    f"Offsets {header.base_offset} to {header.last_offset} ({header.record_count} records) "
                    f"follow offset {last_offset}",
                )
            if compute_crc(records, pos, header.size) != header.crc:
                return _wrong_crc(header)
            headers.append((pos, header))
            last_offset = header.last_offset
            end = pos + header.size
    except InvalidBatchError as error:
        return Rejected(ErrorCode.CORRUPT_MESSAGE, str(error))
    return ValidatedReplica(tuple(headers), end)


def _check_framing(records: Buffer, produce_version: int) -> BatchHeader | Rejected:
    """Exactly one whole batch of magic 2 with a codec that this request version may use; its header."""
    size = len(records)
    if size < HEADER_SIZE:
        return _misframed(records)
    header = parse_header(records)
    if header.batch_length != size - LOG_OVERHEAD or header.magic != MAGIC:
        return _misframed(records)
    if header.codec >= ZSTD:
        if header.codec > ZSTD:
            return Rejected(
                ErrorCode.UNSUPPORTED_COMPRESSION_TYPE, f"Unknown compression type {header.codec}"
            )
        if produce_version < _PRODUCE_VERSION_WITH_ZSTD:
            return Rejected(
                ErrorCode.UNSUPPORTED_COMPRESSION_TYPE,
                f"Produce requests of version {produce_version} may not carry zstd, "
                f"version {_PRODUCE_VERSION_WITH_ZSTD} may",
            )
    return header


def _misframed(records: Buffer) -> Rejected:
    size = len(records)
    if size < LOG_OVERHEAD:
        return _invalid(f"The record set of {size} bytes holds no batch")
    rejected = _check_frame(records, 0)
    if rejected is not None:
        return rejected
    end = LOG_OVERHEAD + int.from_bytes(records[8:LOG_OVERHEAD], "big")
    rejected = _check_frame(records, end) if size - end >= LOG_OVERHEAD else None
    return rejected or _invalid(f"{size - end} bytes follow the one batch that is allowed")


def _check_frame(records: Buffer, pos: int) -> Rejected | None:
    """What is wrong with the frame at `pos`, in Kafka's order. At least 12 bytes are there."""
    left = len(records) - pos - LOG_OVERHEAD
    length = int.from_bytes(records[pos + 8 : pos + LOG_OVERHEAD], "big", signed=True)
    if length < _MIN_LEGACY_LENGTH:
        return Rejected(ErrorCode.CORRUPT_MESSAGE, f"A batch length of {length} is less than any batch has")
    if length > left:
        return _invalid(f"{left} bytes hold no whole batch of length {length}")
    magic = records[pos + _OFFSET_OF_MAGIC]
    if magic > MAGIC:
        return Rejected(ErrorCode.CORRUPT_MESSAGE, f"Unknown magic {magic}")
    if magic < MAGIC:
        return _invalid(f"Only batches of magic 2 are accepted, not {magic}")
    if length < MIN_BATCH_LENGTH:
        return Rejected(ErrorCode.CORRUPT_MESSAGE, f"A batch length of {length} has no room for the header")
    return None


def _check_header(records: Buffer, header: BatchHeader, config: LogConfig) -> Rejected | None:
    """The rules that the header alone decides, sizes before the CRC, and the CRC before anything it
    protects.
    """
    if header.base_offset != 0:
        return _invalid(f"The base offset of a produced batch has to be 0, not {header.base_offset}")
    rejected = _check_size(header.size, config)
    if rejected is not None:
        return rejected
    if compute_crc(records, 0, header.size) != header.crc:
        return _wrong_crc(header)
    if header.last_offset_delta + 1 != header.record_count or header.record_count <= 0:
        return _invalid(f"{header.record_count} records with last offset delta {header.last_offset_delta}")
    if header.producer_id >= 0 and header.base_sequence < 0:
        return _invalid(f"Sequence {header.base_sequence} with producer id {header.producer_id}")
    if header.attributes & _FLAGS:
        return _check_flags(header, config)
    return None


def _check_flags(header: BatchHeader, config: LogConfig) -> Rejected | None:
    if header.is_control:
        return _invalid("Clients may not write control batches")
    if header.has_delete_horizon:
        return _invalid("Clients may not set a delete horizon")
    if header.is_transactional and header.producer_id < 0:
        return _invalid("A transactional batch needs a producer id")
    if header.is_log_append_time and config.message_timestamp_type == "LogAppendTime":
        # Elsewhere Kafka clears the bit, and so does `_append`.
        message = "Producers may not set the timestamp type LogAppendTime"
        faults = (RecordFault(i, message) for i in range(min(header.record_count, MAX_RECORD_ERRORS)))
        return Rejected(ErrorCode.INVALID_TIMESTAMP, message, tuple(faults))
    return None


def _check_size(size: int, config: LogConfig) -> Rejected | None:
    if size > config.max_message_bytes:
        return Rejected(
            ErrorCode.MESSAGE_TOO_LARGE,
            f"The batch has {size} bytes, max.message.bytes allows {config.max_message_bytes}",
        )
    if size > config.segment_bytes:
        return Rejected(
            ErrorCode.RECORD_LIST_TOO_LARGE,
            f"The batch has {size} bytes, segment.bytes allows {config.segment_bytes}",
        )
    return None


def _append(
    records: bytearray | memoryview,
    header: BatchHeader,
    config: LogConfig,
    next_offset: int,
    leader_epoch: int,
    now_ms: int,
) -> Validated | Rejected:
    """Look into the batch as far as the rules need, then stamp it, or rebuild it where stamping is not
    enough.
    """
    codec = header.attributes & CODEC_MASK
    target = codec if config.compression_type == "producer" else _target_codec(config)
    append_time = config.message_timestamp_type == "LogAppendTime"
    compacted = config.is_compacted
    must_scan = compacted or (not append_time and _times_need_scan(header, config, now_ms))
    data, scan = _inspect(memoryview(records)[HEADER_SIZE:], header, must_scan, must_inflate=target != codec)
    max_timestamp = header.max_timestamp
    if scan is not None:
        rejected = _check_scan(data, header, scan, config, now_ms)
        if rejected is not None:
            return rejected
        max_timestamp = max(header.base_timestamp + scan.max_timestamp_delta, NO_TIMESTAMP)
    attributes = header.attributes & ~LOG_APPEND_TIME
    if append_time:
        attributes |= LOG_APPEND_TIME
        max_timestamp = now_ms
    if target != codec:
        header = header._replace(
            base_offset=next_offset,
            partition_leader_epoch=leader_epoch,
            attributes=(attributes & ~CODEC_MASK) | target,
            max_timestamp=max_timestamp,
        )
        records = assemble(header, compress(target, data, _level(target, config)))
        rejected = _check_size(len(records), config)
        if rejected is not None:
            return rejected
    else:
        stamp(records, 0, next_offset, leader_epoch)
        if attributes != header.attributes or max_timestamp != header.max_timestamp:
            rewrite_times(
                records,
                0,
                header.size,
                attributes=attributes,
                base_timestamp=header.base_timestamp,
                max_timestamp=max_timestamp,
            )
    return Validated(
        records,
        parse_header(records),
        next_offset,
        next_offset + header.last_offset_delta,
        max_timestamp,
        now_ms if append_time else NO_TIMESTAMP,
    )


def _times_need_scan(header: BatchHeader, config: LogConfig, now_ms: int) -> bool:
    """Whether the batch's own time range is out of bounds or cannot be true."""
    base = header.base_timestamp
    most = header.max_timestamp
    return (
        most < base
        or most > now_ms + config.message_timestamp_after_max_ms
        or (base < now_ms - config.message_timestamp_before_max_ms and base != NO_TIMESTAMP)
        or (most != base and header.record_count == 1)
        or header.attributes & LOG_APPEND_TIME != 0
    )


def _inspect(
    area: memoryview, header: BatchHeader, must_scan: bool, must_inflate: bool
) -> tuple[bytes, Scan | None]:
    """The records area uncompressed (after a probe: its beginning), and what a scan found if there was one.

    CompressionError, RecordError; DecompressionLimitError for a batch that is larger inside than anybody
    may send.
    """
    codec = header.attributes & CODEC_MASK
    count = header.record_count
    if not must_scan and not must_inflate and header.crc & AUDIT_MASK:
        return _probe(area, codec, count)
    data = bytes(area) if codec == NONE else decompress(codec, area, MAX_DECOMPRESSED_BYTES)
    if must_scan or count <= FULL_SCAN_RECORDS:
        if count > MAX_SCANNED_RECORDS and codec != NONE:
            raise DecompressionLimitError(f"{count} records in one batch, {MAX_SCANNED_RECORDS} are allowed")
        return data, scan_records(data, count)
    _follow_lengths(data, count, len(data), MAX_SCANNED_RECORDS)
    return data, None


def _probe(area: memoryview, codec: int, count: int) -> tuple[bytes, Scan | None]:
    size = len(area)
    if codec == NONE:
        head = bytes(area) if size <= PROBE_BYTES else bytes(area[:PROBE_BYTES])
    else:
        head = decompress_prefix(codec, area, PROBE_BYTES + 1, MAX_DECOMPRESSED_BYTES)
        size = len(head) if len(head) <= PROBE_BYTES else MAX_DECOMPRESSED_BYTES
    if count <= FULL_SCAN_RECORDS and len(head) == size:
        return head, scan_records(head, count)
    _follow_lengths(head, count, size, PROBE_RECORDS)
    return head, None


def _follow_lengths(data: bytes, count: int, end: int, most: int) -> None:
    pos = skip_records(data, count, end, most)
    # Where only the beginning is at hand, the end is known to lie behind it and not more.
    if 0 <= pos < len(data) or (pos >= 0 and len(data) == end and pos != end):
        raise RecordError(f"bytes after the last of {count} records, at {pos}")


def _check_scan(
    data: bytes, header: BatchHeader, scan: Scan, config: LogConfig, now_ms: int
) -> Rejected | None:
    """The rules about single records; the records are read only to name those that break one."""
    if not scan.is_sequential:
        return _invalid("The offset deltas of the records are not 0, 1, 2, ...")
    low = header.base_timestamp + scan.min_timestamp_delta
    high = header.base_timestamp + scan.max_timestamp_delta
    if low < -_MAX_INT64 - 1 or high > _MAX_INT64:
        raise RecordError(f"timestamps from {low} to {high}")
    earliest = now_ms - config.message_timestamp_before_max_ms
    latest = now_ms + config.message_timestamp_after_max_ms
    times_apply = config.message_timestamp_type != "LogAppendTime"
    keys_apply = config.is_compacted
    times_bad = times_apply and (high > latest or low < earliest)
    if not times_bad and not (keys_apply and scan.has_null_key):
        return None
    faults: list[RecordFault] = []
    out_of_time = False
    for index, record in enumerate(read_records(data, header.record_count, 0, header.base_timestamp)):
        if keys_apply and record.key is None:
            faults.append(RecordFault(index, "A compacted topic takes no record without a key"))
        elif times_apply and record.timestamp != NO_TIMESTAMP and not earliest <= record.timestamp <= latest:
            out_of_time = True
            faults.append(
                RecordFault(index, f"Timestamp {record.timestamp} is not between {earliest} and {latest}")
            )
    if not faults:
        return None
    errors = tuple(faults[:MAX_RECORD_ERRORS])
    if out_of_time:
        return Rejected(ErrorCode.INVALID_TIMESTAMP, "Records have timestamps out of range", errors)
    return Rejected(ErrorCode.INVALID_RECORD, f"{len(faults)} records of the batch are invalid", errors)


def _target_codec(config: LogConfig) -> int:
    name = config.compression_type
    return NONE if name == "uncompressed" else CODEC_NAMES.index(name)


def _level(codec: int, config: LogConfig) -> int | None:
    if codec == GZIP:
        return config.compression_gzip_level
    if codec == LZ4:
        return config.compression_lz4_level
    return config.compression_zstd_level if codec == ZSTD else None


def _invalid(message: str) -> Rejected:
    return Rejected(ErrorCode.INVALID_RECORD, message)


def _wrong_crc(header: BatchHeader) -> Rejected:
    return Rejected(
        ErrorCode.CORRUPT_MESSAGE,
        f"The batch at offset {header.base_offset} does not match its CRC {header.crc}",
    )
