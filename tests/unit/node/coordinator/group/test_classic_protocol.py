"""Rules of single requests; whole stories are in tests/scripts/group."""

from __future__ import annotations

import pytest
from tests.scripts.group.world import World

from odradek.node.coordinator.config import GroupConfig
from odradek.node.coordinator.group.commands import (
    GroupProtocol,
    Heartbeat,
    JoinGroup,
    JoinResult,
    LeaveGroup,
    LeavingMember,
    SyncGroup,
)
from odradek.node.coordinator.group.shard import GroupShard
from odradek.proto.kafka.errors import ErrorCode

RANGE = (GroupProtocol("range", b"1"),)


def join(
    member_id: str = "",
    *,
    instance: str | None = None,
    protocols: tuple[GroupProtocol, ...] = RANGE,
    kind: str = "consumer",
    known: bool = False,
) -> JoinGroup:
    return JoinGroup("g", member_id, instance, "c", "/h", 10_000, 30_000, kind, protocols, known)


def sync(member_id: str, generation: int, **checks: str) -> SyncGroup:
    return SyncGroup(
        "g", generation, member_id, None, checks.get("kind"), checks.get("name"), {member_id: b"all"}
    )


def stable(world: World, **options: str) -> JoinResult:
    """A Stable group of one dynamic member."""
    token = world.do(GroupShard.join, join())
    world.settle()
    joined = world.answer(token)
    assert isinstance(joined, JoinResult) and joined.error is ErrorCode.NONE
    world.ask(GroupShard.sync, sync(joined.member_id, joined.generation))
    return joined


@pytest.fixture
def world() -> World:
    return World()


def test_a_member_of_no_group_is_unknown(world: World) -> None:
    assert world.ask(GroupShard.join, join("m")) == JoinResult(ErrorCode.UNKNOWN_MEMBER_ID, "m")
    assert world.ask(GroupShard.sync, sync("m", 1)).error is ErrorCode.UNKNOWN_MEMBER_ID
    assert world.shard.heartbeat(Heartbeat("g", 1, "m", None), 0) is ErrorCode.UNKNOWN_MEMBER_ID
    left = world.ask(GroupShard.leave, LeaveGroup("g", (LeavingMember("m", None), LeavingMember("", "i"))))
    assert left.error is ErrorCode.NONE
    assert [m.error for m in left.members] == [ErrorCode.UNKNOWN_MEMBER_ID] * 2


def test_a_new_dynamic_member_is_sent_back_for_its_id(world: World) -> None:
    told = world.ask(GroupShard.join, join(known=True))
    assert told == JoinResult(ErrorCode.MEMBER_ID_REQUIRED, "c-1")
    assert list(world.shard.groups["g"].pending_joins) == ["c-1"]


def test_a_new_static_member_is_not(world: World) -> None:
    token = world.do(GroupShard.join, join(known=True, instance="i"))
    world.settle()
    joined = world.answer(token)
    assert isinstance(joined, JoinResult) and joined.member_id == "i-1"


def test_an_id_for_a_dynamic_member_is_no_static_members(world: World) -> None:
    told = world.ask(GroupShard.join, join(known=True))
    again = world.ask(GroupShard.join, join(told.member_id, instance="i"))
    assert again.error is ErrorCode.UNKNOWN_MEMBER_ID


@pytest.mark.parametrize("command", [join(protocols=()), join(kind="")])
def test_nothing_to_assign_by(world: World, command: JoinGroup) -> None:
    assert world.ask(GroupShard.join, command).error is ErrorCode.INCONSISTENT_GROUP_PROTOCOL


def test_no_common_protocol(world: World) -> None:
    member = stable(world).member_id
    other = (GroupProtocol("other", b""),)
    for command in (join(protocols=other), join(member, protocols=other), join(kind="connect")):
        answer = world.ask(GroupShard.join, command)
        assert answer == JoinResult(ErrorCode.INCONSISTENT_GROUP_PROTOCOL, command.member_id)


def test_a_full_group_takes_only_its_members() -> None:
    world = World(GroupConfig(initial_rebalance_delay_ms=0, max_size=1))
    first = stable(world)
    assert world.ask(GroupShard.join, join()) == JoinResult(ErrorCode.GROUP_MAX_SIZE_REACHED, "")
    assert world.ask(GroupShard.join, join(first.member_id)).error is ErrorCode.NONE


def test_a_group_that_is_too_large_for_a_new_limit_shrinks_at_once() -> None:
    world = World()
    first = stable(world)
    world.do(GroupShard.join, join())
    rejoined = world.ask(GroupShard.join, join(first.member_id))
    world.ask(GroupShard.sync, sync(first.member_id, rejoined.generation))
    world.config = GroupConfig(initial_rebalance_delay_ms=0, max_size=1)
    world.restart()
    # The first one back keeps its place, and pushes the other out.
    again = world.do(GroupShard.join, join(first.member_id))
    assert world.ask(GroupShard.join, join("c-2")).error is ErrorCode.GROUP_MAX_SIZE_REACHED
    world.advance(30_000)
    joined = world.answer(again)
    assert isinstance(joined, JoinResult)
    assert [m.member_id for m in joined.members] == [first.member_id]


def test_an_unchanged_follower_gets_the_generation_it_has(world: World) -> None:
    leader = stable(world)
    world.do(GroupShard.join, join())
    rejoined = world.ask(GroupShard.join, join(leader.member_id))
    world.ask(GroupShard.sync, sync(leader.member_id, rejoined.generation))
    again = world.ask(GroupShard.join, join("c-2"))
    assert (again.error, again.generation, again.members) == (ErrorCode.NONE, rejoined.generation, ())


def test_sync_is_checked(world: World) -> None:
    joined = stable(world)
    member, generation = joined.member_id, joined.generation
    checks = {
        ErrorCode.UNKNOWN_MEMBER_ID: sync("nobody", generation),
        ErrorCode.ILLEGAL_GENERATION: sync(member, generation + 1),
        ErrorCode.INCONSISTENT_GROUP_PROTOCOL: sync(member, generation, kind="connect"),
        ErrorCode.NONE: sync(member, generation, kind="consumer", name="range"),
    }
    for error, command in checks.items():
        assert world.ask(GroupShard.sync, command).error is error
    wrong_name = sync(member, generation, name="rr")
    assert world.ask(GroupShard.sync, wrong_name).error is ErrorCode.INCONSISTENT_GROUP_PROTOCOL
    world.ask(GroupShard.join, join(member))
    assert world.ask(GroupShard.sync, sync(member, generation)).error is ErrorCode.ILLEGAL_GENERATION


def test_nobody_learns_an_assignment_that_is_not_committed(world: World) -> None:
    token = world.do(GroupShard.join, join())
    world.settle()
    joined = world.answer(token)
    assert isinstance(joined, JoinResult)
    world.hold = True
    synced = world.do(GroupShard.sync, sync(joined.member_id, joined.generation))
    assert synced in world.due
    world.release()
    assert synced not in world.due


def test_members_without_an_assignment_get_an_empty_one(world: World) -> None:
    leader = stable(world)
    other = world.do(GroupShard.join, join())
    rejoined = world.ask(GroupShard.join, join(leader.member_id))
    world.ask(GroupShard.sync, sync(leader.member_id, rejoined.generation))
    joined = world.answer(other)
    assert isinstance(joined, JoinResult)
    command = SyncGroup("g", joined.generation, joined.member_id, None, None, None, {"stranger": b"?"})
    assert world.ask(GroupShard.sync, command).assignment == b""


def test_heartbeats_are_checked_and_write_nothing(world: World) -> None:
    joined = stable(world)
    entries = len(world.log)

    def beat(generation: int, member_id: str, instance: str | None = None) -> ErrorCode:
        return world.shard.heartbeat(Heartbeat("g", generation, member_id, instance), world.now_ms)

    assert beat(joined.generation, joined.member_id) is ErrorCode.NONE
    assert beat(joined.generation - 1, joined.member_id) is ErrorCode.ILLEGAL_GENERATION
    assert beat(joined.generation, "nobody") is ErrorCode.UNKNOWN_MEMBER_ID
    assert beat(joined.generation, joined.member_id, "i") is ErrorCode.UNKNOWN_MEMBER_ID
    assert len(world.log) == entries


def test_every_leaving_member_has_its_own_answer(world: World) -> None:
    joined = stable(world)
    pending = world.ask(GroupShard.join, join(known=True))
    asked = (
        LeavingMember("nobody", None),
        LeavingMember(pending.member_id, None),
        LeavingMember(joined.member_id, None, "done"),
        LeavingMember("", "no instance"),
        LeavingMember("", None),
    )
    left = world.ask(GroupShard.leave, LeaveGroup("g", asked))
    unknown = ErrorCode.UNKNOWN_MEMBER_ID
    errors = [member.error for member in left.members]
    assert errors == [unknown, ErrorCode.NONE, ErrorCode.NONE, unknown, unknown]
    assert [member.member_id for member in left.members] == [member.member_id for member in asked]
