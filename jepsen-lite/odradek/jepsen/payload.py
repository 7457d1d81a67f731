"""Records that prove themselves: a record's key, value and headers all say which integer it is and where it belongs.

Decides: the bytes of a record, and when a record that was read is not one that was sent. Does not decide: which
integers are sent. Invariant: no two of key, value and header can be exchanged between records, nor a record moved to
another partition, nor a bit of it turned over, without `decode` noticing (but for one chance in 2**32).

The value is 8 bytes of integer, 4 bytes of CRC-32 over all and the "topic/partition"; the key is the integer in
decimal digits; the headers are "at" (the "topic/partition") and "crc" (the same 4 bytes).
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from zlib import crc32

_HEAD = Struct(">QI")
_CRC = Struct(">I")

Headers = list[tuple[str, bytes]]


class Corrupt(Exception):
    """A record that nobody sent in this form. `reason` says what does not fit."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def encode(value: int, key: str) -> tuple[bytes, bytes, Headers]:
    """Key, value and headers of the record for the integer `value` (0 to 2**64 - 1) in the partition `key`."""
    place = key.encode()
    name = b"%d" % value
    crc = crc32(name, crc32(place))
    return name, _HEAD.pack(value, crc) + place, [("at", place), ("crc", _CRC.pack(crc))]


def decode(
    record_key: bytes | None,
    value: bytes | None,
    headers: Iterable[tuple[str, bytes | str | None]] | None,
    key: str | None = None,
) -> int:
    """The integer of a record. With `key`, the "topic/partition" where it was read, its place is checked as well.

    Raises Corrupt.
    """
    if value is None or len(value) < _HEAD.size:
        raise Corrupt(f"the value is {value!r}")
    number: int
    number, crc = _HEAD.unpack_from(value)
    place = value[_HEAD.size :]
    name = b"%d" % number
    if crc != crc32(name, crc32(place)):
        raise Corrupt(f"the checksum of value {value!r} is wrong")
    if record_key != name:
        raise Corrupt(f"the key {record_key!r} is not that of value {number}")
    if key is not None and place != key.encode():
        raise Corrupt(f"value {number} was sent to {place.decode(errors='replace')}, and is in {key}")
    if tuple(headers or ()) != (("at", place), ("crc", _CRC.pack(crc))):
        raise Corrupt(f"the headers {headers!r} are not those of value {number}")
    return number
