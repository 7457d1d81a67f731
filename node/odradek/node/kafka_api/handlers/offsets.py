"""Committed offsets.

Keys: 8 OffsetCommit, 9 OffsetFetch, 47 OffsetDelete.
Versions: OffsetCommit 2-10, OffsetFetch 1-10, OffsetDelete 0.
Behaviour: a commit is answered once it is in the coordinator's log; a fetch sees committed offsets only, and
a group or partition without any has offset -1 and no error. Version notes: OffsetCommit 2-4 bring their own
retention; from 9 a missing group is GROUP_ID_NOT_FOUND, before it is a stale generation; from 10 topics are
named by id. OffsetFetch from 2 takes null topics for all and has an error for the whole group, before that
error stands in every partition; from 8 it asks for several groups; from 10 topics are named by id. Not
implemented: transactional offsets, so `require_stable` never has to wait; member epochs (OffsetFetch 9).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from odradek.node.app.context import RequestContext
from odradek.node.app.offsets import (
    CommitCommand,
    FetchedGroup,
    OffsetsService,
    PartitionToCommit,
    TopicToCommit,
    TopicToFetch,
)
from odradek.node.coordinator.group.commands import DeleteOffsetsResult
from odradek.node.kafka_api.registry import Route
from odradek.node.runtime.deferred import Deferred
from odradek.proto.kafka.api import ApiKey
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.offsets import (
    OffsetCommitRequest,
    OffsetCommitResponse,
    OffsetDeleteRequest,
    OffsetDeleteResponse,
    OffsetFetchRequest,
    OffsetFetchResponse,
)

_FIRST_WITH_GROUPS = 8
_FIRST_WITH_TOPIC_IDS = 10
_ZERO_ID = bytes(16)


class OffsetsHandlers:
    def __init__(self, offsets: OffsetsService) -> None:
        self._offsets = offsets

    def routes(self) -> list[Route]:
        return [
            Route(ApiKey.OFFSET_COMMIT, 2, 10, self.offset_commit),
            Route(ApiKey.OFFSET_FETCH, 1, 10, self.offset_fetch),
            Route(ApiKey.OFFSET_DELETE, 0, 0, self.offset_delete),
        ]

    def offset_commit(
        self, context: RequestContext, request: OffsetCommitRequest, version: int
    ) -> Deferred[OffsetCommitResponse]:
        command = CommitCommand(
            request.group_id,
            request.generation_id_or_member_epoch,
            request.member_id,
            request.group_instance_id,
            [
                TopicToCommit(
                    topic.name,
                    topic.topic_id,
                    [
                        PartitionToCommit(
                            p.partition_index,
                            p.committed_offset,
                            p.committed_leader_epoch,
                            p.committed_metadata or "",
                        )
                        for p in topic.partitions
                    ],
                )
                for topic in request.topics
            ],
            by_id=version >= _FIRST_WITH_TOPIC_IDS,
            retention_ms=request.retention_time_ms,
            strict=version >= 9,
        )
        return self._offsets.commit(command).map(lambda errors: _committed(request, errors))

    async def offset_fetch(
        self, context: RequestContext, request: OffsetFetchRequest, version: int
    ) -> OffsetFetchResponse:
        if version < _FIRST_WITH_GROUPS:
            asked = request.topics
            topics = (
                None
                if asked is None
                else [TopicToFetch(t.name, _ZERO_ID, t.partition_indexes) for t in asked]
            )
            group = await self._offsets.fetch(request.group_id, topics)
            return _one_group(group, topics or (), version)
        by_id = version >= _FIRST_WITH_TOPIC_IDS
        asked_groups = []
        for asked_group in request.groups:
            wanted = asked_group.topics
            topics = (
                None
                if wanted is None
                else [TopicToFetch(t.name, t.topic_id, t.partition_indexes) for t in wanted]
            )
            asked_groups.append(self._offsets.fetch(asked_group.group_id, topics, by_id))
        # Why together: the coordinator asks once for all of them whether it still is one.
        return OffsetFetchResponse(groups=[_group(group) for group in await asyncio.gather(*asked_groups)])

    async def offset_delete(
        self, context: RequestContext, request: OffsetDeleteRequest, version: int
    ) -> OffsetDeleteResponse:
        asked = [(topic.name, p.partition_index) for topic in request.topics for p in topic.partitions]
        return _deleted(request, await self._offsets.delete(request.group_id, asked))


def _committed(request: OffsetCommitRequest, errors: list[ErrorCode]) -> OffsetCommitResponse:
    error = iter(errors)
    return OffsetCommitResponse(
        topics=[
            OffsetCommitResponse.OffsetCommitResponseTopic(
                name=topic.name,
                topic_id=topic.topic_id,
                partitions=[
                    OffsetCommitResponse.OffsetCommitResponsePartition(
                        partition_index=p.partition_index, error_code=next(error)
                    )
                    for p in topic.partitions
                ],
            )
            for topic in request.topics
        ]
    )


def _group(group: FetchedGroup) -> OffsetFetchResponse.OffsetFetchResponseGroup:
    return OffsetFetchResponse.OffsetFetchResponseGroup(
        group_id=group.group_id,
        error_code=group.error,
        topics=[
            OffsetFetchResponse.OffsetFetchResponseTopics(
                name=topic.name,
                topic_id=topic.topic_id,
                partitions=[
                    OffsetFetchResponse.OffsetFetchResponsePartitions(
                        partition_index=p.partition,
                        committed_offset=p.offset,
                        committed_leader_epoch=p.leader_epoch,
                        metadata=p.metadata,
                        error_code=p.error,
                    )
                    for p in topic.partitions
                ],
            )
            for topic in group.topics
        ],
    )


def _one_group(group: FetchedGroup, asked: Sequence[TopicToFetch], version: int) -> OffsetFetchResponse:
    if group.error is not ErrorCode.NONE and version < 2:
        return OffsetFetchResponse(
            topics=[
                OffsetFetchResponse.OffsetFetchResponseTopic(
                    name=topic.name,
                    partitions=[
                        OffsetFetchResponse.OffsetFetchResponsePartition(
                            partition_index=partition,
                            committed_offset=-1,
                            metadata="",
                            error_code=group.error,
                        )
                        for partition in topic.partitions
                    ],
                )
                for topic in asked
            ]
        )
    return OffsetFetchResponse(
        error_code=group.error,
        topics=[
            OffsetFetchResponse.OffsetFetchResponseTopic(
                name=topic.name,
                partitions=[
                    OffsetFetchResponse.OffsetFetchResponsePartition(
                        partition_index=p.partition,
                        committed_offset=p.offset,
                        committed_leader_epoch=p.leader_epoch,
                        metadata=p.metadata,
                        error_code=p.error,
                    )
                    for p in topic.partitions
                ],
            )
            for topic in group.topics
        ],
    )


def _deleted(request: OffsetDeleteRequest, result: DeleteOffsetsResult) -> OffsetDeleteResponse:
    if result.error is not ErrorCode.NONE:
        return OffsetDeleteResponse(error_code=result.error)
    error = iter(result.errors)
    return OffsetDeleteResponse(
        topics=[
            OffsetDeleteResponse.OffsetDeleteResponseTopic(
                name=topic.name,
                partitions=[
                    OffsetDeleteResponse.OffsetDeleteResponsePartition(
                        partition_index=p.partition_index, error_code=next(error)
                    )
                    for p in topic.partitions
                ],
            )
            for topic in request.topics
        ]
    )
