from __future__ import annotations

import pytest
from tests.unit.node.controller.metadata_node import CONTEXT, over_the_wire

from odradek.node.app.elections import Elections, ElectionsService, Partitions
from odradek.node.controller.elections import ElectionOutcome
from odradek.node.kafka_api.handlers.elections import ElectionsHandlers
from odradek.proto.kafka.codec import decode_exactly, encode_to_bytes
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.reassignment import ElectLeadersRequest, ElectLeadersResponse

ANSWER = Elections(
    ErrorCode.NONE,
    {
        "t": [
            ElectionOutcome("t", 0),
            ElectionOutcome("t", 1, ErrorCode.ELECTION_NOT_NEEDED, "leads already"),
        ],
        "u": [ElectionOutcome("u", 1, ErrorCode.ELECTION_NOT_NEEDED, "leads already")],
    },
)


class Service(ElectionsService):
    def __init__(self, answer: Elections = ANSWER) -> None:
        self.answer = answer
        self.asked: list[object] = []

    async def elect_leaders(
        self, election_type: int, partitions: Partitions | None, *, timeout_ms: int
    ) -> Elections:
        self.asked.append((election_type, partitions, timeout_ms))
        return self.answer


async def elect(service: Service, version: int, request: ElectLeadersRequest) -> ElectLeadersResponse:
    request = decode_exactly(ElectLeadersRequest, version, encode_to_bytes(request, version))
    response = await ElectionsHandlers(service).elect_leaders(CONTEXT, request, version)
    return over_the_wire(response, version)


@pytest.mark.parametrize("version", range(3))
async def test_partitions_that_are_named(version: int) -> None:
    topic = ElectLeadersRequest.TopicPartitions
    request = ElectLeadersRequest(
        election_type=1 if version else 0,
        topic_partitions=[topic(topic="t", partitions=[0, 1]), topic(topic="u", partitions=[1])],
        timeout_ms=7,
    )
    service = Service()
    response = await elect(service, version, request)
    assert service.asked == [(1 if version else 0, [("t", 0), ("t", 1), ("u", 1)], 7)]
    assert response.error_code == 0
    seen = [
        (
            topic.topic,
            [(one.partition_id, one.error_code, one.error_message) for one in topic.partition_result],
        )
        for topic in response.replica_election_results
    ]
    assert seen == [("t", [(0, 0, None), (1, 84, "leads already")]), ("u", [(1, 84, "leads already")])]


@pytest.mark.parametrize("version", range(3))
async def test_all_partitions(version: int) -> None:
    service = Service()
    await elect(service, version, ElectLeadersRequest(topic_partitions=None))
    assert service.asked == [(0, None, 60_000)]


@pytest.mark.parametrize("version", range(3))
async def test_an_error_of_the_whole_request(version: int) -> None:
    service = Service(Elections(ErrorCode.NOT_CONTROLLER, {}))
    response = await elect(service, version, ElectLeadersRequest(topic_partitions=[]))
    assert response.error_code == (41 if version >= 1 else 0)
