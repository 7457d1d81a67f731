"""AlterPartition, BrokerRegistration, BrokerHeartbeat, AllocateProducerIds, AssignReplicasToDirs.

Keys: 56, 62, 63, 67, 73. Versions: 2-3, 0-4, 0-2, 0, 0.
Behaviour: what brokers ask of the active controller, on the listener among brokers alone, and not advertised. A node
that is not the active controller answers NOT_CONTROLLER: the asker looks for the active one itself.
Version notes: AlterPartition 3 brings the broker epochs of the proposed ISR; BrokerRegistration 2 brings log
directories, 3 the previous broker epoch; BrokerHeartbeat 1 brings the log directories that were lost.
Not implemented: cordoned log directories (BrokerHeartbeat 2) and the previous broker epoch are not looked at: a broker
that was killed has all it acknowledged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from odradek.node.app.brokers import BrokersService
from odradek.node.app.context import RequestContext
from odradek.node.controller.brokers import BrokerHeartbeat, Registration
from odradek.node.controller.directories import AssignReplicas, DirectoryAssignment, DirectoryOutcome
from odradek.node.controller.image import BrokerImage, Endpoint
from odradek.node.controller.isr import AlterPartitions, IsrMember, IsrOutcome, IsrProposal
from odradek.node.kafka_api.registry import Route
from odradek.proto.kafka.api import ApiKey
from odradek.proto.kafka.messages.controller import (
    AllocateProducerIdsRequest,
    AllocateProducerIdsResponse,
    AlterPartitionRequest,
    AlterPartitionResponse,
    BrokerHeartbeatRequest,
    BrokerHeartbeatResponse,
    BrokerRegistrationRequest,
    BrokerRegistrationResponse,
)
from odradek.proto.kafka.messages.log_dirs import AssignReplicasToDirsRequest, AssignReplicasToDirsResponse

SECURITY_PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
"""By the number that BrokerRegistration gives them."""

_EPOCHS_FROM: Final = 3


class ControllerHandlers:
    def __init__(self, service: BrokersService) -> None:
        self._service = service

    def routes(self) -> list[Route]:
        return [
            Route(ApiKey.ALTER_PARTITION, 2, 3, self.alter_partition, inter_broker=True),
            Route(ApiKey.BROKER_REGISTRATION, 0, 4, self.broker_registration, inter_broker=True),
            Route(ApiKey.BROKER_HEARTBEAT, 0, 2, self.broker_heartbeat, inter_broker=True),
            Route(ApiKey.ALLOCATE_PRODUCER_IDS, 0, 0, self.allocate_producer_ids, inter_broker=True),
            Route(ApiKey.ASSIGN_REPLICAS_TO_DIRS, 0, 0, self.assign_replicas_to_dirs, inter_broker=True),
        ]

    async def broker_registration(
        self, context: RequestContext, request: BrokerRegistrationRequest, version: int
    ) -> BrokerRegistrationResponse:
        outcome = await self._service.register(context, _registration(request))
        return BrokerRegistrationResponse(error_code=outcome.error, broker_epoch=outcome.broker_epoch)

    async def broker_heartbeat(
        self, context: RequestContext, request: BrokerHeartbeatRequest, version: int
    ) -> BrokerHeartbeatResponse:
        heartbeat = BrokerHeartbeat(
            broker_id=request.broker_id,
            broker_epoch=request.broker_epoch,
            metadata_offset=request.current_metadata_offset,
            want_fence=request.want_fence,
            want_shut_down=request.want_shut_down,
            offline_directories=request.offline_log_dirs,
        )
        outcome = await self._service.heartbeat(context, heartbeat)
        return BrokerHeartbeatResponse(
            error_code=outcome.error,
            is_caught_up=outcome.is_caught_up,
            is_fenced=outcome.is_fenced,
            should_shut_down=outcome.should_shut_down,
        )

    async def alter_partition(
        self, context: RequestContext, request: AlterPartitionRequest, version: int
    ) -> AlterPartitionResponse:
        proposals = [
            IsrProposal(
                topic_id=topic.topic_id,
                partition=partition.partition_index,
                leader_epoch=partition.leader_epoch,
                partition_epoch=partition.partition_epoch,
                new_isr=_members(partition, version),
                leader_recovery_state=partition.leader_recovery_state,
            )
            for topic in request.topics
            for partition in topic.partitions
        ]
        asked = AlterPartitions(request.broker_id, request.broker_epoch, proposals)
        outcome = await self._service.alter_partitions(context, asked)
        topics: dict[bytes, AlterPartitionResponse.TopicData] = {}
        for one in outcome.outcomes:
            topic = topics.setdefault(one.topic_id, AlterPartitionResponse.TopicData(topic_id=one.topic_id))
            topic.partitions.append(_partition(one))
        return AlterPartitionResponse(error_code=outcome.error, topics=list(topics.values()))

    async def allocate_producer_ids(
        self, context: RequestContext, request: AllocateProducerIdsRequest, version: int
    ) -> AllocateProducerIdsResponse:
        block = await self._service.allocate_producer_ids(context, request.broker_id, request.broker_epoch)
        return AllocateProducerIdsResponse(
            error_code=block.error, producer_id_start=block.first, producer_id_len=block.count
        )

    async def assign_replicas_to_dirs(
        self, context: RequestContext, request: AssignReplicasToDirsRequest, version: int
    ) -> AssignReplicasToDirsResponse:
        assignments = [
            DirectoryAssignment(directory.id, topic.topic_id, partition.partition_index)
            for directory in request.directories
            for topic in directory.topics
            for partition in topic.partitions
        ]
        asked = AssignReplicas(request.broker_id, request.broker_epoch, assignments)
        outcome = await self._service.assign_replicas(context, asked)
        return AssignReplicasToDirsResponse(
            error_code=outcome.error, directories=_directories(outcome.outcomes)
        )


def _registration(request: BrokerRegistrationRequest) -> Registration:
    endpoints = {
        listener.name: Endpoint(listener.host, listener.port, _protocol(listener.security_protocol))
        for listener in request.listeners
    }
    broker = BrokerImage(
        request.broker_id,
        epoch=-1,
        incarnation_id=request.incarnation_id,
        endpoints=endpoints,
        rack=request.rack,
        directories=tuple(request.log_dirs),
    )
    features = {
        feature.name: (feature.min_supported_version, feature.max_supported_version)
        for feature in request.features
    }
    return Registration(broker, request.cluster_id, features)


def _protocol(number: int) -> str:
    known = 0 <= number < len(SECURITY_PROTOCOLS)
    return SECURITY_PROTOCOLS[number] if known else f"UNKNOWN_{number}"


def _members(partition: AlterPartitionRequest.PartitionData, version: int) -> list[IsrMember]:
    if version < _EPOCHS_FROM:
        return [IsrMember(broker_id) for broker_id in partition.new_isr]
    return [IsrMember(member.broker_id, member.broker_epoch) for member in partition.new_isr_with_epochs]


def _partition(outcome: IsrOutcome) -> AlterPartitionResponse.PartitionData:
    state = outcome.state
    if state is None:
        return AlterPartitionResponse.PartitionData(
            partition_index=outcome.partition, error_code=outcome.error
        )
    return AlterPartitionResponse.PartitionData(
        partition_index=outcome.partition,
        leader_id=state.leader,
        leader_epoch=state.leader_epoch,
        isr=list(state.isr),
        partition_epoch=state.partition_epoch,
    )


def _directories(
    outcomes: Sequence[DirectoryOutcome],
) -> list[AssignReplicasToDirsResponse.DirectoryData]:
    grouped: dict[bytes, dict[bytes, list[AssignReplicasToDirsResponse.PartitionData]]] = {}
    for one in outcomes:
        partition = AssignReplicasToDirsResponse.PartitionData(
            partition_index=one.partition, error_code=one.error
        )
        grouped.setdefault(one.directory, {}).setdefault(one.topic_id, []).append(partition)
    return [
        AssignReplicasToDirsResponse.DirectoryData(
            id=directory,
            topics=[
                AssignReplicasToDirsResponse.TopicData(topic_id=topic_id, partitions=partitions)
                for topic_id, partitions in topics.items()
            ],
        )
        for directory, topics in grouped.items()
    ]
