"""The records that the coordinator shards agree on, and how they lie in one entry of a shard's log.

An entry is a sequence of records that take effect together:

    int8 layout (0), then per record: int16 type, int16 version, int32 size, body

The body is written by the same codec as Kafka's messages, so a field that comes later is a new version, or a
tagged field of this one. Decides nothing about what a record does: that is `group/stored.py`.

Source: Kafka's `GroupMetadataValue` and `OffsetCommitValue` for what must survive; the layout is ours.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Final

from odradek.proto.kafka.codec import decode, encode
from odradek.proto.kafka.schema import Message, Struct, array, int32, int64, octets, string, uuid

Record = Message

NO_TIMESTAMP: Final = -1
MAX_TIMESTAMP: Final = (1 << 63) - 1


class GroupMetadataRecord(Message, versions="0", flexible="0+"):
    """A group as it stands after a completed rebalance, or after a static member got a new member id."""

    class Protocol(Struct):
        name: str = string("0+")
        metadata: bytes = octets("0+")

    class Member(Struct):
        member_id: str = string("0+")
        instance_id: str | None = string("0+", nullable="0+", default=None)
        client_id: str = string("0+")
        client_host: str = string("0+")
        rebalance_timeout_ms: int = int32("0+")
        session_timeout_ms: int = int32("0+")
        protocols: list[GroupMetadataRecord.Protocol] = array("Protocol", "0+")
        assignment: bytes = octets("0+")

    group_id: str = string("0+")
    protocol_type: str | None = string("0+", nullable="0+", default=None)
    generation: int = int32("0+")
    protocol_name: str | None = string("0+", nullable="0+", default=None)
    leader_id: str | None = string("0+", nullable="0+", default=None)
    state_timestamp_ms: int = int64("0+", default=NO_TIMESTAMP)
    members: list[GroupMetadataRecord.Member] = array(Member, "0+")


class GroupTombstone(Message, versions="0", flexible="0+"):
    """The group is gone, with every offset it had."""

    group_id: str = string("0+")


class OffsetCommitRecord(Message, versions="0", flexible="0+"):
    """Offsets committed together. `expire_timestamp_ms` -1: the broker's retention applies."""

    class Partition(Struct):
        partition: int = int32("0+")
        offset: int = int64("0+")
        leader_epoch: int = int32("0+", default=-1)
        metadata: str = string("0+")

    class Topic(Struct):
        topic: str = string("0+")
        topic_id: bytes = uuid("0+")
        partitions: list[OffsetCommitRecord.Partition] = array("Partition", "0+")

    group_id: str = string("0+")
    commit_timestamp_ms: int = int64("0+")
    expire_timestamp_ms: int = int64("0+", default=NO_TIMESTAMP)
    topics: list[OffsetCommitRecord.Topic] = array(Topic, "0+")


class OffsetTombstone(Message, versions="0", flexible="0+"):
    """These offsets are gone. A topic without partitions names all of its partitions."""

    class Topic(Struct):
        topic: str = string("0+")
        partitions: list[int] = array(int32, "0+")

    group_id: str = string("0+")
    topics: list[OffsetTombstone.Topic] = array(Topic, "0+")


TYPES: Final[dict[int, type[Record]]] = {
    1: GroupMetadataRecord,
    2: GroupTombstone,
    3: OffsetCommitRecord,
    4: OffsetTombstone,
}
TYPE_OF: Final = {cls: number for number, cls in TYPES.items()}

LAYOUT: Final = 0
_HEADER: Final = struct.Struct(">hhi")


class CorruptEntryError(Exception):
    """An entry of the shard's log or snapshot that no version of this program wrote: the node must stop."""


def encode_entry(records: Iterable[Record]) -> bytes:
    parts: list[bytes | bytearray | memoryview] = [bytes((LAYOUT,))]
    for record in records:
        version = record.INFO.versions.last
        body = encode(record, version)
        parts.append(_HEADER.pack(TYPE_OF[type(record)], version, sum(map(len, body))))
        parts.extend(body)
    return b"".join(parts)


def decode_entry(data: bytes) -> Iterator[Record]:
    """The records of an entry. Raises CorruptEntryError, or the codec's DecodeError."""
    if not data or data[0] != LAYOUT:
        raise CorruptEntryError(f"unknown entry layout {data[:1].hex() or 'empty'}")
    position = 1
    while position < len(data):
        if position + _HEADER.size > len(data):
            raise CorruptEntryError(f"entry of {len(data)} bytes ends inside a record header at {position}")
        number, version, size = _HEADER.unpack_from(data, position)
        position += _HEADER.size
        cls = TYPES.get(number)
        if cls is None or version not in cls.INFO.versions:
            raise CorruptEntryError(f"record type {number} version {version} is not known to this node")
        if size < 0 or position + size > len(data):
            raise CorruptEntryError(f"record of {size} bytes at {position} does not fit {len(data)} bytes")
        yield decode(cls, version, memoryview(data)[position : position + size])
        position += size
