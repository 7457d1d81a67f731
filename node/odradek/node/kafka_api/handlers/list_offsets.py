"""ListOffsets, OffsetForLeaderEpoch.

Keys: 2, 23. Versions: 1-11, 2-4.
Behaviour: by timestamp or by special position; fencing by current leader epoch.
Version notes: OFFSET_NOT_AVAILABLE is known from ListOffsets 5 on; special position -3 needs ListOffsets 7, -4 needs 8,
-5 needs 9, -6 needs 11.
Not implemented: tiered storage, so -5 and -6 find nothing.
"""

from __future__ import annotations

from odradek.node.app.context import RequestContext
from odradek.node.app.list_offsets import (
    EARLIEST_LOCAL,
    EARLIEST_PENDING_UPLOAD,
    LATEST_TIERED,
    MAX_TIMESTAMP,
    ListedOffset,
    ListOffsetsService,
)
from odradek.node.kafka_api.registry import Route
from odradek.proto.kafka.api import ApiKey
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.list_offsets import (
    ListOffsetsRequest,
    ListOffsetsResponse,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
)

_FIRST_WITH_NOT_AVAILABLE = 5
_FIRST_VERSION_OF = {MAX_TIMESTAMP: 7, EARLIEST_LOCAL: 8, LATEST_TIERED: 9, EARLIEST_PENDING_UPLOAD: 11}


class ListOffsetsHandlers:
    def __init__(self, service: ListOffsetsService) -> None:
        self._service = service

    def routes(self) -> list[Route]:
        return [
            Route(ApiKey.LIST_OFFSETS, 1, 11, self.list_offsets),
            Route(ApiKey.OFFSET_FOR_LEADER_EPOCH, 2, 4, self.offset_for_leader_epoch),
        ]

    def list_offsets(
        self, context: RequestContext, request: ListOffsetsRequest, version: int
    ) -> ListOffsetsResponse:
        asked = [(topic.name, at.partition_index) for topic in request.topics for at in topic.partitions]
        twice = {key for key in asked if asked.count(key) > 1} if len(set(asked)) < len(asked) else set()
        topics: list[ListOffsetsResponse.ListOffsetsTopicResponse] = []
        for topic in request.topics:
            answers: list[ListOffsetsResponse.ListOffsetsPartitionResponse] = []
            for at in topic.partitions:
                if (topic.name, at.partition_index) in twice:
                    found = ListedOffset(ErrorCode.INVALID_REQUEST)
                elif at.timestamp < EARLIEST_PENDING_UPLOAD or version < _FIRST_VERSION_OF.get(
                    at.timestamp, 0
                ):
                    found = ListedOffset(ErrorCode.UNSUPPORTED_VERSION)
                else:
                    found = self._service.list_offset(
                        topic.name,
                        at.partition_index,
                        at.timestamp,
                        at.current_leader_epoch,
                        request.isolation_level,
                        is_replica=request.replica_id >= 0,
                    )
                error = found.error
                if error is ErrorCode.OFFSET_NOT_AVAILABLE and version < _FIRST_WITH_NOT_AVAILABLE:
                    error = ErrorCode.LEADER_NOT_AVAILABLE
                answers.append(
                    ListOffsetsResponse.ListOffsetsPartitionResponse(
                        partition_index=at.partition_index,
                        error_code=error,
                        timestamp=found.timestamp,
                        offset=found.offset,
                        leader_epoch=found.leader_epoch,
                    )
                )
            topics.append(ListOffsetsResponse.ListOffsetsTopicResponse(name=topic.name, partitions=answers))
        return ListOffsetsResponse(topics=topics)

    def offset_for_leader_epoch(
        self, context: RequestContext, request: OffsetForLeaderEpochRequest, version: int
    ) -> OffsetForLeaderEpochResponse:
        topics: list[OffsetForLeaderEpochResponse.OffsetForLeaderTopicResult] = []
        for topic in request.topics:
            answers: list[OffsetForLeaderEpochResponse.EpochEndOffset] = []
            for at in topic.partitions:
                error, epoch, end_offset = self._service.end_of_epoch(
                    topic.topic, at.partition, at.leader_epoch, at.current_leader_epoch
                )
                answers.append(
                    OffsetForLeaderEpochResponse.EpochEndOffset(
                        partition=at.partition, error_code=error, leader_epoch=epoch, end_offset=end_offset
                    )
                )
            topics.append(
                OffsetForLeaderEpochResponse.OffsetForLeaderTopicResult(topic=topic.topic, partitions=answers)
            )
        return OffsetForLeaderEpochResponse(topics=topics)
