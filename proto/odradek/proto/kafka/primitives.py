"""What compiled codecs call at run time: varints, packed runs, tagged fields, and the limits on hostile
input.

Compiled code does the common case inline and comes here for the rest: a varint of more than one byte, a
section of tagged fields that is not empty, anything wrong. Nothing here allocates in proportion to a number
read from the wire.

Limits, and why they suffice: lengths and counts are compared with the bytes that remain before anything is
made; a tag section holds at most `MAX_TAGS` entries in ascending order; and every array is charged to a
memory budget that grows with the frame, because an element of one byte becomes an object of a hundred.
Source: KIP-482; CVE-2026-111115, CVE-2026-111108, CVE-2022-34917.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from struct import Struct as Packed
from typing import Any, Final, NoReturn

from odradek.proto.kafka.schema import Buffer

MAX_TAGS: Final = 64
"""Most entries in one section of tagged fields, known and unknown together (Kafka defines at most four)."""

MAX_EMPTY_ELEMENTS: Final = 1024
"""Most elements of an array whose elements take no bytes at all."""

MEMORY_FLOOR: Final = 16 << 20
MEMORY_PER_BYTE: Final = 16
MEMORY_CEILING: Final = 512 << 20
"""A frame of n bytes may become floor + n * per_byte bytes of objects, never more than the ceiling."""


class DecodeError(ValueError):
    """Bytes that are not a message of the expected type and version. The connection they came from is
    closed."""


class EncodeError(ValueError):
    """A message that its version cannot express: a bug of ours, or a value the caller did not check."""


LENGTHS: Final = tuple([bytes((value,)) for value in range(128)])
"""The varints of one byte."""


@cache
def packer(layout: str) -> Callable[..., bytes]:
    """`pack` of a big-endian layout. Only for layouts that come from schemas: the cache is not bounded."""
    return Packed(">" + layout).pack


@cache
def unpacker(layout: str) -> Callable[[Buffer, int], tuple[Any, ...]]:
    """`unpack_from` of a big-endian layout. Only for layouts that come from schemas: the cache is not
    bounded."""
    return Packed(">" + layout).unpack_from


SHORT_ARRAY: Final = 33
"""Arrays of numbers with fewer elements than this have their packers prepared."""


@cache
def array_packers(code: str) -> tuple[Callable[..., bytes], ...]:
    return tuple([packer(f"{count}{code}") for count in range(SHORT_ARRAY)])


@cache
def array_unpackers(code: str) -> tuple[Callable[[Buffer, int], tuple[Any, ...]], ...]:
    return tuple([unpacker(f"{count}{code}") for count in range(SHORT_ARRAY)])


def pack_array(code: str, values: list[Any]) -> bytes:
    return Packed(f">{len(values)}{code}").pack(*values)


def unpack_array(code: str, count: int, data: Buffer, position: int) -> tuple[Any, ...]:
    """The caller has compared `count` with what remains."""
    return Packed(f">{count}{code}").unpack_from(data, position)


def uvarint(value: int) -> bytes:
    """An unsigned varint of up to five bytes."""
    if value < 128:
        return LENGTHS[value]
    if value >> 32:
        raise EncodeError(f"{value} does not fit an unsigned varint")
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def long_uvarint(data: Buffer, position: int, first: int) -> tuple[int, int]:
    """Continues an unsigned varint after its first byte, which was above 127. Returns the value and the next
    position. Raises DecodeError beyond five bytes or 32 bits, IndexError at the end of the data."""
    value = first & 127
    for shift in (7, 14, 21, 28):
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            if value >> 32:
                break
            return value, position
    raise DecodeError("a varint exceeds 32 bits")


def read_uvarint(data: Buffer, position: int) -> tuple[int, int]:
    """Reads an unsigned varint. Returns the value and the next position; errors as `long_uvarint`."""
    first = data[position]
    if first < 128:
        return first, position + 1
    return long_uvarint(data, position + 1, first)


def skip_tags(data: Buffer, position: int, end: int) -> int:
    """Skips a section of tagged fields none of which is known. Returns the position after it."""
    count, position = read_uvarint(data, position)
    previous = -1
    if count > MAX_TAGS:
        fail_tags(count)
    for _ in range(count):
        tag, size, position = read_tag(data, position, end, previous)
        position += size
        previous = tag
    return position


def read_tag(data: Buffer, position: int, end: int, previous: int) -> tuple[int, int, int]:
    """Reads the tag and size of one tagged field. Returns them and the position of its value."""
    tag, position = read_uvarint(data, position)
    size, position = read_uvarint(data, position)
    if tag <= previous:
        raise DecodeError(f"tag {tag} after tag {previous}")
    if size > end - position:
        raise DecodeError(f"a tagged field of {size} bytes where {end - position} remain")
    return tag, size, position


def fail_tags(count: int) -> NoReturn:
    raise DecodeError(f"{count} tagged fields, more than {MAX_TAGS}")


def fail_tag_size(tag: int, declared: int, used: int) -> NoReturn:
    raise DecodeError(f"the field of tag {tag} took {used} bytes, not the {declared} declared")


def fail_null(field: str) -> NoReturn:
    raise DecodeError(f"null in {field}")


def fail_length(field: str, length: int, remaining: int) -> NoReturn:
    raise DecodeError(f"{field} of {length} bytes where {remaining} remain")


def fail_count(field: str, count: int, remaining: int) -> NoReturn:
    raise DecodeError(f"{field} of {count} elements where {remaining} bytes remain")


def fail_memory(field: str, count: int) -> NoReturn:
    raise DecodeError(f"{count} elements of {field} would take more memory than a frame of this size may")


def fail_uuid(value: bytes) -> NoReturn:
    raise EncodeError(f"a uuid of {len(value)} bytes")


def decode_failure(message: str, error: Exception) -> DecodeError:
    """The DecodeError for whatever reading `message` ran into."""
    reason = str(error) if isinstance(error, (DecodeError, UnicodeDecodeError)) else "the data ends too early"
    return DecodeError(f"{message}: {reason}")


def encode_failure(message: str, error: Exception) -> EncodeError:
    return EncodeError(f"{message}: {error}")
