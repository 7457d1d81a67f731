"""DeleteRecords, DescribeProducers.

Keys: 21, 61. Versions: 0-2, 0.
Behaviour: DeleteRecords to -1 means the high watermark, and waits for the live followers; a compacted topic refuses
it (POLICY_VIOLATION).
Version notes: none. Not implemented: nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from odradek.node.app.context import RequestContext
from odradek.node.app.records import Deletion, RecordsService
from odradek.node.kafka_api.registry import Route
from odradek.node.runtime.deferred import Deferred
from odradek.proto.kafka.api import ApiKey
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.topics import DeleteRecordsRequest, DeleteRecordsResponse
from odradek.proto.kafka.messages.transactions import DescribeProducersRequest, DescribeProducersResponse


class RecordsHandlers:
    def __init__(self, service: RecordsService) -> None:
        self._service = service

    def routes(self) -> list[Route]:
        return [
            Route(ApiKey.DELETE_RECORDS, 0, 2, self.delete_records),
            Route(ApiKey.DESCRIBE_PRODUCERS, 0, 0, self.describe_producers),
        ]

    def delete_records(
        self, context: RequestContext, request: DeleteRecordsRequest, version: int
    ) -> DeleteRecordsResponse | Awaitable[DeleteRecordsResponse]:
        deletions = [
            self._service.delete_records(topic.name, at.partition_index, at.offset)
            for topic in request.topics
            for at in topic.partitions
        ]
        if all(deletion.done for deletion in deletions):
            return _deleted(request, deletions)
        return _when_deleted(request, deletions)

    def describe_producers(
        self, context: RequestContext, request: DescribeProducersRequest, version: int
    ) -> DescribeProducersResponse:
        return DescribeProducersResponse(
            topics=[
                DescribeProducersResponse.TopicResponse(
                    name=topic.name,
                    partitions=[self._producers(topic.name, index) for index in topic.partition_indexes],
                )
                for topic in request.topics
            ]
        )

    def _producers(self, topic: str, index: int) -> DescribeProducersResponse.PartitionResponse:
        active = self._service.producers(topic, index)
        if isinstance(active, ErrorCode):
            return DescribeProducersResponse.PartitionResponse(partition_index=index, error_code=active)
        return DescribeProducersResponse.PartitionResponse(
            partition_index=index,
            active_producers=[
                DescribeProducersResponse.ProducerState(
                    producer_id=producer.producer_id,
                    producer_epoch=producer.producer_epoch,
                    last_sequence=producer.last_sequence,
                    last_timestamp=producer.last_timestamp,
                    coordinator_epoch=producer.coordinator_epoch,
                    current_txn_start_offset=producer.current_txn_start_offset,
                )
                for producer in active
            ],
        )


async def _when_deleted(
    request: DeleteRecordsRequest, deletions: list[Deferred[Deletion]]
) -> DeleteRecordsResponse:
    """The answer when all replicas have followed, or the time is up."""
    try:
        async with asyncio.timeout(request.timeout_ms / 1000):
            for deletion in deletions:
                await deletion.wait()
    except TimeoutError:
        for deletion in deletions:
            deletion.abandon()
    return _deleted(request, deletions)


def _deleted(request: DeleteRecordsRequest, deletions: list[Deferred[Deletion]]) -> DeleteRecordsResponse:
    place = iter(deletions)
    topics: list[DeleteRecordsResponse.DeleteRecordsTopicResult] = []
    for topic in request.topics:
        answers: list[DeleteRecordsResponse.DeleteRecordsPartitionResult] = []
        for at in topic.partitions:
            deletion = next(place)
            error, low_watermark = deletion.value if deletion.done else (ErrorCode.REQUEST_TIMED_OUT, -1)
            answers.append(
                DeleteRecordsResponse.DeleteRecordsPartitionResult(
                    partition_index=at.partition_index, low_watermark=low_watermark, error_code=error
                )
            )
        topics.append(DeleteRecordsResponse.DeleteRecordsTopicResult(name=topic.name, partitions=answers))
    return DeleteRecordsResponse(topics=topics)
