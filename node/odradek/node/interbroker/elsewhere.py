"""Partitions and groups of other nodes, over Kafka's protocol on the listener among brokers.

Decides nothing: translates this layer's commands to Kafka's requests, in versions that name topics by name, and the
answers back. Source: `app.elsewhere`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol, TypeVar

from odradek.node.app.context import RequestContext
from odradek.node.app.fetch_command import FetchedPartition
from odradek.node.app.list_offsets import ListedOffset
from odradek.node.app.offsets import (
    CommitCommand,
    FetchedGroup,
    FetchedTopic,
    TopicToFetch,
)
from odradek.node.app.offsets import FetchedPartition as FetchedOffset
from odradek.node.app.produce import Records
from odradek.node.coordinator.group.commands import (
    Heartbeat,
    JoinedMember,
    JoinGroup,
    JoinResult,
    LeaveGroup,
    LeaveResult,
    LeftMember,
    SyncGroup,
    SyncResult,
)
from odradek.node.partition.fetch_session import SESSIONLESS_EPOCH, FetchPartition
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.classic_group import (
    HeartbeatRequest,
    HeartbeatResponse,
    JoinGroupRequest,
    JoinGroupResponse,
    LeaveGroupRequest,
    LeaveGroupResponse,
    SyncGroupRequest,
    SyncGroupResponse,
)
from odradek.proto.kafka.messages.fetch import FetchRequest, FetchResponse
from odradek.proto.kafka.messages.list_offsets import ListOffsetsRequest, ListOffsetsResponse
from odradek.proto.kafka.messages.offsets import (
    OffsetCommitRequest,
    OffsetCommitResponse,
    OffsetFetchRequest,
    OffsetFetchResponse,
)
from odradek.proto.kafka.messages.produce import ProduceRequest, ProduceResponse
from odradek.proto.kafka.schema import Message
from odradek.storage.append_result import AppendResult
from odradek.storage.batch_validator import RecordFault

M = TypeVar("M", bound=Message)

REQUEST_TIMEOUT_MS: Final = 5_000
GRACE_MS: Final = 2_000
"""How much longer than the other node an answer is waited for."""
_VERSION: Final[dict[type[Message], int]] = {
    ProduceRequest: 12,
    FetchRequest: 12,
    ListOffsetsRequest: 8,
    JoinGroupRequest: 9,
    SyncGroupRequest: 5,
    HeartbeatRequest: 4,
    LeaveGroupRequest: 5,
    OffsetCommitRequest: 9,
    OffsetFetchRequest: 9,
}


class PeerRequests(Protocol):
    """`odradek.node.net.peer.Peers`."""

    async def request(
        self, node_id: int, message: Message, version: int, timeout_ms: int, client_id: str = ...
    ) -> Message: ...


class ElsewhereOverKafka:
    def __init__(self, peers: PeerRequests) -> None:
        self._peers = peers

    async def _ask(
        self,
        node_id: int,
        message: Message,
        answer: type[M],
        timeout_ms: int = REQUEST_TIMEOUT_MS,
        **more: Any,
    ) -> M:
        response = await self._peers.request(
            node_id, message, _VERSION[type(message)], timeout_ms + GRACE_MS, **more
        )
        assert isinstance(response, answer), f"{response!r} to {message!r}"
        return response

    # -- partitions

    async def produce(
        self, node_id: int, topic: str, partition: int, records: Records, acks: int, timeout_ms: int
    ) -> AppendResult:
        request = ProduceRequest(
            acks=acks,
            timeout_ms=timeout_ms,
            topic_data=[
                ProduceRequest.TopicProduceData(
                    name=topic,
                    partition_data=[ProduceRequest.PartitionProduceData(index=partition, records=records)],
                )
            ],
        )
        answer = await self._ask(node_id, request, ProduceResponse, timeout_ms)
        found = answer.responses[0].partition_responses[0]
        error = ErrorCode(found.error_code)
        return AppendResult(
            error,
            found.base_offset,
            -1,
            found.log_append_time_ms,
            found.log_start_offset,
            record_errors=tuple(
                RecordFault(one.batch_index, one.batch_index_error_message or "")
                for one in found.record_errors
            ),
            error_message=found.error_message,
        )

    async def fetch(
        self,
        node_id: int,
        asked: Sequence[FetchPartition],
        *,
        max_bytes: int,
        max_wait_ms: int,
        isolation_level: int,
    ) -> list[FetchedPartition]:
        topics: dict[str, list[FetchRequest.FetchPartition]] = {}
        for one in asked:
            topics.setdefault(one.topic, []).append(
                FetchRequest.FetchPartition(
                    partition=one.index,
                    fetch_offset=one.fetch_offset,
                    partition_max_bytes=one.max_bytes,
                    current_leader_epoch=one.current_leader_epoch,
                    last_fetched_epoch=one.last_fetched_epoch,
                )
            )
        request = FetchRequest(
            max_wait_ms=max_wait_ms,
            min_bytes=1,
            max_bytes=max_bytes,
            isolation_level=isolation_level,
            session_epoch=SESSIONLESS_EPOCH,
            topics=[
                FetchRequest.FetchTopic(topic=name, partitions=partitions)
                for name, partitions in topics.items()
            ],
        )
        answer = await self._ask(node_id, request, FetchResponse, max_wait_ms)
        whole = ErrorCode(answer.error_code)
        told = {
            (topic.topic, partition.partition_index): partition
            for topic in answer.responses
            for partition in topic.partitions
        }
        return [_fetched(one, told.get((one.topic, one.index)), whole) for one in asked]

    async def list_offset(
        self, node_id: int, topic: str, partition: int, timestamp: int, isolation_level: int
    ) -> ListedOffset:
        request = ListOffsetsRequest(
            replica_id=-1,
            isolation_level=isolation_level,
            topics=[
                ListOffsetsRequest.ListOffsetsTopic(
                    name=topic,
                    partitions=[
                        ListOffsetsRequest.ListOffsetsPartition(
                            partition_index=partition, timestamp=timestamp
                        )
                    ],
                )
            ],
        )
        answer = await self._ask(node_id, request, ListOffsetsResponse)
        found = answer.topics[0].partitions[0]
        return ListedOffset(ErrorCode(found.error_code), found.timestamp, found.offset, found.leader_epoch)

    # -- groups

    async def join(self, node_id: int, context: RequestContext, command: JoinGroup) -> JoinResult:
        request = JoinGroupRequest(
            group_id=command.group_id,
            session_timeout_ms=command.session_timeout_ms,
            rebalance_timeout_ms=command.rebalance_timeout_ms,
            member_id=command.member_id,
            group_instance_id=command.instance_id,
            protocol_type=command.protocol_type,
            protocols=[
                JoinGroupRequest.JoinGroupRequestProtocol(name=one.name, metadata=one.metadata)
                for one in command.protocols
            ],
        )
        wait_ms = command.rebalance_timeout_ms + command.session_timeout_ms
        answer = await self._ask(
            node_id, request, JoinGroupResponse, wait_ms, client_id=context.client_id or ""
        )
        return JoinResult(
            ErrorCode(answer.error_code),
            answer.member_id,
            answer.generation_id,
            answer.protocol_type,
            answer.protocol_name,
            answer.leader,
            answer.skip_assignment,
            tuple(JoinedMember(one.member_id, one.group_instance_id, one.metadata) for one in answer.members),
        )

    async def sync(self, node_id: int, command: SyncGroup) -> SyncResult:
        request = SyncGroupRequest(
            group_id=command.group_id,
            generation_id=command.generation,
            member_id=command.member_id,
            group_instance_id=command.instance_id,
            protocol_type=command.protocol_type,
            protocol_name=command.protocol_name,
            assignments=[
                SyncGroupRequest.SyncGroupRequestAssignment(member_id=member_id, assignment=assignment)
                for member_id, assignment in command.assignments.items()
            ],
        )
        answer = await self._ask(node_id, request, SyncGroupResponse, 60_000)
        return SyncResult(
            ErrorCode(answer.error_code), answer.assignment, answer.protocol_type, answer.protocol_name
        )

    async def heartbeat(self, node_id: int, command: Heartbeat) -> ErrorCode:
        request = HeartbeatRequest(
            group_id=command.group_id,
            generation_id=command.generation,
            member_id=command.member_id,
            group_instance_id=command.instance_id,
        )
        return ErrorCode((await self._ask(node_id, request, HeartbeatResponse)).error_code)

    async def leave(self, node_id: int, command: LeaveGroup) -> LeaveResult:
        request = LeaveGroupRequest(
            group_id=command.group_id,
            members=[
                LeaveGroupRequest.MemberIdentity(
                    member_id=one.member_id, group_instance_id=one.instance_id, reason=one.reason
                )
                for one in command.members
            ],
        )
        answer = await self._ask(node_id, request, LeaveGroupResponse)
        return LeaveResult(
            ErrorCode(answer.error_code),
            tuple(
                LeftMember(one.member_id, one.group_instance_id, ErrorCode(one.error_code))
                for one in answer.members
            ),
        )

    async def commit(self, node_id: int, command: CommitCommand) -> list[ErrorCode]:
        request = OffsetCommitRequest(
            group_id=command.group_id,
            generation_id_or_member_epoch=command.generation,
            member_id=command.member_id,
            group_instance_id=command.instance_id,
            topics=[
                OffsetCommitRequest.OffsetCommitRequestTopic(
                    name=topic.name,
                    partitions=[
                        OffsetCommitRequest.OffsetCommitRequestPartition(
                            partition_index=one.partition,
                            committed_offset=one.offset,
                            committed_leader_epoch=one.leader_epoch,
                            committed_metadata=one.metadata,
                        )
                        for one in topic.partitions
                    ],
                )
                for topic in command.topics
            ],
        )
        answer = await self._ask(node_id, request, OffsetCommitResponse)
        return [ErrorCode(one.error_code) for topic in answer.topics for one in topic.partitions]

    async def committed(
        self, node_id: int, group_id: str, topics: Sequence[TopicToFetch] | None
    ) -> FetchedGroup:
        asked = (
            None
            if topics is None
            else [
                OffsetFetchRequest.OffsetFetchRequestTopics(
                    name=topic.name, partition_indexes=list(topic.partitions)
                )
                for topic in topics
            ]
        )
        request = OffsetFetchRequest(
            groups=[OffsetFetchRequest.OffsetFetchRequestGroup(group_id=group_id, topics=asked)]
        )
        answer = (await self._ask(node_id, request, OffsetFetchResponse)).groups[0]
        return FetchedGroup(
            ErrorCode(answer.error_code),
            group_id,
            [
                FetchedTopic(
                    topic.name,
                    bytes(16),
                    [
                        FetchedOffset(
                            one.partition_index,
                            ErrorCode(one.error_code),
                            one.committed_offset,
                            one.committed_leader_epoch,
                            one.metadata or "",
                        )
                        for one in topic.partitions
                    ],
                )
                for topic in answer.topics
            ],
        )


def _fetched(
    asked: FetchPartition, told: FetchResponse.PartitionData | None, whole: ErrorCode
) -> FetchedPartition:
    if told is None:
        return FetchedPartition(
            asked, whole if whole is not ErrorCode.NONE else ErrorCode.UNKNOWN_SERVER_ERROR
        )
    answer = FetchedPartition(asked, ErrorCode(told.error_code))
    answer.high_watermark = told.high_watermark
    answer.last_stable_offset = told.last_stable_offset
    answer.log_start_offset = told.log_start_offset
    answer.records = told.records or b""
    return answer
