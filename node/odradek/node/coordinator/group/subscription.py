"""The one look the coordinator takes into a member's metadata: which topics a consumer has subscribed to.

Needed so that offsets of subscribed topics do not expire and cannot be deleted. Only the beginning of the
consumer protocol's subscription is read, which has been the same in all its versions (KIP-429, KIP-792,
KIP-881 append to it): int16 version, int32 count, then strings with an int16 length.
"""

from __future__ import annotations

import struct

CONSUMER_PROTOCOL_TYPE = "consumer"

_HEAD = struct.Struct(">hi")
_LENGTH = struct.Struct(">h")


def subscribed_topics(metadata: bytes) -> frozenset[str] | None:
    """The topics, or None when the bytes are no subscription."""
    if len(metadata) < _HEAD.size:
        return None
    version, count = _HEAD.unpack_from(metadata, 0)
    position = _HEAD.size
    if version < 0 or count < 0 or count > (len(metadata) - position) // _LENGTH.size:
        return None
    topics: set[str] = set()
    for _ in range(count):
        if position + _LENGTH.size > len(metadata):
            return None
        (length,) = _LENGTH.unpack_from(metadata, position)
        position += _LENGTH.size
        if length < 0 or position + length > len(metadata):
            return None
        try:
            topics.add(str(metadata[position : position + length], "utf-8"))
        except UnicodeDecodeError:
            return None
        position += length
    return frozenset(topics)
