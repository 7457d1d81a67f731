from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.unit.node.controller.metadata_node import CONTEXT, over_the_wire

from odradek.node.app.quorum import (
    DescribedQuorum,
    Member,
    Outcome,
    QuorumListener,
    QuorumService,
    VoterKey,
)
from odradek.node.kafka_api.handlers.quorum import QuorumHandlers
from odradek.proto.kafka.codec import decode_exactly, encode_to_bytes
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.raft import (
    AddRaftVoterRequest,
    AddRaftVoterResponse,
    DescribeQuorumRequest,
    DescribeQuorumResponse,
    RemoveRaftVoterRequest,
    RemoveRaftVoterResponse,
)

DIRECTORY = b"d" * 16
QUORUM = DescribedQuorum(
    1,
    3,
    11,
    [Member(1, DIRECTORY, 13, 2_000, 1_900), Member(2, bytes(16), 8, 1_000, -1)],
    [Member(4, bytes(16), 0, -1, -1)],
    {1: [QuorumListener("CONTROLLER", "host1", 40_000)], 2: []},
)


class Service(QuorumService):
    def __init__(self, quorum: DescribedQuorum | ErrorCode = QUORUM, outcome: Outcome = Outcome()) -> None:  # noqa: B008  (a value)
        self.quorum = quorum
        self.outcome = outcome
        self.asked: list[object] = []

    def describe(self) -> DescribedQuorum | ErrorCode:
        return self.quorum

    async def add_voter(
        self,
        cluster_id: str | None,
        voter: VoterKey,
        listeners: Sequence[QuorumListener],
        *,
        until_committed: bool,
    ) -> Outcome:
        self.asked.append((cluster_id, voter, listeners, until_committed))
        return self.outcome

    async def remove_voter(self, cluster_id: str | None, voter: VoterKey) -> Outcome:
        self.asked.append((cluster_id, voter))
        return self.outcome


def describe(
    version: int, *asked: tuple[str, list[int]], quorum: DescribedQuorum | ErrorCode = QUORUM
) -> DescribeQuorumResponse:
    partition = DescribeQuorumRequest.PartitionData
    request = DescribeQuorumRequest(
        topics=[
            DescribeQuorumRequest.TopicData(
                topic_name=topic, partitions=[partition(partition_index=index) for index in indexes]
            )
            for topic, indexes in asked
        ]
    )
    request = decode_exactly(DescribeQuorumRequest, version, encode_to_bytes(request, version))
    response = QuorumHandlers(Service(quorum)).describe_quorum(CONTEXT, request, version)
    return over_the_wire(response, version)


@pytest.mark.parametrize("version", range(3))
def test_the_quorum(version: int) -> None:
    response = describe(version, ("__cluster_metadata", [0]))
    assert response.error_code == 0
    (topic,) = response.topics
    (one,) = topic.partitions
    assert (topic.topic_name, one.partition_index, one.error_code) == ("__cluster_metadata", 0, 0)
    assert (one.leader_id, one.leader_epoch, one.high_watermark) == (1, 3, 11)

    def seen(states: Sequence[DescribeQuorumResponse.ReplicaState]) -> list[Member]:
        return [
            Member(
                state.replica_id,
                state.replica_directory_id,
                state.log_end_offset,
                state.last_fetch_timestamp,
                state.last_caught_up_timestamp,
            )
            for state in states
        ]

    def told(members: Sequence[Member]) -> list[Member]:
        if version < 1:
            members = [member._replace(last_fetch_ms=-1, last_caught_up_ms=-1) for member in members]
        return [member if version >= 2 else member._replace(directory_id=bytes(16)) for member in members]

    assert seen(one.current_voters) == told(QUORUM.voters)
    assert seen(one.observers) == told(QUORUM.observers)
    listeners = [
        (node.node_id, [(listener.name, listener.host, listener.port) for listener in node.listeners])
        for node in response.nodes
    ]
    assert listeners == ([(1, [("CONTROLLER", "host1", 40_000)]), (2, [])] if version >= 2 else [])


@pytest.mark.parametrize("version", range(3))
@pytest.mark.parametrize("asked", [("t", [0]), ("__cluster_metadata", [1]), ("__cluster_metadata", [0, 1])])
def test_other_partitions_are_unknown(version: int, asked: tuple[str, list[int]]) -> None:
    response = describe(version, asked)
    assert response.error_code == 0
    (topic,) = response.topics
    assert topic.topic_name == asked[0]
    assert [(one.partition_index, one.error_code) for one in topic.partitions] == [
        (index, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION) for index in asked[1]
    ]


@pytest.mark.parametrize("version", range(3))
def test_who_does_not_lead(version: int) -> None:
    response = describe(version, ("__cluster_metadata", [0]), quorum=ErrorCode.NOT_CONTROLLER)
    assert (response.error_code, response.topics) == (41, [])


@pytest.mark.parametrize("version", range(2))
async def test_adding_a_voter(version: int) -> None:
    service = Service(outcome=Outcome(ErrorCode.DUPLICATE_VOTER, "there already"))
    request = AddRaftVoterRequest(
        cluster_id=None,
        voter_id=4,
        voter_directory_id=DIRECTORY,
        listeners=[AddRaftVoterRequest.Listener(name="CONTROLLER", host="host4", port=40_000)],
        ack_when_committed=version == 0,
    )
    request = decode_exactly(AddRaftVoterRequest, version, encode_to_bytes(request, version))
    response: AddRaftVoterResponse = over_the_wire(
        await QuorumHandlers(service).add_raft_voter(CONTEXT, request, version), version
    )
    listeners = [QuorumListener("CONTROLLER", "host4", 40_000)]
    assert service.asked == [(None, VoterKey(4, DIRECTORY), listeners, version == 0)]
    assert (response.error_code, response.error_message) == (126, "there already")


async def test_removing_a_voter() -> None:
    service = Service()
    request = RemoveRaftVoterRequest(cluster_id="c", voter_id=4, voter_directory_id=DIRECTORY)
    request = decode_exactly(RemoveRaftVoterRequest, 0, encode_to_bytes(request, 0))
    response: RemoveRaftVoterResponse = over_the_wire(
        await QuorumHandlers(service).remove_raft_voter(CONTEXT, request, 0), 0
    )
    assert service.asked == [("c", VoterKey(4, DIRECTORY))]
    assert (response.error_code, response.error_message) == (0, None)
