"""Which partition a key belongs to, as Apache Kafka's own clients choose it.

Records with one key have to meet in one partition whoever writes them, so this is part of the format as much as the
record batch is. Pure. Source: `Utils.murmur2` and `BuiltInPartitioner.partitionForKey` of kafka-clients.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Final, TypeAlias

Partitioner: TypeAlias = Callable[[bytes, int], int]
"""Key and number of partitions -> partition."""

CACHED_KEY_SIZE: Final = 64
"""Bytes: longer keys are hashed each time, so that the cache of hashes stays small."""
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


@lru_cache(maxsize=16_384)
def _hash_short(key: bytes) -> int:
    return murmur2(key) & 0x7FFFFFFF


def partition_for(key: bytes, partition_count: int) -> int:
    """The partition of a key (an empty key is one), from 0 to `partition_count` - 1."""
    if len(key) <= CACHED_KEY_SIZE:
        return _hash_short(key) % partition_count
    return (murmur2(key) & 0x7FFFFFFF) % partition_count
