"""What the patterns need of a cluster, as ports: to write, to read, and to know where partitions end.

Decides: how a pattern opens a producer or a consumer of its own. Every pattern takes `servers`: "host:port,...", or
anything that is a `Log`: a `Cluster` with settings of one's own, or a log in memory in a test.

    queue = WorkQueue(Cluster("localhost:50051", producer={"compression": "zstd"}), "emails", "mailers", handler)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, Unpack, cast

from odradek.client.errors import TopicExistsError, UnknownTopicError
from odradek.client.records import ConsumerRecord, Headers, Position, RecordMetadata, TopicPartition

if TYPE_CHECKING:
    from odradek.client.consumer import ConsumerSettings
    from odradek.client.producer import ProducerSettings

_POLL_MS: Final = 200
_QUIET_POLLS: Final = 150


class Writer(Protocol):
    """What a pattern uses of `Producer`."""

    async def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        *,
        headers: Headers = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> asyncio.Future[RecordMetadata]: ...

    async def publish(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        *,
        headers: Headers = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> RecordMetadata: ...


class Reader(Protocol):
    """What a pattern uses of `Consumer`."""

    def __aiter__(self) -> AsyncIterator[ConsumerRecord]: ...
    async def poll(self, max_records: int = 500, timeout_ms: int = 1000) -> list[ConsumerRecord]: ...
    def acknowledge(self, record: ConsumerRecord) -> None: ...
    async def commit(self, offsets: Mapping[TopicPartition, int] | None = None) -> None: ...
    @property
    def assignment(self) -> frozenset[TopicPartition]: ...
    def position(self, tp: TopicPartition) -> int: ...


class Bounds(NamedTuple):
    """Of a partition: the oldest offset that is kept, and the one that the next record gets."""

    start: int
    end: int


class Log(Protocol):
    """A cluster, as patterns see it."""

    def writer(self) -> AbstractAsyncContextManager[Writer]: ...

    def reader(self, **settings: Unpack[ConsumerSettings]) -> AbstractAsyncContextManager[Reader]: ...

    async def create_topic(
        self, topic: str, *, partition_count: int | None = None, configs: Mapping[str, str] | None = None
    ) -> None:
        """Nothing if it is there already, whatever its settings."""

    async def bounds(self, topic: str) -> dict[TopicPartition, Bounds]:
        """Of all partitions. UnknownTopicError."""


class Cluster:
    """The `Log` behind an address. `producer` and `consumer`: settings for all that a pattern opens here."""

    def __init__(
        self,
        servers: str,
        *,
        producer: ProducerSettings | None = None,
        consumer: ConsumerSettings | None = None,
    ) -> None:
        self._servers = servers
        self._producer: ProducerSettings = producer or {}
        self._consumer: ConsumerSettings = consumer or {}

    def writer(self) -> AbstractAsyncContextManager[Writer]:
        from odradek.client.producer import Producer

        return Producer(self._servers, **self._producer)

    def reader(self, **settings: Unpack[ConsumerSettings]) -> AbstractAsyncContextManager[Reader]:
        from odradek.client.consumer import Consumer

        return Consumer(self._servers, **cast("ConsumerSettings", {**self._consumer, **settings}))

    async def create_topic(
        self, topic: str, *, partition_count: int | None = None, configs: Mapping[str, str] | None = None
    ) -> None:
        from odradek.client.admin import Admin

        async with Admin(self._servers) as admin:
            # To ask may be repeated until a node answers; to create may not.
            try:
                await admin.get_topic(topic)
            except UnknownTopicError:
                with suppress(TopicExistsError):
                    await admin.create_topic(topic, partition_count=partition_count, configs=configs)

    async def bounds(self, topic: str) -> dict[TopicPartition, Bounds]:
        from odradek.client.admin import Admin

        async with Admin(self._servers) as admin:
            count = (await admin.get_topic(topic)).partition_count
            partitions = [TopicPartition(topic, partition) for partition in range(count)]
            starts = await admin.list_offsets(dict.fromkeys(partitions, Position.earliest()))
            ends = await admin.list_offsets(dict.fromkeys(partitions, Position.latest()))
        return {tp: Bounds(starts[tp], ends[tp]) for tp in partitions}


def log_of(servers: str | Log) -> Log:
    return Cluster(servers) if isinstance(servers, str) else servers


async def read_to(reader: Reader, ends: Mapping[TopicPartition, int]) -> AsyncIterator[list[ConsumerRecord]]:
    """All records up to these offsets (and maybe a few behind them), as they come.

    TimeoutError: none came for half a minute, although the log said that there are more.
    """
    quiet = 0
    while not all(tp in reader.assignment and reader.position(tp) >= end for tp, end in ends.items()):
        records = await reader.poll(timeout_ms=_POLL_MS)
        quiet = 0 if records else quiet + 1
        if records:
            yield records
        elif quiet >= _QUIET_POLLS:
            places = {tp: reader.position(tp) for tp in ends if tp in reader.assignment}
            raise TimeoutError(f"no more records come: read up to {places} of {dict(ends)}")
