"""Partitions wherever they are led: written, read and looked up here, or at the node that leads them.

For use cases that any node serves. Decides only where to ask; what came of it is the caller's. A node that cannot be
reached is NETWORK_EXCEPTION: whether it carried the request out is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from odradek.node.app.context import RequestContext
from odradek.node.app.elsewhere import Elsewhere
from odradek.node.app.fetch import FetchCommand, FetchedPartition, FetchResult, FetchService
from odradek.node.app.list_offsets import ListedOffset, ListOffsetsService
from odradek.node.app.produce import ProduceCommand, ProducePartition, ProduceService
from odradek.node.controller.image import MetadataImage
from odradek.node.partition.fetch_session import SESSIONLESS_EPOCH, FetchPartition
from odradek.node.runtime.deferred import Deferred
from odradek.proto.kafka.errors import ErrorCode
from odradek.storage.append_result import AppendResult

PRODUCE_VERSION = 12
"""Of the rules of Kafka's Produce that batches are held to, here as elsewhere."""


class Leaders:
    def __init__(
        self,
        node_id: int,
        image: Callable[[], MetadataImage],
        produce: ProduceService,
        fetch: FetchService,
        list_offsets: ListOffsetsService,
        elsewhere: Elsewhere,
    ) -> None:
        self.node_id = node_id
        self._image = image
        self._produce = produce
        self._fetch = fetch
        self._list_offsets = list_offsets
        self._elsewhere = elsewhere

    @property
    def image(self) -> MetadataImage:
        return self._image()

    def leader_of(self, topic: str, partition: int) -> int | None:
        """None: nobody leads it, or there is no such partition."""
        place = self._image().partition(topic, partition)
        return None if place is None or place.leader < 0 else place.leader

    def leader_epoch_of(self, topic: str, partition: int) -> int:
        """What a fetch names, so that no node answers that takes another one for the leader: one that is behind would
        say that an offset does not exist. -1: there is no such partition."""
        place = self._image().partition(topic, partition)
        return -1 if place is None else place.leader_epoch

    async def produce(
        self,
        context: RequestContext,
        topic: str,
        partition: int,
        batch: bytearray,
        acks: int,
        timeout_ms: int,
    ) -> AppendResult:
        leader = self.leader_of(topic, partition)
        if leader is None:
            return AppendResult(self._missing(topic, partition))
        if leader == self.node_id:
            command = ProduceCommand(
                acks, timeout_ms, PRODUCE_VERSION, (ProducePartition(topic, partition, batch),)
            )
            return (await self._produce.produce(context, command).wait())[0]
        try:
            return await self._elsewhere.produce(leader, topic, partition, batch, acks, timeout_ms)
        except (ConnectionError, TimeoutError) as error:
            return AppendResult(ErrorCode.NETWORK_EXCEPTION, error_message=f"node {leader}: {error}")

    def fetch_here(
        self,
        context: RequestContext,
        asked: Sequence[FetchPartition],
        *,
        max_bytes: int,
        max_wait_ms: int,
        isolation_level: int,
    ) -> Deferred[FetchResult]:
        command = FetchCommand(
            replica_id=-1,
            max_wait_ms=max_wait_ms,
            min_bytes=1,
            max_bytes=max_bytes,
            isolation_level=isolation_level,
            session_id=0,
            session_epoch=SESSIONLESS_EPOCH,
            partitions=[((one.topic, one.index), one) for one in asked],
        )
        return self._fetch.fetch(context, command)

    async def fetch_elsewhere(
        self,
        node_id: int,
        asked: Sequence[FetchPartition],
        *,
        max_bytes: int,
        max_wait_ms: int,
        isolation_level: int,
    ) -> list[FetchedPartition]:
        try:
            return await self._elsewhere.fetch(
                node_id,
                asked,
                max_bytes=max_bytes,
                max_wait_ms=max_wait_ms,
                isolation_level=isolation_level,
            )
        except (ConnectionError, TimeoutError):
            return [FetchedPartition(one, ErrorCode.NETWORK_EXCEPTION) for one in asked]

    async def list_offset(
        self, topic: str, partition: int, timestamp: int, isolation_level: int
    ) -> ListedOffset:
        """At the leader; see `ListOffsetsService.list_offset`."""
        leader = self.leader_of(topic, partition)
        if leader is None:
            return ListedOffset(self._missing(topic, partition))
        if leader == self.node_id:
            return self._list_offsets.list_offset(topic, partition, timestamp, -1, isolation_level)
        try:
            return await self._elsewhere.list_offset(leader, topic, partition, timestamp, isolation_level)
        except (ConnectionError, TimeoutError):
            return ListedOffset(ErrorCode.NETWORK_EXCEPTION)

    def _missing(self, topic: str, partition: int) -> ErrorCode:
        if self._image().partition(topic, partition) is None:
            return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        return ErrorCode.LEADER_NOT_AVAILABLE
