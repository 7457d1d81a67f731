"""ElectLeaders.

Keys: 43. Versions: 0-2. Behaviour: one answer per partition asked for; without partitions, one per partition that was
not led as asked. Version notes: 0 knows preferred leaders alone and has no error for the whole
request; 1 brings unclean elections. Not implemented: nothing.
"""

from __future__ import annotations

from odradek.node.app.context import RequestContext
from odradek.node.app.elections import ElectionsService, ElectionType
from odradek.node.kafka_api.registry import Route
from odradek.proto.kafka.api import ApiKey
from odradek.proto.kafka.messages.reassignment import ElectLeadersRequest, ElectLeadersResponse


class ElectionsHandlers:
    def __init__(self, service: ElectionsService) -> None:
        self._service = service

    def routes(self) -> list[Route]:
        return [Route(ApiKey.ELECT_LEADERS, 0, 2, self.elect_leaders, to_controller=True)]

    async def elect_leaders(
        self, context: RequestContext, request: ElectLeadersRequest, version: int
    ) -> ElectLeadersResponse:
        partitions = None
        if request.topic_partitions is not None:
            partitions = [(one.topic, index) for one in request.topic_partitions for index in one.partitions]
        elections = await self._service.elect_leaders(
            request.election_type if version >= 1 else ElectionType.PREFERRED,
            partitions,
            timeout_ms=request.timeout_ms,
        )
        result = ElectLeadersResponse.PartitionResult
        return ElectLeadersResponse(
            error_code=elections.error,
            replica_election_results=[
                ElectLeadersResponse.ReplicaElectionResult(
                    topic=topic,
                    partition_result=[
                        result(partition_id=one.partition, error_code=one.error, error_message=one.message)
                        for one in answers
                    ],
                )
                for topic, answers in elections.topics.items()
            ],
        )
