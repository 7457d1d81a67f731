"""Version by version: what leaves must be what that version can say. Rules of groups are tested elsewhere."""

from __future__ import annotations

from typing import TypeVar

import pytest
from tests.scripts.group.node import CONTEXT, Node

from odradek.node.kafka_api.handlers.classic_group import ALL_GROUP_OPERATIONS, ClassicGroupHandlers
from odradek.proto.kafka import api
from odradek.proto.kafka.codec import decode, encode_to_bytes
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.classic_group import (
    DeleteGroupsRequest,
    DescribeGroupsRequest,
    HeartbeatRequest,
    JoinGroupRequest,
    JoinGroupResponse,
    LeaveGroupRequest,
    ListGroupsRequest,
    SyncGroupRequest,
)
from odradek.proto.kafka.schema import Message

M = TypeVar("M", bound=Message)


def wire(message: M, version: int) -> M:
    """As the other side sees it."""
    return decode(type(message), version, encode_to_bytes(message, version))


class Kafka:
    """Handlers, called with what would arrive and answering what would leave."""

    def __init__(self) -> None:
        self.node = Node()
        self.handlers = ClassicGroupHandlers(self.node.groups)

    async def join(self, version: int, **fields: object) -> JoinGroupResponse:
        request = JoinGroupRequest(
            group_id="g",
            session_timeout_ms=10_000,
            rebalance_timeout_ms=30_000,
            protocol_type="consumer",
            protocols=[JoinGroupRequest.JoinGroupRequestProtocol(name="range", metadata=b"meta")],
        )
        for name, value in fields.items():
            setattr(request, name, value)
        answer = await self.handlers.join_group(CONTEXT, wire(request, version), version).wait()
        return wire(answer, version)

    async def member(self, version: int = 9) -> JoinGroupResponse:
        joined = await self.join(version)
        if joined.error_code == ErrorCode.MEMBER_ID_REQUIRED:
            joined = await self.join(version, member_id=joined.member_id)
        request = SyncGroupRequest(
            group_id="g",
            generation_id=joined.generation_id,
            member_id=joined.member_id,
            assignments=[
                SyncGroupRequest.SyncGroupRequestAssignment(member_id=joined.member_id, assignment=b"all")
            ],
        )
        synced = await self.handlers.sync_group(CONTEXT, wire(request, 3), 3).wait()
        assert wire(synced, 3).assignment == b"all"
        return joined


def test_routes_are_the_versions_of_kafka_4_3() -> None:
    routes = ClassicGroupHandlers.routes(object.__new__(ClassicGroupHandlers))
    assert {route.key.name: (route.min_version, route.max_version) for route in routes} == {
        "JOIN_GROUP": (0, 9),
        "SYNC_GROUP": (0, 5),
        "HEARTBEAT": (0, 4),
        "LEAVE_GROUP": (0, 5),
        "DESCRIBE_GROUPS": (0, 6),
        "LIST_GROUPS": (0, 5),
        "DELETE_GROUPS": (0, 2),
    }
    assert all(api.versions(route.key)[1] >= route.max_version for route in routes)


@pytest.mark.parametrize("version", range(10))
async def test_join(version: int) -> None:
    kafka = Kafka()
    joined = await kafka.join(version)
    assert (joined.error_code == ErrorCode.MEMBER_ID_REQUIRED) == (version >= 4)
    if version >= 4:
        assert joined.protocol_name == (None if version >= 7 else "")
        joined = await kafka.join(version, member_id=joined.member_id)
    assert (joined.error_code, joined.generation_id, joined.protocol_name) == (0, 1, "range")
    assert joined.protocol_type == ("consumer" if version >= 7 else None)
    assert joined.leader == joined.member_id == joined.members[0].member_id == "client-1"
    assert joined.members[0].metadata == b"meta"
    shard = kafka.node.runtime.read("g")
    assert not isinstance(shard, ErrorCode)
    member = shard.groups["g"].members["client-1"]
    assert member.rebalance_timeout_ms == (30_000 if version else 10_000), "version 0 has none"
    assert member.client_host == "/10.0.0.7"


async def test_only_from_version_9_may_a_leader_skip_the_assignment() -> None:
    for version in (5, 8, 9):
        kafka = Kafka()
        first = await kafka.join(version, group_instance_id="i")
        request = SyncGroupRequest(group_id="g", generation_id=1, member_id=first.member_id)
        await kafka.handlers.sync_group(CONTEXT, wire(request, 3), 3).wait()
        again = await kafka.join(version, group_instance_id="i")
        assert again.skip_assignment == (version >= 9)
        assert (again.leader == again.member_id) == (version >= 9)


@pytest.mark.parametrize("version", range(6))
async def test_sync(version: int) -> None:
    kafka = Kafka()
    joined = await kafka.member()
    request = SyncGroupRequest(group_id="g", generation_id=1, member_id=joined.member_id)
    unnamed = wire(await kafka.handlers.sync_group(CONTEXT, wire(request, version), version).wait(), version)
    expected = ErrorCode.INCONSISTENT_GROUP_PROTOCOL if version >= 5 else ErrorCode.NONE
    assert unnamed.error_code == expected
    request.protocol_type, request.protocol_name = "consumer", "range"
    named = wire(await kafka.handlers.sync_group(CONTEXT, wire(request, version), version).wait(), version)
    assert (named.error_code, named.assignment) == (0, b"all")
    assert named.protocol_name == ("range" if version >= 5 else None)


@pytest.mark.parametrize("version", range(5))
async def test_heartbeat(version: int) -> None:
    kafka = Kafka()
    joined = await kafka.member()
    request = HeartbeatRequest(group_id="g", generation_id=1, member_id=joined.member_id)
    assert kafka.handlers.heartbeat(CONTEXT, wire(request, version), version).error_code == 0
    request.generation_id = 2
    answer = kafka.handlers.heartbeat(CONTEXT, wire(request, version), version)
    assert wire(answer, version).error_code == ErrorCode.ILLEGAL_GENERATION


@pytest.mark.parametrize("version", range(6))
async def test_leave(version: int) -> None:
    kafka = Kafka()
    joined = await kafka.member()
    for expected in (ErrorCode.NONE, ErrorCode.UNKNOWN_MEMBER_ID):
        request = LeaveGroupRequest(group_id="g", member_id=joined.member_id)
        request.members = [LeaveGroupRequest.MemberIdentity(member_id=joined.member_id)]
        left = wire(
            await kafka.handlers.leave_group(CONTEXT, wire(request, version), version).wait(), version
        )
        if version >= 3:
            assert left.error_code == 0
            assert [(m.member_id, m.error_code) for m in left.members] == [(joined.member_id, expected)]
        else:
            assert left.error_code == expected and left.members == []


@pytest.mark.parametrize("version", range(7))
async def test_describe(version: int) -> None:
    kafka = Kafka()
    joined = await kafka.member()
    request = DescribeGroupsRequest(groups=["g", "none"], include_authorized_operations=version >= 3)
    described = wire(kafka.handlers.describe_groups(CONTEXT, wire(request, version), version), version)
    group, missing = described.groups
    assert (group.error_code, group.group_state, group.protocol_data) == (0, "Stable", "range")
    assert group.members[0].member_id == joined.member_id
    assert (group.members[0].client_id, group.members[0].client_host) == ("client", "/10.0.0.7")
    assert (group.members[0].member_metadata, group.members[0].member_assignment) == (b"meta", b"all")
    assert group.authorized_operations == (ALL_GROUP_OPERATIONS if version >= 3 else -(1 << 31))
    assert (missing.group_id, missing.group_state) == ("none", "Dead")
    assert missing.error_code == (ErrorCode.GROUP_ID_NOT_FOUND if version >= 6 else 0)
    assert missing.authorized_operations == -(1 << 31)


@pytest.mark.parametrize("version", range(6))
async def test_list(version: int) -> None:
    kafka = Kafka()
    await kafka.member()
    request = ListGroupsRequest()
    if version >= 4:
        request.states_filter = ["STABLE"]
    if version >= 5:
        request.types_filter = ["Classic"]
    listed = wire(kafka.handlers.list_groups(CONTEXT, wire(request, version), version), version)
    (group,) = listed.groups
    assert (listed.error_code, group.group_id, group.protocol_type) == (0, "g", "consumer")
    assert group.group_state == ("Stable" if version >= 4 else "")
    assert group.group_type == ("classic" if version >= 5 else "")


@pytest.mark.parametrize("version", range(3))
async def test_delete(version: int) -> None:
    kafka = Kafka()
    await kafka.member()
    request = DeleteGroupsRequest(groups_names=["none", "g", "none"])
    deleted = wire(await kafka.handlers.delete_groups(CONTEXT, wire(request, version), version), version)
    assert [(r.group_id, r.error_code) for r in deleted.results] == [
        ("none", ErrorCode.GROUP_ID_NOT_FOUND),
        ("g", ErrorCode.NON_EMPTY_GROUP),
    ]
