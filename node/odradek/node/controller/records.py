"""The records of the metadata log: what the cluster agrees on, one change each, and their bytes.

Decides the formats. One Raft entry, and one snapshot, is a *frame*: a list of records that take effect
together. Layout of a frame: int8 format (0), then per record: unsigned varint type, unsigned varint
version, unsigned varint length, body. A body is in the message notation of `odradek.proto.kafka.schema`,
always flexible, so that a later version may add tagged fields and older nodes still read it.

Invariants: a type number is never reused; a record of an unknown type or version stops the node (it would
otherwise disagree silently with the others); encoding is deterministic.

Partitions are written as runs of equal neighbours, so that a topic's record does not grow with its partitions
while they are equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Self, TypeVar

from odradek.node.controller.image import BrokerImage, Endpoint, PartitionImage
from odradek.proto.kafka.codec import decode_exactly, encode_to_bytes
from odradek.proto.kafka.schema import (
    Buffer,
    Message,
    Struct,
    array,
    boolean,
    int8,
    int16,
    int32,
    int64,
    octets,
    string,
    uuid,
)

R = TypeVar("R")

FRAME_FORMAT: Final = 0
EMPTY_FRAME: Final = bytes((FRAME_FORMAT,))
RECORD_VERSION: Final = 0


class ClusterRecord(Message, versions="0", flexible="0+"):
    """The cluster's identity: the first record of every metadata log."""

    cluster_id: str = string("0+")


class FeatureLevelRecord(Message, versions="0", flexible="0+"):
    """A finalized feature; level 0 removes it."""

    name: str = string("0+")
    feature_level: int = int16("0+")


class RegisterBrokerRecord(Message, versions="0", flexible="0+"):
    """A broker's registration, which replaces an earlier one. Its epoch is the index of the entry."""

    class EndpointField(Struct):
        name: str = string("0+")
        host: str = string("0+")
        port: int = int32("0+")
        security_protocol: str = string("0+")

    broker_id: int = int32("0+")
    incarnation_id: bytes = uuid("0+")
    broker_epoch: int = int64("0+", default=-1)
    endpoints: list[EndpointField] = array("EndpointField", "0+")
    rack: str | None = string("0+", nullable="0+", default=None)
    fenced: bool = boolean("0+")
    in_controlled_shutdown: bool = boolean("0+")
    directories: list[bytes] = array(uuid, "0+")

    @classmethod
    def of(cls, broker: BrokerImage) -> Self:
        return cls(
            broker_id=broker.broker_id,
            incarnation_id=broker.incarnation_id,
            broker_epoch=broker.epoch,
            endpoints=[
                cls.EndpointField(
                    name=name,
                    host=endpoint.host,
                    port=endpoint.port,
                    security_protocol=endpoint.security_protocol,
                )
                for name, endpoint in broker.endpoints.items()
            ],
            rack=broker.rack,
            fenced=broker.fenced,
            in_controlled_shutdown=broker.in_controlled_shutdown,
            directories=list(broker.directories),
        )

    def image(self, index: int) -> BrokerImage:
        """The broker as registered by the entry `index`."""
        return BrokerImage(
            broker_id=self.broker_id,
            epoch=index if self.broker_epoch == -1 else self.broker_epoch,
            incarnation_id=self.incarnation_id,
            endpoints={
                point.name: Endpoint(point.host, point.port, point.security_protocol)
                for point in self.endpoints
            },
            rack=self.rack,
            fenced=self.fenced,
            in_controlled_shutdown=self.in_controlled_shutdown,
            directories=tuple(self.directories),
        )


class UnregisterBrokerRecord(Message, versions="0", flexible="0+"):
    broker_id: int = int32("0+")


class BrokerChangeRecord(Message, versions="0", flexible="0+"):
    """Something of one registration changed. `fenced`, `in_controlled_shutdown`: 1 yes, 0 no, -1 as before.
    `directories`: what is usable now, null as before."""

    broker_id: int = int32("0+")
    broker_epoch: int = int64("0+")
    fenced: int = int8("0+", default=-1)
    in_controlled_shutdown: int = int8("0+", default=-1)
    directories: list[bytes] | None = array(uuid, "0+", nullable="0+", default=None, tag=0)


class PartitionRun(Message, versions="0", flexible="0+"):
    """`count` neighbouring partitions that are equal. Only inside other records. `isr` null: all replicas."""

    count: int = int32("0+")
    replicas: list[int] = array(int32, "0+")
    isr: list[int] | None = array(int32, "0+", nullable="0+", default=None)
    leader: int = int32("0+")
    leader_epoch: int = int32("0+")
    partition_epoch: int = int32("0+")
    directories: list[bytes] = array(uuid, "0+")
    adding_replicas: list[int] = array(int32, "0+", tag=0)
    removing_replicas: list[int] = array(int32, "0+", tag=1)
    eligible_leader_replicas: list[int] = array(int32, "0+", tag=2)
    last_known_elr: list[int] = array(int32, "0+", tag=3)

    @classmethod
    def of(cls, count: int, partition: PartitionImage) -> Self:
        return cls(
            count=count,
            replicas=list(partition.replicas),
            isr=None if partition.isr == partition.replicas else list(partition.isr),
            leader=partition.leader,
            leader_epoch=partition.leader_epoch,
            partition_epoch=partition.partition_epoch,
            directories=list(partition.directories),
            adding_replicas=list(partition.adding_replicas),
            removing_replicas=list(partition.removing_replicas),
            eligible_leader_replicas=list(partition.eligible_leader_replicas),
            last_known_elr=list(partition.last_known_elr),
        )

    def image(self) -> PartitionImage:
        replicas = tuple(self.replicas)
        return PartitionImage(
            replicas=replicas,
            isr=replicas if self.isr is None else tuple(self.isr),
            leader=self.leader,
            leader_epoch=self.leader_epoch,
            partition_epoch=self.partition_epoch,
            directories=tuple(self.directories),
            adding_replicas=tuple(self.adding_replicas),
            removing_replicas=tuple(self.removing_replicas),
            eligible_leader_replicas=tuple(self.eligible_leader_replicas),
            last_known_elr=tuple(self.last_known_elr),
        )


class TopicRecord(Message, versions="0", flexible="0+"):
    """A new topic with its first partitions."""

    name: str = string("0+")
    topic_id: bytes = uuid("0+")
    partitions: list[PartitionRun] = array(PartitionRun, "0+")


class PartitionsRecord(Message, versions="0", flexible="0+"):
    """More partitions of a topic, from `first_partition` on, which is its number of partitions so far."""

    topic_id: bytes = uuid("0+")
    first_partition: int = int32("0+")
    partitions: list[PartitionRun] = array(PartitionRun, "0+")


class PartitionChangesRecord(Message, versions="0", flexible="0+"):
    """One change to each of many partitions, which may be of many topics; grouped by what changes.

    What is null stays as it is. Each changed partition's partition epoch grows by one, and its leader epoch too where
    `leader` is not -2; so partitions with different epochs can share a change, and the failover of a broker is a few
    changes however many partitions it led. `partitions` is in the code of `partition_changes.encode_indexes`.
    """

    class Change(Struct):
        leader: int = int32("0+", default=-2)
        isr: list[int] | None = array(int32, "0+", nullable="0+", default=None)
        topics: list[PartitionChangesRecord.Partitions] = array("Partitions", "0+")
        eligible_leader_replicas: list[int] | None = array(int32, "0+", nullable="0+", default=None, tag=0)
        last_known_elr: list[int] | None = array(int32, "0+", nullable="0+", default=None, tag=1)
        replicas: list[int] | None = array(int32, "0+", nullable="0+", default=None, tag=2)
        adding_replicas: list[int] | None = array(int32, "0+", nullable="0+", default=None, tag=3)
        removing_replicas: list[int] | None = array(int32, "0+", nullable="0+", default=None, tag=4)
        directories: list[bytes] | None = array(uuid, "0+", nullable="0+", default=None, tag=5)

    class Partitions(Struct):
        topic_id: bytes = uuid("0+")
        partitions: bytes = octets("0+")

    changes: list[Change] = array("Change", "0+")


class RemoveTopicRecord(Message, versions="0", flexible="0+"):
    """A topic is gone, and its configs with it."""

    topic_id: bytes = uuid("0+")


class ConfigRecord(Message, versions="0", flexible="0+"):
    """Changes to the configs of one resource: a null value removes a config, others stay as they are."""

    class Change(Struct):
        name: str = string("0+")
        value: str | None = string("0+", nullable="0+", default=None)

    resource_type: int = int8("0+")
    resource_name: str = string("0+")
    changes: list[Change] = array("Change", "0+")

    @classmethod
    def of(cls, resource_type: int, name: str, changes: Mapping[str, str | None] | Mapping[str, str]) -> Self:
        return cls(
            resource_type=int(resource_type),
            resource_name=name,
            changes=[cls.Change(name=config, value=value) for config, value in changes.items()],
        )


class ProducerIdsRecord(Message, versions="0", flexible="0+"):
    """All producer ids below `next_producer_id` belong to somebody."""

    broker_id: int = int32("0+")
    next_producer_id: int = int64("0+")


class SnapshotRecord(Message, versions="0", flexible="0+"):
    """The head of a snapshot: the last entry that is in it. Never in the log."""

    applied_index: int = int64("0+")


Record = (
    SnapshotRecord
    | ClusterRecord
    | FeatureLevelRecord
    | RegisterBrokerRecord
    | UnregisterBrokerRecord
    | TopicRecord
    | PartitionsRecord
    | RemoveTopicRecord
    | ConfigRecord
    | ProducerIdsRecord
    | BrokerChangeRecord
    | PartitionChangesRecord
)

_CLASSES: Final[dict[int, type[Record]]] = {
    1: ClusterRecord,
    2: FeatureLevelRecord,
    3: RegisterBrokerRecord,
    4: UnregisterBrokerRecord,
    5: TopicRecord,
    6: PartitionsRecord,
    7: RemoveTopicRecord,
    8: ConfigRecord,
    9: ProducerIdsRecord,
    10: SnapshotRecord,
    11: BrokerChangeRecord,
    12: PartitionChangesRecord,
}
_TYPES: Final = {cls: number for number, cls in _CLASSES.items()}


@dataclass(frozen=True, slots=True)
class Result(Generic[R]):
    """What a pure operation of the controller returns: records to agree on, and the answer once they are.

    The operation itself changes nothing. Without records it answers from what was agreed on before it.
    """

    records: Sequence[Record]
    response: R


class FrameError(ValueError):
    """A frame that this version of the program cannot read: damaged, or written by a newer one."""


def encode_records(records: Iterable[Record]) -> bytes:
    """One frame."""
    frame = bytearray(EMPTY_FRAME)
    append_records(frame, records)
    return bytes(frame)


def append_records(frame: bytearray, records: Iterable[Record]) -> None:
    """Adds records to a frame, which starts as `EMPTY_FRAME`."""
    for record in records:
        body = encode_to_bytes(record, RECORD_VERSION)
        _write_varint(frame, _TYPES[type(record)])
        _write_varint(frame, RECORD_VERSION)
        _write_varint(frame, len(body))
        frame += body


def decode_records(frame: Buffer) -> list[Record]:
    """The records of a frame. Raises `FrameError`, or `DecodeError` for a damaged body."""
    if not frame or frame[0] != FRAME_FORMAT:
        raise FrameError(f"metadata frame of {len(frame)} bytes has an unknown format")
    records: list[Record] = []
    position, end = 1, len(frame)
    view = memoryview(frame)
    while position < end:
        number, position = _read_varint(view, position)
        version, position = _read_varint(view, position)
        length, position = _read_varint(view, position)
        cls = _CLASSES.get(number)
        if cls is None or version != RECORD_VERSION:
            raise FrameError(f"metadata record of type {number}, version {version} is not known here")
        if length > end - position:
            raise FrameError(f"metadata record of {length} bytes where {end - position} are left")
        records.append(decode_exactly(cls, version, view[position : position + length]))
        position += length
    return records


def _write_varint(out: bytearray, value: int) -> None:
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _read_varint(data: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(data) or shift > 63:
            raise FrameError("metadata frame ends inside a number")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
