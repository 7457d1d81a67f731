"""Produce.

Keys: 0. Versions: 3-13 (advertised from 0, KAFKA-18659).
Behaviour: one batch per partition; acks 0 gets no response, and closes the connection when it fails.
Version notes: 13 names topics by id in both directions; 10 tells who leads instead (KIP-951); 8 adds record errors;
5 the log start offset.
Not implemented: transactional batches (INVALID_TXN_STATE).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from odradek.node.app.context import RequestContext
from odradek.node.app.leader_hints import LeaderHints
from odradek.node.app.produce import ProduceCommand, ProducePartition, ProduceService, Records
from odradek.node.kafka_api.registry import CloseConnection, Route
from odradek.node.runtime.deferred import Deferred
from odradek.proto.kafka.api import ApiKey
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.produce import ProduceRequest, ProduceResponse
from odradek.storage.log import AppendResult

_LedElsewhere = list[tuple[int, ProduceResponse.PartitionProduceResponse]]

_FIRST_WITH_LEADER_HINTS = 10
_FIRST_WITH_TOPIC_IDS = 13


class ProduceHandlers:
    def __init__(
        self,
        service: ProduceService,
        resolve_topic: Callable[[bytes], str | None],
        hints: LeaderHints | None = None,
    ) -> None:
        self._service = service
        self._resolve_topic = resolve_topic
        self._hints = hints

    def routes(self) -> list[Route]:
        return [Route(ApiKey.PRODUCE, 3, 13, self.produce)]

    def produce(
        self, context: RequestContext, request: ProduceRequest, version: int
    ) -> Deferred[ProduceResponse] | Deferred[CloseConnection | None]:
        by_id = version >= _FIRST_WITH_TOPIC_IDS
        partitions: list[ProducePartition] = []
        unknown_ids: set[bytes] = set()
        for topic in request.topic_data:
            name = topic.name
            if by_id:
                # An id that names nothing becomes a name that names nothing; the answer says which it was.
                name = self._resolve_topic(topic.topic_id) or ""
                if not name:
                    unknown_ids.add(topic.topic_id)
            partitions += [
                ProducePartition(name, asked.index, cast(Records | None, asked.records))
                for asked in topic.partition_data
            ]
        command = ProduceCommand(
            request.acks, request.timeout_ms, version, partitions, request.transactional_id
        )
        answer = self._service.produce(context, command)
        if request.acks == 0:
            return answer.map(_nothing_or_close)

        def respond(results: list[AppendResult]) -> ProduceResponse:
            elsewhere: _LedElsewhere = []
            response = _response(request, results, unknown_ids, elsewhere)
            if elsewhere and version >= _FIRST_WITH_LEADER_HINTS and self._hints is not None:
                response.node_endpoints = _hint(self._hints, context, partitions, elsewhere)
            return response

        return answer.map(respond)


def _nothing_or_close(results: list[AppendResult]) -> CloseConnection | None:
    for result in results:
        if result.error is not ErrorCode.NONE:
            return CloseConnection(f"produce with acks=0 failed: {result.error.name}")
    return None


def _response(
    request: ProduceRequest,
    results: list[AppendResult],
    unknown_ids: set[bytes],
    elsewhere: _LedElsewhere,
) -> ProduceResponse:
    """`elsewhere` is filled with the places of partitions that are not led here, and their answers."""
    place = 0
    topics: list[ProduceResponse.TopicProduceResponse] = []
    for topic in request.topic_data:
        answers: list[ProduceResponse.PartitionProduceResponse] = []
        for asked in topic.partition_data:
            result = results[place]
            place += 1
            error = result.error
            if error is ErrorCode.NONE:
                answers.append(
                    ProduceResponse.PartitionProduceResponse(
                        index=asked.index,
                        base_offset=result.base_offset,
                        log_append_time_ms=result.log_append_time_ms,
                        log_start_offset=result.log_start_offset,
                    )
                )
            else:
                answers.append(_failure(asked.index, result, topic.topic_id in unknown_ids))
                if error is ErrorCode.NOT_LEADER_OR_FOLLOWER:
                    elsewhere.append((place - 1, answers[-1]))
        topics.append(
            ProduceResponse.TopicProduceResponse(
                name=topic.name, topic_id=topic.topic_id, partition_responses=answers
            )
        )
    return ProduceResponse(responses=topics)


def _hint(
    hints: LeaderHints,
    context: RequestContext,
    partitions: list[ProducePartition],
    elsewhere: _LedElsewhere,
) -> list[ProduceResponse.NodeEndpoint]:
    """Say who leads what is not led here; where those are."""
    endpoints: dict[int, ProduceResponse.NodeEndpoint] = {}
    for place, answer in elsewhere:
        asked = partitions[place]
        hint = hints.of(context, asked.topic, asked.index)
        if hint is None:
            continue
        answer.current_leader = ProduceResponse.LeaderIdAndEpoch(
            leader_id=hint.leader_id, leader_epoch=hint.leader_epoch
        )
        if hint.address is not None:
            endpoints[hint.leader_id] = ProduceResponse.NodeEndpoint(
                node_id=hint.leader_id,
                host=hint.address.host,
                port=hint.address.port,
                rack=hint.address.rack,
            )
    return list(endpoints.values())


def _failure(index: int, result: AppendResult, unknown_id: bool) -> ProduceResponse.PartitionProduceResponse:
    error = result.error
    if unknown_id:
        error = ErrorCode.UNKNOWN_TOPIC_ID
    return ProduceResponse.PartitionProduceResponse(
        index=index,
        error_code=error,
        base_offset=-1,
        log_start_offset=result.log_start_offset,
        record_errors=[
            ProduceResponse.BatchIndexAndErrorMessage(batch_index=at, batch_index_error_message=message)
            for at, message in result.record_errors
        ],
        error_message=result.error_message,
    )
