"""DescribeQuorum, AddRaftVoter, RemoveRaftVoter.

Keys: 55, 80, 81. Versions: 0-2, 0-1, 0. Behaviour: the one partition of `__cluster_metadata` is described, any other is
UNKNOWN_TOPIC_OR_PARTITION. Version notes: DescribeQuorum 1 has times, 2 directories, messages and the controllers'
listeners; AddRaftVoter 1 need not wait for the change to be committed. Not implemented: nothing (UpdateRaftVoter is for
controllers' listeners).
"""

from __future__ import annotations

from collections.abc import Iterable

from odradek.node.app.context import RequestContext
from odradek.node.app.quorum import (
    METADATA_TOPIC,
    DescribedQuorum,
    Member,
    QuorumListener,
    QuorumService,
    VoterKey,
)
from odradek.node.kafka_api.registry import Route
from odradek.proto.kafka.api import ApiKey
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.raft import (
    AddRaftVoterRequest,
    AddRaftVoterResponse,
    DescribeQuorumRequest,
    DescribeQuorumResponse,
    RemoveRaftVoterRequest,
    RemoveRaftVoterResponse,
)

_Partition = DescribeQuorumResponse.PartitionData


class QuorumHandlers:
    def __init__(self, service: QuorumService) -> None:
        self._service = service

    def routes(self) -> list[Route]:
        return [
            Route(ApiKey.DESCRIBE_QUORUM, 0, 2, self.describe_quorum, to_controller=True),
            Route(ApiKey.ADD_RAFT_VOTER, 0, 1, self.add_raft_voter, to_controller=True),
            Route(ApiKey.REMOVE_RAFT_VOTER, 0, 0, self.remove_raft_voter, to_controller=True),
        ]

    def describe_quorum(
        self, context: RequestContext, request: DescribeQuorumRequest, version: int
    ) -> DescribeQuorumResponse:
        asked = [
            (topic.topic_name, [one.partition_index for one in topic.partitions]) for topic in request.topics
        ]
        if asked != [(METADATA_TOPIC, [0])]:
            return _unknown(asked)
        quorum = self._service.describe()
        if isinstance(quorum, ErrorCode):
            return DescribeQuorumResponse(
                error_code=quorum, error_message="this node does not lead the metadata quorum"
            )
        topic = DescribeQuorumResponse.TopicData(topic_name=METADATA_TOPIC, partitions=[_partition(quorum)])
        return DescribeQuorumResponse(
            error_message=None,
            topics=[topic],
            nodes=[
                DescribeQuorumResponse.Node(
                    node_id=node_id,
                    listeners=[
                        DescribeQuorumResponse.Listener(name=one.name, host=one.host, port=one.port)
                        for one in listeners
                    ],
                )
                for node_id, listeners in quorum.listeners.items()
            ],
        )

    async def add_raft_voter(
        self, context: RequestContext, request: AddRaftVoterRequest, version: int
    ) -> AddRaftVoterResponse:
        outcome = await self._service.add_voter(
            request.cluster_id,
            VoterKey(request.voter_id, request.voter_directory_id),
            [QuorumListener(one.name, one.host, one.port) for one in request.listeners],
            until_committed=request.ack_when_committed,
        )
        return AddRaftVoterResponse(error_code=outcome.error, error_message=outcome.message)

    async def remove_raft_voter(
        self, context: RequestContext, request: RemoveRaftVoterRequest, version: int
    ) -> RemoveRaftVoterResponse:
        outcome = await self._service.remove_voter(
            request.cluster_id, VoterKey(request.voter_id, request.voter_directory_id)
        )
        return RemoveRaftVoterResponse(error_code=outcome.error, error_message=outcome.message)


def _partition(quorum: DescribedQuorum) -> _Partition:
    return _Partition(
        partition_index=0,
        error_message=None,
        leader_id=quorum.leader_id,
        leader_epoch=quorum.leader_epoch,
        high_watermark=quorum.high_watermark,
        current_voters=_states(quorum.voters),
        observers=_states(quorum.observers),
    )


def _states(members: Iterable[Member]) -> list[DescribeQuorumResponse.ReplicaState]:
    return [
        DescribeQuorumResponse.ReplicaState(
            replica_id=member.node_id,
            replica_directory_id=member.directory_id,
            log_end_offset=member.log_end_offset,
            last_fetch_timestamp=member.last_fetch_ms,
            last_caught_up_timestamp=member.last_caught_up_ms,
        )
        for member in members
    ]


def _unknown(asked: Iterable[tuple[str, list[int]]]) -> DescribeQuorumResponse:
    error = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    return DescribeQuorumResponse(
        error_message=None,
        topics=[
            DescribeQuorumResponse.TopicData(
                topic_name=topic,
                partitions=[
                    _Partition(partition_index=index, error_code=error, error_message=None)
                    for index in indexes
                ],
            )
            for topic, indexes in asked
        ],
    )
