"""The records inside a batch: decode, encode, and check them one by one.

Decides: the layout of magic-2 records (KIP-98). Does not decide: anything about the batch around them; that
is `record_batch`.

Everything that costs time per record is here and only here: plain loops over `bytes` with typed locals, so
that mypyc can compile this one file. The pure Python file is the fall-back and behaves the same; `COMPILED`
says which of the two runs, because callers (`storage.batch_validator`) pick how much of a batch they look
at by it.

Bounds: no length is believed before it is compared with the bytes that remain, varints are at most 5 bytes
and varlongs at most 10, and a header count is at most half of the bytes that remain (a header takes 2 bytes
or more). Nothing is allocated from a declared count.

A record: length varint | attributes i8 | timestamp delta varlong | offset delta varint | key length varint,
key | value length varint, value | header count varint | (key length varint, key, value length varint,
value)*. All varints are zigzag; length -1 is null.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Final, NamedTuple

COMPILED: Final = not __file__.endswith(".py")

_SMALL: Final = 8192

MIN_RECORD_SIZE: Final = 7
"""Bytes of the smallest record: one byte for its length and six for its fields."""

Header = tuple[str, bytes | None]
"""A header key that is not UTF-8 keeps its bytes as surrogate escapes, so that it is written as it was
read.
"""


Entry = tuple[int, bytes | None, bytes | None, Sequence[Header]]
"""A record that has no place yet: timestamp in ms, key, value, headers."""


class RecordError(ValueError):
    """The records area is malformed: a length leads out of it, or the fields do not fill a record."""


class Record(NamedTuple):
    """One record as consumers see it. `offset` is absolute, `timestamp` is in ms (-1: none)."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header] = ()


def read_varint(data: bytes, pos: int, end: int) -> tuple[int, int]:
    """The zigzag int32 at `pos` and the position after it. RecordError when it runs past `end` or 5 bytes."""
    if pos < end:
        byte = data[pos]
        if byte < 0x80:
            return (byte >> 1) ^ -(byte & 1), pos + 1
    return _read_long_form(data, pos, end, 5)


def _read_long_form(data: bytes, pos: int, end: int, most: int) -> tuple[int, int]:
    raw = 0
    shift = 0
    for i in range(pos, min(end, pos + most)):
        byte = data[i]
        raw |= (byte & 0x7F) << shift
        if byte < 0x80:
            if raw >> (32 if most == 5 else 64):
                raise RecordError(f"varint at {pos} does not fit its type")
            return (raw >> 1) ^ -(raw & 1), i + 1
        shift += 7
    raise RecordError(f"varint at {pos} is cut off or longer than {most} bytes")


def append_varint(out: bytearray, value: int) -> None:
    """Append `value` as zigzag varint (int32 or int64: the encoding is the same)."""
    raw = (value << 1) ^ (value >> 63)
    while raw > 0x7F:
        out.append((raw & 0x7F) | 0x80)
        raw >>= 7
    out.append(raw)


def _read_bytes(data: bytes, pos: int, end: int) -> tuple[bytes | None, int]:
    length, pos = read_varint(data, pos, end)
    if length < 0:
        if length != -1:
            raise RecordError(f"length {length} before {pos}")
        return None, pos
    if length > end - pos:
        raise RecordError(f"length {length} before {pos} with {end - pos} bytes left")
    return data[pos : pos + length], pos + length


def _read_headers(data: bytes, pos: int, end: int) -> tuple[Sequence[Header], int]:
    count, pos = read_varint(data, pos, end)
    if count == 0:
        return (), pos
    if count < 0 or count > (end - pos) // 2:
        raise RecordError(f"header count {count} before {pos} with {end - pos} bytes left")
    headers: list[Header] = []
    for _ in range(count):
        key, pos = _read_bytes(data, pos, end)
        if key is None:
            raise RecordError(f"null header key before {pos}")
        value, pos = _read_bytes(data, pos, end)
        headers.append((key.decode("utf-8", "surrogateescape"), value))
    return headers, pos


def read_records(
    data: bytes, count: int, base_offset: int, base_timestamp: int, fixed_timestamp: int | None = None
) -> list[Record]:
    """All `count` records of an uncompressed records area, which they must fill exactly. RecordError.

    `fixed_timestamp`: of every record of the batch (LogAppendTime). Varints are read in line, as in `scan_records`, and
    for the same reason; what is said there of fields that run past their record holds here.
    """
    records: list[Record] = []
    end, pos, new = len(data), 0, tuple.__new__
    key: bytes | None
    content: bytes | None
    try:
        for _ in range(count):
            start = pos
            value = data[pos]
            pos += 1
            if value > 0x7F:
                value, pos = _read_raw(data, value, pos, end, 5)
            stop = pos + (value >> 1)
            if value & 1 or stop > end:
                raise RecordError(f"record length at {start} with {end - pos} bytes left")
            pos += 1  # attributes: unused
            value = data[pos]
            pos += 1
            if value > 0x7F:
                value, pos = _read_raw(data, value, pos, end, 10)
            timestamp = base_timestamp + ((value >> 1) ^ -(value & 1))
            value = data[pos]
            pos += 1
            if value > 0x7F:
                value, pos = _read_raw(data, value, pos, end, 5)
            offset = base_offset + ((value >> 1) ^ -(value & 1))
            value = data[pos]
            pos += 1
            if value == 1:
                key = None
            else:
                if value > 0x7F:
                    value, pos = _read_raw(data, value, pos, end, 5)
                if value & 1:
                    raise RecordError(f"negative key length before {pos}")
                start_of = pos
                pos += value >> 1
                key = data[start_of:pos]
            value = data[pos]
            pos += 1
            if value == 1:
                content = None
            else:
                if value > 0x7F:
                    value, pos = _read_raw(data, value, pos, end, 5)
                if value & 1:
                    raise RecordError(f"negative value length before {pos}")
                start_of = pos
                pos += value >> 1
                content = data[start_of:pos]
            value = data[pos]
            pos += 1
            headers, pos = _read_headers(data, pos - 1, stop) if value else ((), pos)
            if pos != stop:
                raise RecordError(f"record at {start} ends at {pos} instead of {stop}")
            records.append(new(Record, (offset, timestamp, key, content, headers)))
    except IndexError as error:
        raise RecordError(f"records end before the last of {count}") from error
    if pos != end:
        raise RecordError(f"{end - pos} bytes after the last of {count} records")
    if fixed_timestamp is not None:
        return [record._replace(timestamp=fixed_timestamp) for record in records]
    return records


def skip_records(data: bytes, count: int, end: int, most: int) -> int:
    """Follow the lengths of up to `most` of `count` records in an area of `end` bytes beginning with `data`.

    The cheapest look at a records area: that the lengths chain, not what is inside the records. `data` may
    be the beginning of the area; the walk stops where it ends. Returns the position after the last record
    when all `count` were followed, else -1. RecordError when a length leads out of the area or the rest is
    too short for the others.
    """
    size = len(data)
    pos = 0
    for index in range(min(count, most)):
        if pos >= size:
            if pos >= end:
                raise RecordError(f"records end at {pos}, after {index} of {count}")
            return -1
        low = data[pos]
        if low < 0x80:
            start = pos + 1
            length = (low >> 1) ^ -(low & 1)
        elif pos + 1 < size and data[pos + 1] < 0x80:
            start = pos + 2
            raw = (low & 0x7F) | (data[pos + 1] << 7)
            length = (raw >> 1) ^ -(raw & 1)
        elif size - pos < 5 and size < end:
            return -1
        else:
            length, start = read_varint(data, pos, size)
        if length < MIN_RECORD_SIZE - 1 or length > end - start:
            raise RecordError(f"record length {length} at {pos} with {end - start} bytes left")
        pos = start + length
    left = count - most
    if left > 0:
        if left * MIN_RECORD_SIZE > end - pos:
            raise RecordError(f"{end - pos} bytes left at {pos} for {left} records")
        return -1
    return pos


class Scan(NamedTuple):
    """What a walk over every field of every record found. The timestamp deltas are 0 for no records."""

    min_timestamp_delta: int
    max_timestamp_delta: int
    is_sequential: bool
    """Offset deltas are 0, 1, 2, ..."""
    has_null_key: bool


def scan_records(data: bytes, count: int) -> Scan:
    """Check every field of all `count` records, which must fill `data` exactly, keeping nothing. RecordError.

    One or two byte varints, which are nearly all, are read in line: calls would double the cost. A field
    that runs past its record is not noticed where it happens but where the record ends: positions only
    grow, so reading on into the next record cannot end at this one's last byte.
    """
    end = len(data)
    pos = 0
    low = high = 0
    sequential = True
    null_key = False
    try:
        for index in range(count):
            start = pos
            value = data[pos]
            pos += 1
            if value > 0x7F:
                value, pos = _read_raw(data, value, pos, end, 5)
            stop = pos + (value >> 1)
            if value & 1 or stop > end:
                raise RecordError(f"record length at {start} with {end - pos} bytes left")
            pos += 1  # attributes: unused
            value = data[pos]
            pos += 1
            if value > 0x7F:
                value, pos = _read_raw(data, value, pos, end, 10)
            delta = (value >> 1) ^ -(value & 1)
            if index == 0:
                low = high = delta
            elif delta > high:
                high = delta
            elif delta < low:
                low = delta
            value = data[pos]
            pos += 1
            if value > 0x7F:
                value, pos = _read_raw(data, value, pos, end, 5)
            if value != index << 1:
                sequential = False
            value = data[pos]
            pos += 1
            if value == 1:
                null_key = True
            else:
                if value > 0x7F:
                    value, pos = _read_raw(data, value, pos, end, 5)
                if value & 1:
                    raise RecordError(f"negative key length before {pos}")
                pos += value >> 1
            value = data[pos]
            pos += 1
            if value != 1:
                if value > 0x7F:
                    value, pos = _read_raw(data, value, pos, end, 5)
                if value & 1:
                    raise RecordError(f"negative value length before {pos}")
                pos += value >> 1
            value = data[pos]
            pos += 1
            if value:
                pos = _skip_headers(data, pos - 1, stop)
            if pos != stop:
                raise RecordError(f"record at {start} ends at {pos} instead of {stop}")
    except IndexError as error:
        raise RecordError(f"records end before the last of {count}") from error
    if pos != end:
        raise RecordError(f"{end - pos} bytes after the last of {count} records")
    return Scan(low, high, sequential, null_key)


def _read_raw(data: bytes, low: int, pos: int, end: int, most: int) -> tuple[int, int]:
    """The rest of a varint whose first byte, `low`, has been read: its raw value (before zigzag), and the
    position.
    """
    byte = data[pos]
    if byte < 0x80:
        return (low & 0x7F) | (byte << 7), pos + 1
    number, pos = _read_long_form(data, pos - 1, end, most)
    return (number << 1) ^ (number >> 63), pos


def _skip_headers(data: bytes, pos: int, end: int) -> int:
    """Check the headers of one record from their count on; the position after them. RecordError."""
    count, pos = read_varint(data, pos, end)
    if count < 0 or count > (end - pos) // 2:
        raise RecordError(f"header count {count} before {pos} with {end - pos} bytes left")
    for _ in range(count):
        length, pos = read_varint(data, pos, end)
        if length < 0 or length > end - pos:
            raise RecordError(f"header key length {length} before {pos} with {end - pos} bytes left")
        length, pos = read_varint(data, pos + length, end)
        if length < -1 or length > end - pos:
            raise RecordError(f"header value length {length} before {pos} with {end - pos} bytes left")
        if length > 0:
            pos += length
    return pos


def _varint(value: int) -> bytes:
    out = bytearray()
    append_varint(out, value)
    return bytes(out)


@cache
def _small_varints() -> tuple[bytes, ...]:
    """Those of 0 to 8191, of one or two bytes: nearly all that records have. Made when first needed (6 ms)."""
    return tuple(map(_varint, range(_SMALL)))


def encode_entries(entries: Iterable[Entry], base_timestamp: int) -> tuple[bytes, int]:
    """The uncompressed records area of a new batch (offset deltas 0, 1, 2, ...), and the greatest timestamp."""
    small = _small_varints()
    parts: list[bytes] = []
    append, join = parts.append, b"".join
    max_timestamp = base_timestamp
    for index, (timestamp, key, value, headers) in enumerate(entries):
        if timestamp > max_timestamp:
            max_timestamp = timestamp
        delta = timestamp - base_timestamp
        size = -1 if value is None else len(value)
        body = join(
            (
                b"\0",  # attributes: unused
                small[delta] if 0 <= delta < _SMALL else _varint(delta),
                small[index] if index < _SMALL else _varint(index),
                _NULL if key is None else _with_length(key),
                small[size] if 0 <= size < _SMALL else _varint(size),
                value or b"",
                _encode_headers(headers) if headers else b"\0",
            )
        )
        size = len(body)
        append(small[size] if size < _SMALL else _varint(size))
        append(body)
    return join(parts), max_timestamp


def encode_records(records: Iterable[Record], base_offset: int, base_timestamp: int) -> bytearray:
    """The uncompressed records area of a batch whose deltas count from the two bases."""
    out = bytearray()
    for offset, timestamp, key, value, headers in records:
        body = bytearray(1)
        append_varint(body, timestamp - base_timestamp)
        append_varint(body, offset - base_offset)
        body += _NULL if key is None else _with_length(key)
        body += _NULL if value is None else _with_length(value)
        body += _encode_headers(headers)
        append_varint(out, len(body))
        out += body
    return out


def _with_length(data: bytes) -> bytes:
    size = len(data)
    return (_small_varints()[size] if size < _SMALL else _varint(size)) + data


def _encode_headers(headers: Sequence[Header]) -> bytes:
    parts = [_varint(len(headers))]
    for name, content in headers:
        parts.append(_with_length(name.encode("utf-8", "surrogateescape")))
        parts.append(_NULL if content is None else _with_length(content))
    return b"".join(parts)


_NULL: Final = _varint(-1)
