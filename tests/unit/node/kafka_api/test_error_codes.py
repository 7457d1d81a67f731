from __future__ import annotations

import pytest

from odradek.node.kafka_api.error_codes import has_error
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.raft import DescribeQuorumResponse
from odradek.proto.kafka.messages.reassignment import ElectLeadersResponse
from odradek.proto.kafka.messages.topics import CreateTopicsResponse
from odradek.proto.kafka.schema import Message

Topic = CreateTopicsResponse.CreatableTopicResult
Election = ElectLeadersResponse.ReplicaElectionResult
Partition = DescribeQuorumResponse.PartitionData


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (CreateTopicsResponse(), False),
        (CreateTopicsResponse(topics=[Topic(), Topic(error_code=40)]), False),
        (CreateTopicsResponse(topics=[Topic(), Topic(error_code=41)]), True),
        (CreateTopicsResponse(topics=[Topic(configs=None)]), False),
        (ElectLeadersResponse(error_code=41), True),
        (
            ElectLeadersResponse(
                replica_election_results=[
                    Election(partition_result=[ElectLeadersResponse.PartitionResult(error_code=41)])
                ]
            ),
            True,
        ),
        # 41 elsewhere is no error
        (
            DescribeQuorumResponse(
                topics=[DescribeQuorumResponse.TopicData(partitions=[Partition(leader_id=41)])]
            ),
            False,
        ),
        (CreateTopicsResponse(topics=[Topic(topic_config_error_code=41)]), False),
    ],
)
def test_an_error_anywhere(response: Message, expected: bool) -> None:
    assert has_error(response, ErrorCode.NOT_CONTROLLER) is expected
