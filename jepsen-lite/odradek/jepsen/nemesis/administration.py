"""What an operator asks of a cluster: replicas elsewhere, another leader, controllers in and out of the quorum.

Decides: the Kafka requests and how their answers are read. Does not decide: what is asked for (`membership`), nor
what an outcome that nobody knows means there. Nodes are asked from within their own namespaces, the controller first,
until one gives an answer; an error code is an answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from odradek.jepsen.db import requests
from odradek.jepsen.ports import Cluster
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.cluster import UpdateFeaturesRequest, UpdateFeaturesResponse
from odradek.proto.kafka.messages.metadata import MetadataResponse
from odradek.proto.kafka.messages.raft import (
    AddRaftVoterRequest,
    AddRaftVoterResponse,
    DescribeQuorumResponse,
    RemoveRaftVoterRequest,
    RemoveRaftVoterResponse,
)
from odradek.proto.kafka.messages.reassignment import (
    AlterPartitionReassignmentsRequest,
    AlterPartitionReassignmentsResponse,
    ElectLeadersRequest,
    ElectLeadersResponse,
    ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsResponse,
)
from odradek.proto.kafka.schema import Message

ANSWER_S = 3.0
_UPGRADE = 1
_PREFERRED = 0
#: The level of the feature kraft.version from which the voters can change (KIP-853).
DYNAMIC_VOTERS = 1


class Ask(Protocol):
    """`db.requests.ask`. Raises OSError when there is no answer."""

    def __call__(
        self,
        namespace: str,
        address: tuple[str, int],
        message: Message,
        version: int,
        expected: type[requests.M],
        timeout_s: float,
    ) -> requests.M: ...


class Voter(NamedTuple):
    """A controller in the quorum; `directory` is the id of the directory with its metadata log."""

    node: int
    directory: bytes


class Quorum(NamedTuple):
    """As its leader sees it."""

    leader: int
    voters: tuple[Voter, ...]
    observers: tuple[Voter, ...]

    def voter(self, node: int) -> Voter | None:
        return next((one for one in self.voters if one.node == node), None)

    def observer(self, node: int) -> Voter | None:
        return next((one for one in self.observers if one.node == node), None)


class Administration:
    """Requests to whoever answers. Every method raises OSError when no node does."""

    def __init__(self, cluster: Cluster, ask: Ask = requests.ask, answer_s: float = ANSWER_S) -> None:
        self._cluster = cluster
        self._ask = ask
        self._answer_s = answer_s

    def quorum(self) -> Quorum | None:
        """None when nobody leads it."""
        answer = self._reach(requests.quorum_request(), 2, DescribeQuorumResponse)
        parts = [part for topic in answer.topics for part in topic.partitions if part.error_code == 0]
        if answer.error_code or not parts:
            return None
        voters, observers = (
            tuple(Voter(one.replica_id, bytes(one.replica_directory_id)) for one in members)
            for members in (parts[0].current_voters, parts[0].observers)
        )
        return Quorum(parts[0].leader_id, voters, observers)

    def allow_changes_of_voters(self) -> ErrorCode:
        """kraft.version goes to 1, from where it does not come back."""
        feature = UpdateFeaturesRequest.FeatureUpdateKey(
            feature="kraft.version", max_version_level=DYNAMIC_VOTERS, upgrade_type=_UPGRADE
        )
        request = UpdateFeaturesRequest(timeout_ms=self._answer_ms, feature_updates=[feature])
        answer = self._reach(request, 1, UpdateFeaturesResponse)
        codes = [answer.error_code, *(result.error_code for result in answer.results)]
        return ErrorCode(max(codes))

    def remove_voter(self, voter: Voter) -> ErrorCode:
        request = RemoveRaftVoterRequest(
            cluster_id=None, voter_id=voter.node, voter_directory_id=voter.directory
        )
        return ErrorCode(self._reach(request, 0, RemoveRaftVoterResponse).error_code)

    def add_voter(self, voter: Voter) -> ErrorCode:
        node = self._cluster.nodes[voter.node]
        listener = AddRaftVoterRequest.Listener(
            name="CONTROLLER", host=node.address, port=self._cluster.ports["CONTROLLER"]
        )
        request = AddRaftVoterRequest(
            cluster_id=None,
            timeout_ms=self._answer_ms,
            voter_id=voter.node,
            voter_directory_id=voter.directory,
            listeners=[listener],
        )
        return ErrorCode(self._reach(request, 0, AddRaftVoterResponse).error_code)

    def replicas(self, topics: Sequence[str]) -> Mapping[str, requests.Seen]:
        """By "topic/partition", as one node sees it."""
        return requests.seen(self._reach(requests.metadata_request(topics), 7, MetadataResponse))

    def reassign(self, replicas: Mapping[str, Sequence[int] | None]) -> dict[str, ErrorCode]:
        """Each key's new replicas, the preferred leader first; None ends a reassignment that is going on."""
        wanted: dict[str, list[AlterPartitionReassignmentsRequest.ReassignablePartition]] = {}
        for key, nodes in replicas.items():
            topic, _, partition = key.rpartition("/")
            one = AlterPartitionReassignmentsRequest.ReassignablePartition(
                partition_index=int(partition), replicas=None if nodes is None else list(nodes)
            )
            wanted.setdefault(topic, []).append(one)
        topics = [
            AlterPartitionReassignmentsRequest.ReassignableTopic(name=topic, partitions=partitions)
            for topic, partitions in wanted.items()
        ]
        request = AlterPartitionReassignmentsRequest(timeout_ms=self._answer_ms, topics=topics)
        answer = self._reach(request, 0, AlterPartitionReassignmentsResponse)
        if answer.error_code:
            return dict.fromkeys(replicas, ErrorCode(answer.error_code))
        return {
            f"{topic.name}/{part.partition_index}": ErrorCode(part.error_code)
            for topic in answer.responses
            for part in topic.partitions
        }

    def reassigning(self) -> list[str]:
        """The keys whose replicas are being moved."""
        request = ListPartitionReassignmentsRequest(timeout_ms=self._answer_ms, topics=None)
        answer = self._reach(request, 0, ListPartitionReassignmentsResponse)
        return [
            f"{topic.name}/{part.partition_index}" for topic in answer.topics for part in topic.partitions
        ]

    def elect_preferred(self, keys: Sequence[str]) -> dict[str, ErrorCode]:
        """The first replica of each key becomes its leader."""
        wanted: dict[str, list[int]] = {}
        for key in keys:
            topic, _, partition = key.rpartition("/")
            wanted.setdefault(topic, []).append(int(partition))
        topics = [
            ElectLeadersRequest.TopicPartitions(topic=topic, partitions=partitions)
            for topic, partitions in wanted.items()
        ]
        request = ElectLeadersRequest(
            election_type=_PREFERRED, topic_partitions=topics, timeout_ms=self._answer_ms
        )
        answer = self._reach(request, 2, ElectLeadersResponse)
        if answer.error_code:
            return dict.fromkeys(keys, ErrorCode(answer.error_code))
        return {
            f"{topic.topic}/{part.partition_id}": ErrorCode(part.error_code)
            for topic in answer.replica_election_results
            for part in topic.partition_result
        }

    @property
    def _answer_ms(self) -> int:
        return int(self._answer_s * 1000)

    def _reach(self, message: Message, version: int, expected: type[requests.M]) -> requests.M:
        controller = self._cluster.controller()
        nodes = sorted(self._cluster.nodes.values(), key=lambda node: (node.id != controller, node.id))
        failed: list[str] = []
        for node in nodes:
            if node.pid is None:
                continue
            address = (node.address, self._cluster.ports["CLIENT"])
            try:
                return self._ask(node.namespace, address, message, version, expected, self._answer_s)
            except OSError as error:
                failed.append(f"node {node.id}: {error}")
        raise ConnectionError(f"nobody answers {type(message).__name__}: {'; '.join(failed) or 'none runs'}")
