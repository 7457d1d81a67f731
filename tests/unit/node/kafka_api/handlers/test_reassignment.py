from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from tests.unit.node.controller.metadata_node import CONTEXT, over_the_wire

from odradek.node.app.reassignments import Move, Partitions, Reassignments, ReassignmentsService
from odradek.node.controller.reassignment import Reassignment, ReassignmentOutcome
from odradek.node.kafka_api.handlers.reassignment import ReassignmentHandlers
from odradek.proto.kafka.codec import decode_exactly, encode_to_bytes
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.reassignment import (
    AlterPartitionReassignmentsRequest,
    AlterPartitionReassignmentsResponse,
    ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsResponse,
)

Topic = AlterPartitionReassignmentsRequest.ReassignableTopic
Partition = AlterPartitionReassignmentsRequest.ReassignablePartition
Listed = ListPartitionReassignmentsRequest.ListPartitionReassignmentsTopics

DONE = Reassignments(
    ErrorCode.NONE,
    None,
    {
        "t": [ReassignmentOutcome("t", 0)],
        "u": [ReassignmentOutcome("u", 1, ErrorCode.NO_REASSIGNMENT_IN_PROGRESS, "none")],
    },
)
MOVING = Reassignment("t", 4, (3, 1, 2), (3,), (2,))


class Service(ReassignmentsService):
    def __init__(
        self,
        answer: Reassignments = DONE,
        found: Mapping[str, list[Reassignment]] | ErrorCode = ErrorCode.NONE,
    ) -> None:
        self.answer = answer
        self.found = found
        self.asked: list[object] = []

    async def alter(
        self,
        moves: Sequence[Move],
        *,
        allow_replication_factor_change: bool,
        timeout_ms: int,
    ) -> Reassignments:
        self.asked.append((moves, allow_replication_factor_change, timeout_ms))
        return self.answer

    def ongoing(self, asked: Partitions | None) -> Mapping[str, list[Reassignment]] | ErrorCode:
        self.asked.append(asked)
        return self.found


async def alter(
    service: Service, version: int, request: AlterPartitionReassignmentsRequest
) -> AlterPartitionReassignmentsResponse:
    request = decode_exactly(AlterPartitionReassignmentsRequest, version, encode_to_bytes(request, version))
    return over_the_wire(await ReassignmentHandlers(service).alter(CONTEXT, request, version), version)


def list_ongoing(
    service: Service, request: ListPartitionReassignmentsRequest
) -> ListPartitionReassignmentsResponse:
    request = decode_exactly(ListPartitionReassignmentsRequest, 0, encode_to_bytes(request, 0))
    return over_the_wire(ReassignmentHandlers(service).list_ongoing(CONTEXT, request, 0), 0)


@pytest.mark.parametrize("version", range(2))
async def test_moves_and_moves_given_up(version: int) -> None:
    request = AlterPartitionReassignmentsRequest(
        timeout_ms=7,
        allow_replication_factor_change=version == 0,
        topics=[
            Topic(name="t", partitions=[Partition(partition_index=0, replicas=[3, 1])]),
            Topic(name="u", partitions=[Partition(partition_index=1, replicas=None)]),
        ],
    )
    service = Service()
    response = await alter(service, version, request)
    assert service.asked == [([Move("t", 0, [3, 1]), Move("u", 1, None)], version == 0, 7)]
    assert (response.error_code, response.error_message) == (0, None)
    assert response.allow_replication_factor_change is (version == 0)
    seen = [
        (topic.name, [(one.partition_index, one.error_code, one.error_message) for one in topic.partitions])
        for topic in response.responses
    ]
    assert seen == [("t", [(0, 0, None)]), ("u", [(1, 85, "none")])]


@pytest.mark.parametrize("version", range(2))
async def test_moves_without_a_controller(version: int) -> None:
    service = Service(Reassignments(ErrorCode.NOT_CONTROLLER, "not here", {}))
    response = await alter(service, version, AlterPartitionReassignmentsRequest())
    assert (response.error_code, response.error_message, response.responses) == (41, "not here", [])


def test_what_is_under_way() -> None:
    service = Service(found={"t": [MOVING]})
    response = list_ongoing(service, ListPartitionReassignmentsRequest(topics=None))
    assert service.asked == [None]
    assert (response.error_code, response.error_message) == (0, None)
    (topic,) = response.topics
    (one,) = topic.partitions
    assert (topic.name, one.partition_index) == ("t", 4)
    assert (one.replicas, one.adding_replicas, one.removing_replicas) == ([3, 1, 2], [3], [2])


def test_what_is_under_way_of_some() -> None:
    service = Service(found={})
    request = ListPartitionReassignmentsRequest(topics=[Listed(name="t", partition_indexes=[0, 2])])
    assert list_ongoing(service, request).topics == []
    assert service.asked == [[("t", [0, 2])]]


def test_what_is_under_way_without_a_controller() -> None:
    service = Service(found=ErrorCode.NOT_CONTROLLER)
    response = list_ongoing(service, ListPartitionReassignmentsRequest(topics=None))
    assert (response.error_code, response.topics) == (41, [])
    assert response.error_message
