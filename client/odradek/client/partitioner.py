"""Which partition a record with a key goes to: murmur2, bit for bit as Apache Kafka's Java client has it.

Decides: the partition of a key. Does not decide: where records without a key go (the producer stays with one
partition for a batch, KIP-480).

Source: Austin Appleby's MurmurHash2 with the seed of `org.apache.kafka.common.utils.Utils.murmur2`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from struct import unpack_from
from typing import Final, TypeAlias

Partitioner: TypeAlias = Callable[[bytes, int], int]
"""Key and number of partitions -> partition."""

_SEED: Final = 0x9747B28C
_M: Final = 0x5BD1E995
_MASK: Final = 0xFFFFFFFF
_CACHED_KEY_SIZE: Final = 64
"""Bytes: longer keys are hashed each time, so that the cache of 16384 keys stays small."""


def murmur2(data: bytes) -> int:
    """The hash as an unsigned 32 bit number (Java shows the same bits as a signed one)."""
    length = len(data)
    h = _SEED ^ length
    words = length >> 2
    for k in unpack_from(f"<{words}I", data):
        k = (k * _M) & _MASK
        h = ((h * _M) & _MASK) ^ (((k ^ (k >> 24)) * _M) & _MASK)
    rest = data[words << 2 :]
    if rest:
        h = ((h ^ int.from_bytes(rest, "little")) * _M) & _MASK
    h = ((h ^ (h >> 13)) * _M) & _MASK
    return h ^ (h >> 15)


@lru_cache(maxsize=16384)
def _hash_short(key: bytes) -> int:
    return murmur2(key) & 0x7FFFFFFF


def murmur2_partitioner(key: bytes, partition_count: int) -> int:
    """The partition that Java's default partitioner chooses for a key (an empty key is a key)."""
    if len(key) <= _CACHED_KEY_SIZE:
        return _hash_short(key) % partition_count
    return (murmur2(key) & 0x7FFFFFFF) % partition_count
