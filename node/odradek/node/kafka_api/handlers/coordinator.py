"""Who coordinates a group.

Keys: 10 FindCoordinator.
Versions: 0-6.
Behaviour: group keys (type 0) are answered with this node, by the address that the client can dial.
Version notes: 0 knows only groups; 1 adds the key type; from 4 on several keys are asked at once and each has
its error. Not implemented: transaction (1) and share (2) coordinators: INVALID_REQUEST with a message that
says so.
"""

from __future__ import annotations

from odradek.node.app.context import RequestContext
from odradek.node.app.groups import GroupsService
from odradek.node.kafka_api.registry import Route
from odradek.proto.kafka.api import ApiKey
from odradek.proto.kafka.messages.coordinator import FindCoordinatorRequest, FindCoordinatorResponse

_FIRST_WITH_BATCHES = 4


class CoordinatorHandlers:
    def __init__(self, groups: GroupsService) -> None:
        self._groups = groups

    def routes(self) -> list[Route]:
        return [Route(ApiKey.FIND_COORDINATOR, 0, 6, self.find_coordinator)]

    def find_coordinator(
        self, context: RequestContext, request: FindCoordinatorRequest, version: int
    ) -> FindCoordinatorResponse:
        keys = request.coordinator_keys if version >= _FIRST_WITH_BATCHES else [request.key]
        found = self._groups.find_coordinator(context, request.key_type, keys)
        if version >= _FIRST_WITH_BATCHES:
            return FindCoordinatorResponse(
                coordinators=[
                    FindCoordinatorResponse.Coordinator(
                        key=one.key,
                        node_id=one.endpoint.node_id,
                        host=one.endpoint.host,
                        port=one.endpoint.port,
                        error_code=one.error,
                        error_message=one.message or "",
                    )
                    for one in found
                ]
            )
        one = found[0]
        return FindCoordinatorResponse(
            error_code=one.error,
            error_message=one.message or one.error.name,
            node_id=one.endpoint.node_id,
            host=one.endpoint.host,
            port=one.endpoint.port,
        )
