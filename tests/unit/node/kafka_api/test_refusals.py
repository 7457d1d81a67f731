"""Every request of a route that goes to the controller gets its error in every slot, in every version."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from odradek.node.kafka_api.error_codes import has_error
from odradek.node.kafka_api.refusals import REFUSALS, refusal
from odradek.node.kafka_api.routes import Services, build_registry
from odradek.proto.kafka.codec import decode_exactly, encode_to_bytes
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.configs import AlterConfigsRequest, IncrementalAlterConfigsRequest
from odradek.proto.kafka.messages.raft import DescribeQuorumRequest
from odradek.proto.kafka.messages.reassignment import (
    AlterPartitionReassignmentsRequest,
    AlterPartitionReassignmentsResponse,
    ElectLeadersRequest,
    ElectLeadersResponse,
)
from odradek.proto.kafka.messages.topics import (
    CreatePartitionsRequest,
    CreateTopicsRequest,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
)
from odradek.proto.kafka.schema import Message

LATE = ErrorCode.REQUEST_TIMED_OUT


class NoServices(SimpleNamespace):
    def __getattr__(self, name: str) -> Any:
        return None


REGISTRY = build_registry(cast(Services, NoServices()))

ASKED: dict[type[Message], Message] = {
    CreateTopicsRequest: CreateTopicsRequest(
        topics=[CreateTopicsRequest.CreatableTopic(name=name) for name in ("t", "u", "t")]
    ),
    CreatePartitionsRequest: CreatePartitionsRequest(
        topics=[CreatePartitionsRequest.CreatePartitionsTopic(name="t")]
    ),
    DeleteTopicsRequest: DeleteTopicsRequest(topic_names=["t"]),
    AlterConfigsRequest: AlterConfigsRequest(
        resources=[AlterConfigsRequest.AlterConfigsResource(resource_type=2, resource_name="t")]
    ),
    IncrementalAlterConfigsRequest: IncrementalAlterConfigsRequest(
        resources=[IncrementalAlterConfigsRequest.AlterConfigsResource(resource_type=2, resource_name="t")]
    ),
    ElectLeadersRequest: ElectLeadersRequest(
        topic_partitions=[ElectLeadersRequest.TopicPartitions(topic="t", partitions=[0, 2])]
    ),
    DescribeQuorumRequest: DescribeQuorumRequest(),
}


@pytest.mark.parametrize("key", [key for key, route in REGISTRY.routes.items() if route.to_controller])
def test_every_route_to_the_controller_can_be_refused(key: int) -> None:
    route, request_class = REGISTRY.routes[key], REGISTRY.request_class(key)
    assert request_class in REFUSALS
    request = ASKED.get(request_class) or request_class()
    for version in range(route.min_version, route.max_version + 1):
        response = refusal(request, LATE, "late")
        seen = decode_exactly(type(response), version, encode_to_bytes(response, version))
        # ElectLeaders 0 has errors in its partitions alone
        assert has_error(seen, LATE), version


def test_topics_get_one_slot_each() -> None:
    response = refusal(ASKED[CreateTopicsRequest], LATE, "late")
    assert [(one.name, one.error_code) for one in response.topics] == [("t", LATE), ("u", LATE)]  # type: ignore[attr-defined]


def test_topics_to_delete_by_id() -> None:
    state = DeleteTopicsRequest.DeleteTopicState
    request = DeleteTopicsRequest(topics=[state(name="t"), state(topic_id=b"i" * 16)])
    response = refusal(request, LATE, "late")
    assert isinstance(response, DeleteTopicsResponse)
    assert [(one.name, one.topic_id, one.error_code) for one in response.responses] == [
        ("t", bytes(16), LATE),
        (None, b"i" * 16, LATE),
    ]


def test_partitions_get_one_slot_each() -> None:
    response = refusal(ASKED[ElectLeadersRequest], LATE, "late")
    assert isinstance(response, ElectLeadersResponse)
    (topic,) = response.replica_election_results
    assert [(one.partition_id, one.error_code) for one in topic.partition_result] == [(0, LATE), (2, LATE)]
    assert not refusal(ElectLeadersRequest(topic_partitions=None), LATE, "late").replica_election_results  # type: ignore[attr-defined]

    asked = AlterPartitionReassignmentsRequest
    request = asked(
        allow_replication_factor_change=False,
        topics=[
            asked.ReassignableTopic(
                name="t", partitions=[asked.ReassignablePartition(partition_index=4, replicas=[1])]
            )
        ],
    )
    answer = refusal(request, LATE, "late")
    assert isinstance(answer, AlterPartitionReassignmentsResponse)
    assert (answer.error_code, answer.allow_replication_factor_change) == (LATE, False)
    assert [(one.partition_index, one.error_code) for one in answer.responses[0].partitions] == [(4, LATE)]
