"""What every door of a node can do, in one interface, so that a behaviour is written once and tested at each.

Errors are Kafka's names everywhere, "NONE" where there is none. Record batches are made by kafka-python where it can,
so that a fault of the product's own codec does not hide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from kafka.record.default_records import DefaultRecordBatchBuilder

from odradek.proto.kafka.record_batch import Record, build_batch, iter_headers, iter_records

NOW_MS = 1_700_000_000_000
CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
EARLIEST, LATEST = "earliest", "latest"
TopicPartition = tuple[str, int]


class Sender(NamedTuple):
    """An idempotent producer's mark on a batch."""

    producer_id: int
    epoch: int
    sequence: int


class Written(NamedTuple):
    error: str
    offset: int = -1
    append_time_ms: int = -1


class Fetched(NamedTuple):
    error: str
    high_watermark: int = -1
    log_start_offset: int = -1
    batches: bytes = b""

    @property
    def records(self) -> list[Record]:
        return [record for at, _ in iter_headers(self.batches) for record in iter_records(self.batches, at)]


class Listed(NamedTuple):
    error: str
    offset: int = -1
    timestamp_ms: int = -1


class GroupMember(NamedTuple):
    client_id: str
    instance_id: str
    partitions: tuple[TopicPartition, ...]


class GroupView(NamedTuple):
    error: str
    state: str = ""
    members: tuple[GroupMember, ...] = ()

    @property
    def owners(self) -> dict[TopicPartition, str]:
        """Client ids by partition."""
        return {key: member.client_id for member in self.members for key in member.partitions}


class Door(Protocol):
    """One way into a node. Partition errors and refused calls look alike: Kafka's name."""

    name: str

    async def produce(self, topic: str, partition: int, batch: bytes, acks: int = -1) -> Written: ...
    async def fetch(
        self,
        topic: str,
        partition: int,
        offset: int,
        *,
        leader_epoch: int = -1,
        max_bytes: int = 1 << 20,
        max_wait_ms: int = 0,
    ) -> Fetched: ...
    async def list_offset(
        self, topic: str, partition: int, at: str | int, leader_epoch: int = -1
    ) -> Listed: ...
    async def partition_count(self, topic: str) -> int | str:
        """Or the error."""
        ...

    async def producer_id(self) -> tuple[int, int]: ...
    async def create_topic(
        self, topic: str, count: int = 1, configs: Mapping[str, str] | None = None
    ) -> str: ...
    async def delete_topic(self, topic: str) -> str: ...
    async def grow_topic(self, topic: str, count: int) -> str: ...
    async def delete_records(self, topic: str, partition: int, before: int) -> str: ...
    async def configs(self, topic: str) -> dict[str, str | None]: ...
    async def set_config(self, topic: str, name: str, value: str) -> str: ...
    async def commit(
        self, group: str, offsets: Mapping[TopicPartition, int], metadata: str = ""
    ) -> dict[TopicPartition, str]:
        """As somebody who is no member."""
        ...

    async def committed(self, group: str) -> dict[TopicPartition, tuple[int, str]]: ...
    async def describe(self, group: str) -> GroupView: ...
    async def delete_group(self, group: str) -> str: ...
    async def close(self) -> None: ...


def batch_of(records: Sequence[Record], codec: str = "none", sender: Sender | None = None) -> bytes:
    """A batch by kafka-python, or, where it has no library for the codec, by us."""
    producer_id, epoch, sequence = sender or Sender(-1, -1, -1)
    if codec == "snappy":
        return bytes(
            build_batch(
                [record._replace(offset=at) for at, record in enumerate(records)],
                codec=CODECS[codec],
                producer_id=producer_id,
                producer_epoch=epoch,
                base_sequence=sequence,
            )
        )
    make: Any = DefaultRecordBatchBuilder
    builder = make(
        magic=2,
        compression_type=CODECS[codec],
        is_transactional=False,
        producer_id=producer_id,
        producer_epoch=epoch,
        base_sequence=sequence,
        batch_size=1 << 30,
    )
    for at, record in enumerate(records):
        assert builder.append(at, record.timestamp, record.key, record.value, list(record.headers))
    return bytes(builder.build())


def values(*contents: bytes, timestamp_ms: int = NOW_MS) -> list[Record]:
    """Records with nothing but a value."""
    return [Record(0, timestamp_ms, None, content, ()) for content in contents]
