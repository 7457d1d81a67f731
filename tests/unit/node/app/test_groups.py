from __future__ import annotations

import pytest
from tests.scripts.group.node import CONTEXT, Node

from odradek.node.app.groups import CoordinatorKind
from odradek.node.coordinator.group.commands import (
    GroupProtocol,
    Heartbeat,
    JoinGroup,
    LeaveGroup,
    LeavingMember,
    SyncGroup,
)
from odradek.proto.kafka.errors import ErrorCode


def join(group_id: str = "g", session_ms: int = 10_000) -> JoinGroup:
    protocols = (GroupProtocol("x", b""),)
    return JoinGroup(group_id, "", None, "c", "/h", session_ms, 30_000, "consumer", protocols, False)


def sync(group_id: str = "g") -> SyncGroup:
    return SyncGroup(group_id, 1, "c-1", None, None, None, {"c-1": b"p"})


def leave(group_id: str = "g") -> LeaveGroup:
    return LeaveGroup(group_id, (LeavingMember("c-1", None),))


async def test_a_member_comes_and_goes() -> None:
    groups = Node().groups
    joined = await groups.join(join()).wait()
    assert (joined.error, joined.member_id) == (ErrorCode.NONE, "c-1")
    assert (await groups.sync(sync()).wait()).assignment == b"p"
    assert groups.heartbeat(Heartbeat("g", 1, "c-1", None)) is ErrorCode.NONE
    assert (await groups.leave(leave()).wait()).members[0].error is ErrorCode.NONE
    assert groups.heartbeat(Heartbeat("g", 1, "c-1", None)) is ErrorCode.UNKNOWN_MEMBER_ID


async def test_membership_needs_a_group_id() -> None:
    groups = Node().groups
    bad = ErrorCode.INVALID_GROUP_ID
    assert groups.join(join("")).value.error is bad
    assert groups.sync(sync("")).value.error is bad
    assert groups.leave(leave("")).value.error is bad
    assert groups.heartbeat(Heartbeat("", 1, "c-1", None)) is bad


@pytest.mark.parametrize(("session_ms", "accepted"), [(5_999, False), (6_000, True), (1_800_001, False)])
async def test_session_timeouts_have_bounds(session_ms: int, accepted: bool) -> None:
    answer = await Node().groups.join(join(session_ms=session_ms)).wait()
    assert answer.error is (ErrorCode.NONE if accepted else ErrorCode.INVALID_SESSION_TIMEOUT)


async def test_a_coordinator_that_is_loading_or_elsewhere() -> None:
    node = Node(leading=False)
    loading = ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
    assert node.groups.join(join()).value.error is loading
    assert node.groups.sync(sync()).value.error is loading
    assert node.groups.leave(leave()).value.error is loading
    assert node.groups.describe(["g"])[0].error is loading
    assert node.groups.list_groups() == (loading, [], [])
    assert await node.groups.delete(["g"]) == [loading]
    # No session runs while loading: a member must not take this for a reason to rejoin.
    assert node.groups.heartbeat(Heartbeat("g", 1, "c-1", None)) is ErrorCode.NONE
    node.lose()
    assert node.groups.heartbeat(Heartbeat("g", 1, "c-1", None)) is ErrorCode.NOT_COORDINATOR
    assert node.groups.list_groups() == (ErrorCode.NONE, [], []), "another node lists them"


async def test_groups_of_all_shards_are_listed_and_filtered() -> None:
    node = Node()
    for name in "abcdef":
        await node.groups.join(join(name)).wait()

    def names(*states: str, types: tuple[str, ...] = ()) -> set[str]:
        error, found, shards = node.groups.list_groups(states, types)
        assert error is ErrorCode.NONE and shards == list(range(len(node.logs)))
        return {group.group_id for group in found}

    assert names() == set("abcdef")
    assert names(" completingREBALANCE", "Stable") == set("abcdef")
    assert names("Empty") == set()
    assert names(types=("CLASSIC",)) == set("abcdef")
    assert names(types=("consumer", "nonsense")) == set()


async def test_everything_asked_for_is_described_and_deleted_in_order() -> None:
    node = Node()
    await node.groups.join(join("b")).wait()
    described = node.groups.describe(["a", "b", "a"])
    assert [(d.group_id, d.state) for d in described] == [
        ("a", "Dead"), ("b", "CompletingRebalance"), ("a", "Dead"),
    ]  # fmt: skip
    missing = ErrorCode.GROUP_ID_NOT_FOUND
    assert await node.groups.delete(["a", "b", ""]) == [missing, ErrorCode.NON_EMPTY_GROUP, missing]


async def test_the_coordinator_of_a_group_is_where_the_client_dialled() -> None:
    found = Node().groups.find_coordinator(CONTEXT, CoordinatorKind.GROUP, ["g", ""])
    assert [one.key for one in found] == ["g", ""]
    assert {(one.error, one.endpoint) for one in found} == {(ErrorCode.NONE, (1, "dialled", 9092))}


@pytest.mark.parametrize(("kind", "word"), [(1, "transactions"), (2, "share groups"), (9, "type 9")])
async def test_other_coordinators_are_refused_with_a_reason(kind: int, word: str) -> None:
    (found,) = Node().groups.find_coordinator(CONTEXT, kind, ["k"])
    assert found.error is ErrorCode.INVALID_REQUEST
    assert word in (found.message or "") and found.endpoint.node_id == -1
