"""Classic consumer groups: membership and administration.

Keys: 11 JoinGroup, 14 SyncGroup, 12 Heartbeat, 13 LeaveGroup, 15 DescribeGroups, 16 ListGroups, 42
DeleteGroups. Versions: JoinGroup 0-9, SyncGroup 0-5, Heartbeat 0-4, LeaveGroup 0-5, DescribeGroups 0-6,
ListGroups 0-5, DeleteGroups 0-2. Behaviour: joins and syncs are answered when their barrier opens; everything
asked for in a batch is answered, in order. Version notes: JoinGroup 0 has no rebalance timeout (the session's
applies), from 4 a new dynamic member needs an id first, before 7 the protocol name cannot be null, from 9 a
replaced static leader may be told to skip the assignment. SyncGroup 5 must name the protocol. LeaveGroup
before 3 leaves one member and reports its error at the top. DescribeGroups before 6 shows a missing group as
"Dead" without an error. Not implemented: authorisation, so authorised operations are all operations.
"""

from __future__ import annotations

from odradek.node.app.context import RequestContext
from odradek.node.app.groups import GroupsService
from odradek.node.coordinator.group.commands import (
    GroupDescription,
    GroupProtocol,
    Heartbeat,
    JoinGroup,
    JoinResult,
    LeaveGroup,
    LeaveResult,
    LeavingMember,
    SyncGroup,
    SyncResult,
)
from odradek.node.kafka_api.registry import Route
from odradek.node.runtime.deferred import Deferred
from odradek.proto.kafka.api import ApiKey
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.classic_group import (
    DeleteGroupsRequest,
    DeleteGroupsResponse,
    DescribeGroupsRequest,
    DescribeGroupsResponse,
    HeartbeatRequest,
    HeartbeatResponse,
    JoinGroupRequest,
    JoinGroupResponse,
    LeaveGroupRequest,
    LeaveGroupResponse,
    ListGroupsRequest,
    ListGroupsResponse,
    SyncGroupRequest,
    SyncGroupResponse,
)

ALL_GROUP_OPERATIONS = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11
"""READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS and ALTER_CONFIGS, as bits by the number of the ACL operation."""
OPERATIONS_NOT_ASKED = -2147483648


class ClassicGroupHandlers:
    def __init__(self, groups: GroupsService) -> None:
        self._groups = groups

    def routes(self) -> list[Route]:
        return [
            Route(ApiKey.JOIN_GROUP, 0, 9, self.join_group),
            Route(ApiKey.SYNC_GROUP, 0, 5, self.sync_group),
            Route(ApiKey.HEARTBEAT, 0, 4, self.heartbeat),
            Route(ApiKey.LEAVE_GROUP, 0, 5, self.leave_group),
            Route(ApiKey.DESCRIBE_GROUPS, 0, 6, self.describe_groups),
            Route(ApiKey.LIST_GROUPS, 0, 5, self.list_groups),
            Route(ApiKey.DELETE_GROUPS, 0, 2, self.delete_groups),
        ]

    def join_group(
        self, context: RequestContext, request: JoinGroupRequest, version: int
    ) -> Deferred[JoinGroupResponse]:
        command = JoinGroup(
            request.group_id,
            request.member_id,
            request.group_instance_id,
            context.client_id or "",
            f"/{context.client_host}",  # Java's way of writing an address, which Kafka's tools show
            request.session_timeout_ms,
            request.rebalance_timeout_ms if version >= 1 else request.session_timeout_ms,
            request.protocol_type,
            tuple(GroupProtocol(protocol.name, protocol.metadata) for protocol in request.protocols),
            known_member_id_required=version >= 4,
            can_skip_assignment=version >= 9,
        )
        return self._groups.join(command).map(lambda result: _joined(result, version))

    def sync_group(
        self, context: RequestContext, request: SyncGroupRequest, version: int
    ) -> Deferred[SyncGroupResponse]:
        if version >= 5 and (request.protocol_type is None or request.protocol_name is None):
            return Deferred.resolved(_synced(SyncResult(ErrorCode.INCONSISTENT_GROUP_PROTOCOL)))
        command = SyncGroup(
            request.group_id,
            request.generation_id,
            request.member_id,
            request.group_instance_id,
            request.protocol_type,
            request.protocol_name,
            {entry.member_id: entry.assignment for entry in request.assignments},
        )
        return self._groups.sync(command).map(_synced)

    def heartbeat(
        self, context: RequestContext, request: HeartbeatRequest, version: int
    ) -> HeartbeatResponse:
        command = Heartbeat(
            request.group_id, request.generation_id, request.member_id, request.group_instance_id
        )
        return HeartbeatResponse(error_code=self._groups.heartbeat(command))

    def leave_group(
        self, context: RequestContext, request: LeaveGroupRequest, version: int
    ) -> Deferred[LeaveGroupResponse]:
        members: tuple[LeavingMember, ...]
        if version < 3:
            members = (LeavingMember(request.member_id, None),)
        else:
            members = tuple(
                LeavingMember(member.member_id, member.group_instance_id, member.reason)
                for member in request.members
            )
        command = LeaveGroup(request.group_id, members)
        return self._groups.leave(command).map(lambda result: _left(result, version))

    def describe_groups(
        self, context: RequestContext, request: DescribeGroupsRequest, version: int
    ) -> DescribeGroupsResponse:
        operations = ALL_GROUP_OPERATIONS if request.include_authorized_operations else OPERATIONS_NOT_ASKED
        return DescribeGroupsResponse(
            groups=[_described(group, version, operations) for group in self._groups.describe(request.groups)]
        )

    def list_groups(
        self, context: RequestContext, request: ListGroupsRequest, version: int
    ) -> ListGroupsResponse:
        listed = self._groups.list_groups(request.states_filter, request.types_filter)
        return ListGroupsResponse(
            error_code=listed.error,
            groups=[
                ListGroupsResponse.ListedGroup(
                    group_id=group.group_id,
                    protocol_type=group.protocol_type,
                    group_state=group.state,
                    group_type=group.group_type,
                )
                for group in (() if listed.error else listed.groups)
            ],
        )

    async def delete_groups(
        self, context: RequestContext, request: DeleteGroupsRequest, version: int
    ) -> DeleteGroupsResponse:
        names = list(dict.fromkeys(request.groups_names))
        errors = await self._groups.delete(names)
        return DeleteGroupsResponse(
            results=[
                DeleteGroupsResponse.DeletableGroupResult(group_id=name, error_code=error)
                for name, error in zip(names, errors, strict=True)
            ]
        )


def _joined(result: JoinResult, version: int) -> JoinGroupResponse:
    name = result.protocol_name
    return JoinGroupResponse(
        error_code=result.error,
        generation_id=result.generation,
        protocol_type=result.protocol_type,
        protocol_name="" if name is None and version < 7 else name,
        leader=result.leader_id,
        skip_assignment=result.skip_assignment,
        member_id=result.member_id,
        members=[
            JoinGroupResponse.JoinGroupResponseMember(
                member_id=member.member_id, group_instance_id=member.instance_id, metadata=member.metadata
            )
            for member in result.members
        ],
    )


def _synced(result: SyncResult) -> SyncGroupResponse:
    return SyncGroupResponse(
        error_code=result.error,
        protocol_type=result.protocol_type,
        protocol_name=result.protocol_name,
        assignment=result.assignment,
    )


def _left(result: LeaveResult, version: int) -> LeaveGroupResponse:
    error = result.error
    if version < 3 and error is ErrorCode.NONE:
        error = next((member.error for member in result.members), ErrorCode.NONE)
    return LeaveGroupResponse(
        error_code=error,
        members=[
            LeaveGroupResponse.MemberResponse(
                member_id=member.member_id, group_instance_id=member.instance_id, error_code=member.error
            )
            for member in result.members
        ],
    )


def _described(
    group: GroupDescription, version: int, operations: int
) -> DescribeGroupsResponse.DescribedGroup:
    missing = group.error is ErrorCode.GROUP_ID_NOT_FOUND
    return DescribeGroupsResponse.DescribedGroup(
        error_code=ErrorCode.NONE if missing and version < 6 else group.error,
        error_message=f"Group {group.group_id} not found." if missing else None,
        group_id=group.group_id,
        group_state=group.state,
        protocol_type=group.protocol_type,
        protocol_data=group.protocol_name,
        authorized_operations=operations if group.error is ErrorCode.NONE else OPERATIONS_NOT_ASKED,
        members=[
            DescribeGroupsResponse.DescribedGroupMember(
                member_id=member.member_id,
                group_instance_id=member.instance_id,
                client_id=member.client_id,
                client_host=member.client_host,
                member_metadata=member.metadata,
                member_assignment=member.assignment,
            )
            for member in group.members
        ],
    )
