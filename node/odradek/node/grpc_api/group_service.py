"""GroupService: consumer groups and how far they have read, from any node. Translates only.

A group is its coordinator's; a list of groups is gathered from all coordinators, each of which tells its own.
Source: proto/odradek/v1/group_service.proto.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Protocol

from google.protobuf.message import Message

from odradek.node.app.groups import GroupsService
from odradek.node.app.list_offsets import LATEST
from odradek.node.app.offset_lookups import LookUp, OffsetLookUps
from odradek.node.app.offsets import OffsetsService
from odradek.node.coordinator.group.commands import GroupDescription, LeaveGroup, LeavingMember
from odradek.node.coordinator.group.consumer_protocol import MalformedAssignmentError, decode_assignment
from odradek.node.coordinator.group.subscription import CONSUMER_PROTOCOL_TYPE
from odradek.node.grpc_api.arguments import chosen, distinct, required, some
from odradek.node.grpc_api.group_positions import commit_of, positions_of
from odradek.node.grpc_api.methods import Call, Location, Method, OtherNodes
from odradek.node.grpc_api.paging import Paging
from odradek.node.grpc_api.refusal import RefusalError, error_message, invalid, refused
from odradek.proto.kafka.errors import ErrorCode
from odradek.v1 import error_pb2, record_pb2
from odradek.v1 import group_service_pb2 as pb

ASK_TIMEOUT_S: Final = 2.0
LOOK_UP_TIMEOUT_S: Final = 2.0
TIMEOUT_MS: Final = 30_000
_STATES: Final[Mapping[pb.GroupState, str]] = MappingProxyType(
    {
        pb.GROUP_STATE_EMPTY: "Empty",
        pb.GROUP_STATE_PREPARING_REBALANCE: "PreparingRebalance",
        pb.GROUP_STATE_COMPLETING_REBALANCE: "CompletingRebalance",
        pb.GROUP_STATE_STABLE: "Stable",
        pb.GROUP_STATE_DEAD: "Dead",
    }
)
_STATE_NUMBERS: Final = {name: number for number, name in _STATES.items()}
_BY_MEMBERS: Final = frozenset(
    (ErrorCode.UNKNOWN_MEMBER_ID, ErrorCode.ILLEGAL_GENERATION, ErrorCode.REBALANCE_IN_PROGRESS)
)
"""What a commit of nobody gets where the group has members."""


class GroupLocation(Protocol):
    """`odradek.node.coordinator.runtime.CoordinatorRuntime`."""

    def leader_of(self, group_id: str) -> int | None: ...
    def leaders(self) -> list[int | None]: ...


class GroupServicer:
    service: Final = "odradek.v1.GroupService"

    def __init__(
        self,
        groups: GroupsService,
        offsets: OffsetsService,
        look_ups: OffsetLookUps,
        coordinators: GroupLocation,
        location: Location,
        others: OtherNodes,
    ) -> None:
        self._groups = groups
        self._offsets = offsets
        self._look_ups = look_ups
        self._coordinators = coordinators
        self._location = location
        self._others = others

    def methods(self) -> list[Method]:
        return [
            Method("ListGroups", pb.ListGroupsRequest, self.list_groups),
            self._of_group("GetGroup", pb.GetGroupRequest, self.get_group),
            self._of_group("DeleteGroup", pb.DeleteGroupRequest, self.delete_group),
            self._of_group("ListGroupOffsets", pb.ListGroupOffsetsRequest, self.list_offsets),
            self._of_group("SetGroupOffsets", pb.SetGroupOffsetsRequest, self.set_offsets),
            self._of_group("DeleteGroupOffsets", pb.DeleteGroupOffsetsRequest, self.delete_offsets),
            self._of_group("RemoveGroupMember", pb.RemoveGroupMemberRequest, self.remove_member),
        ]

    def _of_group(
        self, name: str, request: type[Message], call: Callable[[Call, Any], Awaitable[Any]]
    ) -> Method:
        """A method that the coordinator of `group_id` carries out."""
        return Method(
            name,
            request,
            call,
            where=lambda asked: self._coordinators.leader_of(asked.group_id),
            nobody=ErrorCode.COORDINATOR_NOT_AVAILABLE,
        )

    # -- all groups

    async def list_groups(self, call: Call, request: pb.ListGroupsRequest) -> pb.ListGroupsResponse:
        allowed = {name: number for name, number in pb.GroupState.items() if number}
        for state in request.states:
            chosen(state, allowed, "states")
        states = sorted(set(request.states))
        paging = Paging("groups", states, request.page_size, request.page_token)
        own = self._own_groups(paging, [_STATES[state] for state in states])
        return own if call.is_forwarded else await self._all_groups(call, request, paging, own)

    def _own_groups(self, paging: Paging, states: Sequence[str]) -> pb.ListGroupsResponse:
        listed = self._groups.list_groups(states)
        page, token = paging.take(
            sorted(group.group_id for group in listed.groups), lambda group_id: (group_id,)
        )
        answer = pb.ListGroupsResponse(next_page_token=token, coordinators=listed.shards)
        if listed.error is not ErrorCode.NONE:
            answer.errors.append(_missing(self._location.node_id, refused(listed.error)))
        for described in self._groups.describe(page):
            answer.groups.append(self._group(described))
        return answer

    async def _all_groups(
        self, call: Call, request: pb.ListGroupsRequest, paging: Paging, own: pb.ListGroupsResponse
    ) -> pb.ListGroupsResponse:
        """The first page of what the first pages of all nodes come to: a token is the same to every node.

        A coordinator that moves meanwhile may have been asked where it is not any more, or not yet: what counts is
        which ones have answered, not who was believed to lead them."""
        leaders = self._coordinators.leaders()
        alive = {broker.broker_id for broker in self._location.image.live_brokers}
        nodes = sorted((alive | {one for one in leaders if one is not None}) - {self._location.node_id})
        path = f"/{self.service}/ListGroups"
        gathered = await asyncio.gather(
            *(
                self._others.ask(node, path, call, request, pb.ListGroupsResponse, ASK_TIMEOUT_S)
                for node in nodes
            ),
            return_exceptions=True,
        )
        groups: dict[str, pb.Group] = {}
        errors: list[error_pb2.Error] = []
        answered: set[int] = set()
        failed: set[int | None] = set()
        has_more = False
        for node, answer in ((self._location.node_id, own), *zip(nodes, gathered, strict=True)):
            if isinstance(answer, RefusalError):
                answer = pb.ListGroupsResponse(errors=[_missing(node, answer)])
            elif isinstance(answer, BaseException):
                raise answer
            groups.update((group.group_id, group) for group in answer.groups)
            answered.update(answer.coordinators)
            has_more |= bool(answer.next_page_token)
            if answer.errors:
                errors.extend(answer.errors)
                failed.add(node)
        moving = sum(number not in answered and leader not in failed for number, leader in enumerate(leaders))
        if moving:
            message = f"{moving} of {len(leaders)} coordinators are being elected"
            errors.insert(0, error_message(ErrorCode.COORDINATOR_NOT_AVAILABLE, message))
        page, token = paging.take(sorted(groups), lambda group_id: (group_id,))
        if has_more and not token and page:
            token = paging.token((page[-1],))
        return pb.ListGroupsResponse(
            groups=[groups[group_id] for group_id in page], next_page_token=token, errors=errors
        )

    # -- one group, at its coordinator

    async def get_group(self, call: Call, request: pb.GetGroupRequest) -> pb.GetGroupResponse:
        described = self._describe(required(request.group_id, "group_id"))
        if described.error is not ErrorCode.NONE:
            raise _refused(described.error, request.group_id)
        answer = self._group(described)
        answer.generation = max(0, described.generation)
        is_consumer = described.protocol_type == CONSUMER_PROTOCOL_TYPE
        for member in described.members:
            answer.members.add(
                member_id=member.member_id,
                instance_id=member.instance_id or "",
                client_id=member.client_id,
                client_host=member.client_host,
                partitions=_assigned(member.assignment) if is_consumer else (),
            )
        return pb.GetGroupResponse(group=answer)

    async def delete_group(self, call: Call, request: pb.DeleteGroupRequest) -> pb.DeleteGroupResponse:
        (error,) = await self._groups.delete([required(request.group_id, "group_id")])
        if error is not ErrorCode.NONE:
            raise _refused(error, request.group_id)
        return pb.DeleteGroupResponse()

    async def remove_member(
        self, call: Call, request: pb.RemoveGroupMemberRequest
    ) -> pb.RemoveGroupMemberResponse:
        group_id = required(request.group_id, "group_id")
        if not (request.member_id or request.instance_id):
            raise invalid("member is empty: a member_id or an instance_id has to say who is taken out")
        leaving = LeavingMember(request.member_id, request.instance_id or None, "removed by an administrator")
        result = await self._groups.leave(LeaveGroup(group_id, (leaving,))).wait()
        error = result.error if result.error is not ErrorCode.NONE else result.members[0].error
        if error is not ErrorCode.NONE:
            raise _refused(error, group_id)
        return pb.RemoveGroupMemberResponse()

    def _describe(self, group_id: str) -> GroupDescription:
        (described,) = self._groups.describe([group_id])
        return described

    def _group(self, described: GroupDescription) -> pb.Group:
        return pb.Group(
            group_id=described.group_id,
            state=_STATE_NUMBERS.get(described.state, pb.GROUP_STATE_UNSPECIFIED),
            protocol_type=described.protocol_type,
            assignor=described.protocol_name,
            coordinator_id=self._location.node_id,
        )

    # -- how far a group has read, at its coordinator

    async def list_offsets(
        self, call: Call, request: pb.ListGroupOffsetsRequest
    ) -> pb.ListGroupOffsetsResponse:
        group_id = required(request.group_id, "group_id")
        paging = Paging("group offsets", [group_id], request.page_size, request.page_token)
        fetched = await self._offsets.fetch(group_id, None)
        if fetched.error is not ErrorCode.NONE:
            raise _refused(fetched.error, group_id)
        committed = sorted(
            ((topic.name, one) for topic in fetched.topics for one in topic.partitions),
            key=lambda found: (found[0], found[1].partition),
        )
        page, token = paging.take(committed, lambda found: (found[0], found[1].partition))
        ends = await self._look_ups.find(
            [LookUp(topic, one.partition, LATEST) for topic, one in page],
            _look_up_s(call),
        )
        return pb.ListGroupOffsetsResponse(
            offsets=[
                pb.GroupOffset(
                    topic=topic,
                    partition=one.partition,
                    offset=one.offset,
                    leader_epoch=one.leader_epoch,
                    metadata=one.metadata,
                    high_watermark=end.offset if end.error is ErrorCode.NONE else -1,
                )
                for (topic, one), end in zip(page, ends, strict=True)
            ],
            next_page_token=token,
        )

    async def set_offsets(self, call: Call, request: pb.SetGroupOffsetsRequest) -> pb.SetGroupOffsetsResponse:
        group_id = required(request.group_id, "group_id")
        some(request.positions, "positions")
        distinct(((one.topic, one.partition) for one in request.positions), "positions")
        described = self._describe(group_id)
        if described.error not in (ErrorCode.NONE, ErrorCode.GROUP_ID_NOT_FOUND):
            raise _refused(described.error, group_id)
        if described.members:
            raise _refused(ErrorCode.NON_EMPTY_GROUP, group_id)
        found = await positions_of(request.positions, self._look_ups, _look_up_s(call))
        errors = await self._offsets.commit(commit_of(group_id, request.positions, found)).wait()
        for one, error in zip(request.positions, errors, strict=True):
            if error is not ErrorCode.NONE:
                error = ErrorCode.NON_EMPTY_GROUP if error in _BY_MEMBERS else error
                raise _refused(error, group_id, topic=one.topic, partition=str(one.partition))
        return pb.SetGroupOffsetsResponse(
            offsets=[
                record_pb2.TopicPartitionOffset(topic=one.topic, partition=one.partition, offset=at.offset)
                for one, at in zip(request.positions, found, strict=True)
            ]
        )

    async def delete_offsets(
        self, call: Call, request: pb.DeleteGroupOffsetsRequest
    ) -> pb.DeleteGroupOffsetsResponse:
        group_id = required(request.group_id, "group_id")
        some(request.partitions, "partitions")
        asked = distinct(((one.topic, one.partition) for one in request.partitions), "partitions")
        result = await self._offsets.delete(group_id, asked)
        if result.error is not ErrorCode.NONE:
            raise _refused(result.error, group_id)
        for (topic, partition), error in zip(asked, result.errors, strict=True):
            if error is not ErrorCode.NONE:
                raise _refused(error, group_id, topic=topic, partition=str(partition))
        return pb.DeleteGroupOffsetsResponse()


def _refused(error: ErrorCode, group_id: str, **metadata: str) -> RefusalError:
    return refused(error, None, group_id=group_id, **metadata)


def _look_up_s(call: Call) -> float:
    """Not all that is left, so that an answer without what is silent still arrives."""
    return min(LOOK_UP_TIMEOUT_S, call.timeout_ms(TIMEOUT_MS) / 2000)


def _missing(node_id: int, refusal: RefusalError) -> error_pb2.Error:
    """The groups that a node coordinates are not in the list."""
    known = ErrorCode.__members__.get(refusal.reason, ErrorCode.UNKNOWN_SERVER_ERROR)
    answer = error_message(known, f"node {node_id}: {refusal.message}")
    answer.retriable = answer.retriable or refusal.retry_delay_ms > 0
    return answer


def _assigned(assignment: bytes) -> list[record_pb2.TopicPartition]:
    """None where the bytes are not those of Kafka's consumers."""
    try:
        topics = decode_assignment(assignment)
    except MalformedAssignmentError:
        return []
    return [
        record_pb2.TopicPartition(topic=topic, partition=partition)
        for topic, partitions in sorted(topics.items())
        for partition in sorted(partitions)
    ]
