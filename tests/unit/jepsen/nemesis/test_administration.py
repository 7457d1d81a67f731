"""What is asked, of whom, and how answers are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.jepsen.nemesis.fakes import FakeCluster

from odradek.jepsen.db.requests import M
from odradek.jepsen.nemesis.administration import Administration, Voter
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.cluster import UpdateFeaturesResponse
from odradek.proto.kafka.messages.raft import (
    AddRaftVoterRequest,
    AddRaftVoterResponse,
    DescribeQuorumResponse,
)
from odradek.proto.kafka.messages.reassignment import (
    AlterPartitionReassignmentsRequest,
    AlterPartitionReassignmentsResponse,
    ElectLeadersResponse,
    ListPartitionReassignmentsResponse,
)
from odradek.proto.kafka.schema import Message

DIRECTORY = b"d" * 16


class Answers:
    """Gives the same answer always, or fails at some addresses. Remembers what it was asked."""

    def __init__(self, answer: Message, silent: tuple[str, ...] = ()) -> None:
        self._answer = answer
        self._silent = silent
        self.asked: list[tuple[str, Any]] = []

    def __call__(
        self,
        namespace: str,
        address: tuple[str, int],
        message: Message,
        version: int,
        expected: type[M],
        timeout_s: float,
    ) -> M:
        self.asked.append((namespace, message))
        if namespace in self._silent:
            raise TimeoutError("silent")
        assert isinstance(self._answer, expected) and address[1] == 9092
        return self._answer


def asking(answers: Answers, leads: int | None = 2) -> Administration:
    return Administration(FakeCluster(leads=leads), answers)


def quorum_answer(*voters: int) -> DescribeQuorumResponse:
    states = [
        DescribeQuorumResponse.ReplicaState(replica_id=node, replica_directory_id=DIRECTORY)
        for node in (1, 2, 3)
    ]
    part = DescribeQuorumResponse.PartitionData(
        leader_id=2,
        current_voters=[state for state in states if state.replica_id in voters],
        observers=[state for state in states if state.replica_id not in voters],
    )
    topic = DescribeQuorumResponse.TopicData(topic_name="__cluster_metadata", partitions=[part])
    return DescribeQuorumResponse(topics=[topic])


def test_the_controller_is_asked_first_and_then_the_others() -> None:
    answers = Answers(quorum_answer(1, 2, 3), silent=("n2",))
    asking(answers).quorum()
    assert [namespace for namespace, _ in answers.asked] == ["n2", "n1"]


def test_nobody_answers() -> None:
    with pytest.raises(ConnectionError, match="node 3: silent"):
        asking(Answers(quorum_answer(), silent=("n1", "n2", "n3"))).quorum()
    cluster = FakeCluster()
    for node in cluster.nodes.values():
        node.pid = None
    with pytest.raises(ConnectionError, match="none runs"):
        Administration(cluster, Answers(quorum_answer())).quorum()


def test_the_quorum_is_read() -> None:
    quorum = asking(Answers(quorum_answer(1, 2))).quorum()
    assert quorum is not None and quorum.leader == 2
    assert quorum.voter(1) == Voter(1, DIRECTORY) and quorum.voter(3) is None
    assert quorum.observer(3) == Voter(3, DIRECTORY) and quorum.observer(1) is None
    assert asking(Answers(DescribeQuorumResponse(error_code=41))).quorum() is None


def test_a_voter_is_added_with_its_controller_listener() -> None:
    answers = Answers(AddRaftVoterResponse(error_code=0))
    assert asking(answers).add_voter(Voter(3, DIRECTORY)) is ErrorCode.NONE
    (_, message) = answers.asked[0]
    assert isinstance(message, AddRaftVoterRequest)
    assert (message.voter_id, message.voter_directory_id) == (3, DIRECTORY)
    assert (message.listeners[0].host, message.listeners[0].port) == ("10.77.0.13", 9094)


def test_a_reassignment_groups_keys_by_topic() -> None:
    Response = AlterPartitionReassignmentsResponse
    part = Response.ReassignablePartitionResponse(partition_index=1, error_code=85)
    topic = Response.ReassignableTopicResponse(name="t", partitions=[part])
    answers = Answers(Response(responses=[topic]))
    told = asking(answers).reassign({"t/0": [1, 2], "u/0": [2, 1], "t/1": None})
    assert told == {"t/1": ErrorCode.NO_REASSIGNMENT_IN_PROGRESS}
    (_, message) = answers.asked[0]
    assert isinstance(message, AlterPartitionReassignmentsRequest)
    assert {topic.name: len(topic.partitions) for topic in message.topics} == {"t": 2, "u": 1}
    refused = asking(Answers(Response(error_code=41))).reassign({"t/0": [1]})
    assert refused == {"t/0": ErrorCode.NOT_CONTROLLER}


READ: list[tuple[Message, Callable[[Administration], object], object]] = [
    (
        ElectLeadersResponse(
            replica_election_results=[
                ElectLeadersResponse.ReplicaElectionResult(
                    topic="t",
                    partition_result=[ElectLeadersResponse.PartitionResult(partition_id=3, error_code=84)],
                )
            ]
        ),
        lambda cluster: cluster.elect_preferred(["t/3"]),
        {"t/3": ErrorCode.ELECTION_NOT_NEEDED},
    ),
    (
        ListPartitionReassignmentsResponse(
            topics=[
                ListPartitionReassignmentsResponse.OngoingTopicReassignment(
                    name="t",
                    partitions=[
                        ListPartitionReassignmentsResponse.OngoingPartitionReassignment(partition_index=2)
                    ],
                )
            ]
        ),
        lambda cluster: cluster.reassigning(),
        ["t/2"],
    ),
    (
        UpdateFeaturesResponse(error_code=95),
        lambda cluster: cluster.allow_changes_of_voters(),
        ErrorCode.INVALID_UPDATE_VERSION,
    ),
]


@pytest.mark.parametrize(("answer", "ask", "read"), READ)
def test_answers_are_read(answer: Message, ask: Callable[[Administration], object], read: object) -> None:
    assert ask(asking(Answers(answer))) == read
