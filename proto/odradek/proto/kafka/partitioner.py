"""Which partition a key belongs to, as Apache Kafka's own clients choose it.

Records with one key have to meet in one partition whoever writes them, so this is part of the format as much as the
record batch is. Pure. Source: `Utils.murmur2` and `BuiltInPartitioner.partitionForKey` of kafka-clients.
"""

from __future__ import annotations

import struct
from functools import cache
from typing import Final

_SEED: Final = 0x9747B28C
_M: Final = 0x5BD1E995
_MASK: Final = 0xFFFFFFFF


@cache
def _words(count: int) -> struct.Struct:
    return struct.Struct(f"<{count}I")


def murmur2(data: bytes) -> int:
    """The 32 bits of Kafka's murmur2, as a number from 0 to 2**32 - 1."""
    length = len(data)
    h = _SEED ^ length
    whole = length >> 2
    for k in _words(whole).unpack_from(data):
        k = k * _M & _MASK
        h = (h * _M & _MASK) ^ ((k ^ k >> 24) * _M & _MASK)
    rest = length & 3
    if rest:
        tail = whole << 2
        if rest == 3:
            h ^= data[tail + 2] << 16
        if rest >= 2:
            h ^= data[tail + 1] << 8
        h = (h ^ data[tail]) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15


def partition_for(key: bytes, partition_count: int) -> int:
    """The partition of a key, from 0 to `partition_count` - 1."""
    return (murmur2(key) & 0x7FFFFFFF) % partition_count
