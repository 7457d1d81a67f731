"""The answer to a request for the active controller when there is nobody to ask: its error in every slot.

Decides the shape per API: every topic, partition and resource of the request gets an answer of its own (clients
look each of them up, and librdkafka aborts where one is missing), and the APIs that have a field for the whole
request use that too. Which error it is decides `forwarding`. Pure. Source: `getErrorResponse` of Kafka's requests,
whose answers were compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.cluster import (
    UnregisterBrokerRequest,
    UnregisterBrokerResponse,
    UpdateFeaturesRequest,
    UpdateFeaturesResponse,
)
from odradek.proto.kafka.messages.configs import (
    AlterConfigsRequest,
    AlterConfigsResponse,
    IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
)
from odradek.proto.kafka.messages.raft import (
    AddRaftVoterRequest,
    AddRaftVoterResponse,
    DescribeQuorumRequest,
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
from odradek.proto.kafka.messages.topics import (
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreateTopicsRequest,
    CreateTopicsResponse,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
)
from odradek.proto.kafka.schema import Message

Refuse = Callable[[Any, ErrorCode, str], Message]


def refusal(request: Message, error: ErrorCode, message: str) -> Message:
    """The response to `request`, an instance of one of `REFUSALS`, with `error` in every slot."""
    return REFUSALS[type(request)](request, error, message)


def _create_topics(request: CreateTopicsRequest, error: ErrorCode, message: str) -> Message:
    made = CreateTopicsResponse.CreatableTopicResult
    names = dict.fromkeys(topic.name for topic in request.topics)
    return CreateTopicsResponse(
        topics=[made(name=name, error_code=error, error_message=message) for name in names]
    )


def _delete_topics(request: DeleteTopicsRequest, error: ErrorCode, message: str) -> Message:
    asked: Iterable[tuple[str | None, bytes]] = dict.fromkeys(
        [(topic.name, topic.topic_id) for topic in request.topics]
        + [(name, bytes(16)) for name in request.topic_names]
    )
    return DeleteTopicsResponse(
        responses=[
            DeleteTopicsResponse.DeletableTopicResult(
                name=name, topic_id=topic_id, error_code=error, error_message=message
            )
            for name, topic_id in asked
        ]
    )


def _create_partitions(request: CreatePartitionsRequest, error: ErrorCode, message: str) -> Message:
    result = CreatePartitionsResponse.CreatePartitionsTopicResult
    names = dict.fromkeys(topic.name for topic in request.topics)
    return CreatePartitionsResponse(
        results=[result(name=name, error_code=error, error_message=message) for name in names]
    )


def _alter_configs(request: AlterConfigsRequest, error: ErrorCode, message: str) -> Message:
    return AlterConfigsResponse(
        responses=[
            AlterConfigsResponse.AlterConfigsResourceResponse(
                error_code=error,
                error_message=message,
                resource_type=resource.resource_type,
                resource_name=resource.resource_name,
            )
            for resource in request.resources
        ]
    )


def _incremental(request: IncrementalAlterConfigsRequest, error: ErrorCode, message: str) -> Message:
    return IncrementalAlterConfigsResponse(
        responses=[
            IncrementalAlterConfigsResponse.AlterConfigsResourceResponse(
                error_code=error,
                error_message=message,
                resource_type=resource.resource_type,
                resource_name=resource.resource_name,
            )
            for resource in request.resources
        ]
    )


def _elect_leaders(request: ElectLeadersRequest, error: ErrorCode, message: str) -> Message:
    result = ElectLeadersResponse.PartitionResult
    return ElectLeadersResponse(
        error_code=error,
        replica_election_results=[
            ElectLeadersResponse.ReplicaElectionResult(
                topic=topic.topic,
                partition_result=[
                    result(partition_id=index, error_code=error, error_message=message)
                    for index in topic.partitions
                ],
            )
            for topic in request.topic_partitions or ()
        ],
    )


def _alter_reassignments(
    request: AlterPartitionReassignmentsRequest, error: ErrorCode, message: str
) -> Message:
    result = AlterPartitionReassignmentsResponse.ReassignablePartitionResponse
    return AlterPartitionReassignmentsResponse(
        allow_replication_factor_change=request.allow_replication_factor_change,
        error_code=error,
        error_message=message,
        responses=[
            AlterPartitionReassignmentsResponse.ReassignableTopicResponse(
                name=topic.name,
                partitions=[
                    result(partition_index=one.partition_index, error_code=error, error_message=message)
                    for one in topic.partitions
                ],
            )
            for topic in request.topics
        ],
    )


def _list_reassignments(
    request: ListPartitionReassignmentsRequest, error: ErrorCode, message: str
) -> Message:
    return ListPartitionReassignmentsResponse(error_code=error, error_message=message)


def _describe_quorum(request: DescribeQuorumRequest, error: ErrorCode, message: str) -> Message:
    return DescribeQuorumResponse(error_code=error, error_message=message)


def _update_features(request: UpdateFeaturesRequest, error: ErrorCode, message: str) -> Message:
    return UpdateFeaturesResponse(error_code=error, error_message=message)


def _unregister_broker(request: UnregisterBrokerRequest, error: ErrorCode, message: str) -> Message:
    return UnregisterBrokerResponse(error_code=error, error_message=message)


def _add_voter(request: AddRaftVoterRequest, error: ErrorCode, message: str) -> Message:
    return AddRaftVoterResponse(error_code=error, error_message=message)


def _remove_voter(request: RemoveRaftVoterRequest, error: ErrorCode, message: str) -> Message:
    return RemoveRaftVoterResponse(error_code=error, error_message=message)


REFUSALS: Final[dict[type[Message], Refuse]] = {
    CreateTopicsRequest: _create_topics,
    DeleteTopicsRequest: _delete_topics,
    CreatePartitionsRequest: _create_partitions,
    AlterConfigsRequest: _alter_configs,
    IncrementalAlterConfigsRequest: _incremental,
    ElectLeadersRequest: _elect_leaders,
    AlterPartitionReassignmentsRequest: _alter_reassignments,
    ListPartitionReassignmentsRequest: _list_reassignments,
    DescribeQuorumRequest: _describe_quorum,
    UpdateFeaturesRequest: _update_features,
    UnregisterBrokerRequest: _unregister_broker,
    AddRaftVoterRequest: _add_voter,
    RemoveRaftVoterRequest: _remove_voter,
}
