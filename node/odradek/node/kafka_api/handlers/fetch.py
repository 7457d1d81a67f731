"""Fetch.

Keys: 1. Versions: 4-18.
Behaviour: incremental sessions (KIP-227), long poll until min_bytes, at least one whole batch (KIP-74).
Version notes: 7 adds sessions, 9 the leader epoch, 12 is flexible, 13 names topics by id, 15 moves the replica id.
Not implemented: fetching replicas (no followers yet), preferred read replicas, tiered offsets.
"""

from __future__ import annotations

from odradek.node.app.context import RequestContext
from odradek.node.app.fetch import (
    FetchCommand,
    FetchedPartition,
    FetchResult,
    FetchService,
    no_aborted_transactions,
)
from odradek.node.kafka_api.registry import Route
from odradek.node.partition.fetch_session import FetchPartition, Key
from odradek.node.runtime.deferred import Deferred
from odradek.proto.kafka.api import ApiKey
from odradek.proto.kafka.messages.fetch import FetchRequest, FetchResponse

_FIRST_WITH_RACK = 11
_FIRST_WITH_TOPIC_IDS = 13
_FIRST_WITH_REPLICA_STATE = 15


class FetchHandlers:
    def __init__(self, service: FetchService) -> None:
        self._service = service

    def routes(self) -> list[Route]:
        return [Route(ApiKey.FETCH, 4, 18, self.fetch)]

    def fetch(self, context: RequestContext, request: FetchRequest, version: int) -> Deferred[FetchResponse]:
        by_id = version >= _FIRST_WITH_TOPIC_IDS
        asked: list[tuple[Key, FetchPartition]] = [
            (
                (topic.topic_id if by_id else topic.topic, partition.partition),
                FetchPartition(
                    topic.topic,
                    topic.topic_id,
                    partition.partition,
                    partition.fetch_offset,
                    partition.partition_max_bytes,
                    partition.current_leader_epoch,
                    partition.last_fetched_epoch,
                    partition.log_start_offset,
                ),
            )
            for topic in request.topics
            for partition in topic.partitions
        ]
        forgotten: list[Key] = [
            (topic.topic_id if by_id else topic.topic, index)
            for topic in request.forgotten_topics_data
            for index in topic.partitions
        ]
        state = request.replica_state
        command = FetchCommand(
            replica_id=state.replica_id if version >= _FIRST_WITH_REPLICA_STATE else request.replica_id,
            max_wait_ms=request.max_wait_ms,
            min_bytes=request.min_bytes,
            max_bytes=request.max_bytes,
            isolation_level=request.isolation_level,
            session_id=request.session_id,
            session_epoch=request.session_epoch,
            partitions=asked,
            forgotten=forgotten,
            uses_topic_ids=by_id,
            replica_epoch=state.replica_epoch,
            rack_id=request.rack_id,
            may_read_followers=version >= _FIRST_WITH_RACK,
        )
        isolation_level = request.isolation_level
        return self._service.fetch(context, command).map(lambda result: _response(result, isolation_level))


def _response(result: FetchResult, isolation_level: int) -> FetchResponse:
    topics: list[FetchResponse.FetchableTopicResponse] = []
    last: FetchResponse.FetchableTopicResponse | None = None
    for answer in result.partitions:
        asked = answer.asked
        if last is None or last.topic_id != asked.topic_id or last.topic != asked.topic:
            last = FetchResponse.FetchableTopicResponse(
                topic=asked.topic, topic_id=asked.topic_id, partitions=[]
            )
            topics.append(last)
        last.partitions.append(_partition(answer, isolation_level))
    return FetchResponse(error_code=result.error, session_id=result.session_id, responses=topics)


def _partition(answer: FetchedPartition, isolation_level: int) -> FetchResponse.PartitionData:
    data = FetchResponse.PartitionData(
        partition_index=answer.asked.index,
        error_code=answer.error,
        high_watermark=answer.high_watermark,
        last_stable_offset=answer.last_stable_offset,
        log_start_offset=answer.log_start_offset,
        aborted_transactions=no_aborted_transactions(isolation_level),
        preferred_read_replica=answer.preferred_read_replica,
        records=answer.records,
    )
    if answer.diverging is not None:
        epoch, end_offset = answer.diverging
        data.diverging_epoch = FetchResponse.EpochEndOffset(epoch=epoch, end_offset=end_offset)
    return data
