"""AlterPartitionReassignments, ListPartitionReassignments.

Keys: 45, 46. Versions: 0-1, 0. Behaviour: every partition moves, or is refused, alone; null replicas give up a move
under way. Version notes: 45 from 1 can forbid another number of replicas, and its answer repeats that. Not
implemented: nothing.
"""

from __future__ import annotations

from odradek.node.app.context import RequestContext
from odradek.node.app.reassignments import Move, ReassignmentsService
from odradek.node.kafka_api.registry import Route
from odradek.proto.kafka.api import ApiKey
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.reassignment import (
    AlterPartitionReassignmentsRequest,
    AlterPartitionReassignmentsResponse,
    ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsResponse,
)


class ReassignmentHandlers:
    def __init__(self, service: ReassignmentsService) -> None:
        self._service = service

    def routes(self) -> list[Route]:
        alter, list_ = ApiKey.ALTER_PARTITION_REASSIGNMENTS, ApiKey.LIST_PARTITION_REASSIGNMENTS
        return [
            Route(alter, 0, 1, self.alter, to_controller=True),
            Route(list_, 0, 0, self.list_ongoing, to_controller=True),
        ]

    async def alter(
        self, context: RequestContext, request: AlterPartitionReassignmentsRequest, version: int
    ) -> AlterPartitionReassignmentsResponse:
        answer = await self._service.alter(
            [
                Move(topic.name, one.partition_index, one.replicas)
                for topic in request.topics
                for one in topic.partitions
            ],
            allow_replication_factor_change=request.allow_replication_factor_change,
            timeout_ms=request.timeout_ms,
        )
        result = AlterPartitionReassignmentsResponse.ReassignablePartitionResponse
        return AlterPartitionReassignmentsResponse(
            allow_replication_factor_change=request.allow_replication_factor_change,
            error_code=answer.error,
            error_message=answer.message,
            responses=[
                AlterPartitionReassignmentsResponse.ReassignableTopicResponse(
                    name=topic,
                    partitions=[
                        result(partition_index=one.partition, error_code=one.error, error_message=one.message)
                        for one in outcomes
                    ],
                )
                for topic, outcomes in answer.topics.items()
            ],
        )

    def list_ongoing(
        self, context: RequestContext, request: ListPartitionReassignmentsRequest, version: int
    ) -> ListPartitionReassignmentsResponse:
        asked = None
        if request.topics is not None:
            asked = [(topic.name, topic.partition_indexes) for topic in request.topics]
        found = self._service.ongoing(asked)
        if isinstance(found, ErrorCode):
            return ListPartitionReassignmentsResponse(
                error_code=found, error_message="this node is not the active controller"
            )
        ongoing = ListPartitionReassignmentsResponse.OngoingPartitionReassignment
        return ListPartitionReassignmentsResponse(
            error_message=None,
            topics=[
                ListPartitionReassignmentsResponse.OngoingTopicReassignment(
                    name=topic,
                    partitions=[
                        ongoing(
                            partition_index=one.partition,
                            replicas=list(one.replicas),
                            adding_replicas=list(one.adding),
                            removing_replicas=list(one.removing),
                        )
                        for one in moving
                    ],
                )
                for topic, moving in found.items()
            ],
        )
