"""Fetch.

Keys: 1. Versions: 4-18.
Behaviour: incremental sessions (KIP-227), long poll until min_bytes, at least one whole batch (KIP-74).
Version notes: 7 adds sessions, 9 the leader epoch, 11 racks (KIP-392), 12 is flexible, 13 names topics by id,
15 moves the replica id, 16 tells who leads instead (KIP-951).
Not implemented: tiered offsets.
"""

from __future__ import annotations

from collections.abc import Callable

from odradek.node.app.context import RequestContext
from odradek.node.app.fetch import (
    FetchCommand,
    FetchedPartition,
    FetchResult,
    FetchService,
    no_aborted_transactions,
)
from odradek.node.app.leader_hints import LeaderHints
from odradek.node.kafka_api.registry import Route
from odradek.node.partition.fetch_session import FetchPartition, Key
from odradek.node.runtime.deferred import Deferred
from odradek.proto.kafka.api import ApiKey
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.fetch import FetchRequest, FetchResponse

_FIRST_WITH_RACK = 11
_FIRST_WITH_TOPIC_IDS = 13
_FIRST_WITH_REPLICA_STATE = 15
_FIRST_WITH_LEADER_HINTS = 16
_LED_ELSEWHERE = frozenset((ErrorCode.NOT_LEADER_OR_FOLLOWER, ErrorCode.FENCED_LEADER_EPOCH))


class FetchHandlers:
    def __init__(
        self,
        service: FetchService,
        resolve_topic: Callable[[bytes], str | None] | None = None,
        hints: LeaderHints | None = None,
    ) -> None:
        self._service = service
        self._resolve_topic = resolve_topic
        self._hints = hints

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
        has_hints = version >= _FIRST_WITH_LEADER_HINTS and self._hints is not None

        def respond(result: FetchResult) -> FetchResponse:
            response = _response(result, isolation_level)
            if has_hints and any(answer.error in _LED_ELSEWHERE for answer in result.partitions):
                self._hint(context, response)
            return response

        return self._service.fetch(context, command).map(respond)

    def _hint(self, context: RequestContext, response: FetchResponse) -> None:
        """Say who leads what is not led here."""
        assert self._hints is not None
        endpoints: dict[int, FetchResponse.NodeEndpoint] = {}
        for topic in response.responses:
            name = None if self._resolve_topic is None else self._resolve_topic(topic.topic_id)
            for answer in topic.partitions:
                if answer.error_code not in _LED_ELSEWHERE or name is None:
                    continue
                hint = self._hints.of(context, name, answer.partition_index)
                if hint is None:
                    continue
                answer.current_leader = FetchResponse.LeaderIdAndEpoch(
                    leader_id=hint.leader_id, leader_epoch=hint.leader_epoch
                )
                if hint.address is not None:
                    endpoints[hint.leader_id] = FetchResponse.NodeEndpoint(
                        node_id=hint.leader_id,
                        host=hint.address.host,
                        port=hint.address.port,
                        rack=hint.address.rack,
                    )
        response.node_endpoints = list(endpoints.values())


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
