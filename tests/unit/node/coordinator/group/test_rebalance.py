"""Barriers and sessions where a script would hide the point; the rest is in tests/scripts/group."""

from __future__ import annotations

from tests.scripts.group.world import World

from odradek.node.coordinator.config import GroupConfig
from odradek.node.coordinator.group.classic import GroupState
from odradek.node.coordinator.group.commands import GroupProtocol, JoinGroup, JoinResult, SyncGroup
from odradek.node.coordinator.group.shard import GroupShard
from odradek.proto.kafka.errors import ErrorCode


def join(member_id: str = "", instance: str | None = None, rebalance_ms: int = 30_000) -> JoinGroup:
    return JoinGroup(
        "g",
        member_id,
        instance,
        "c",
        "/h",
        10_000,
        rebalance_ms,
        "consumer",
        (GroupProtocol("x", b""),),
        False,
    )


def test_the_initial_delay_is_never_longer_than_the_rebalance_timeout() -> None:
    world = World(GroupConfig(initial_rebalance_delay_ms=3_000))
    token = world.do(GroupShard.join, join(rebalance_ms=4_000))
    for at_ms in (2_000, 3_500):
        world.advance(at_ms - world.now_ms)
        world.do(GroupShard.join, join(rebalance_ms=4_000))
    world.advance(3_999 - world.now_ms)
    assert token in world.due
    world.advance(1)
    assert token not in world.due


def test_a_parked_first_join_ends_after_the_new_member_timeout() -> None:
    """Its sender may have given up long ago; a member that is known and waits is not ended by its session."""
    world = World(GroupConfig(initial_rebalance_delay_ms=0, new_member_join_timeout_ms=5_000))
    first = world.do(GroupShard.join, join())
    world.settle()
    joined = world.answer(first)
    assert isinstance(joined, JoinResult)
    parked = world.do(GroupShard.join, join())
    for _ in range(5):
        world.advance(1_000)
        world.shard.groups["g"].members[joined.member_id].session_timeout_ms = 60_000
    world.advance(5_000)
    assert world.answer(parked) == JoinResult(ErrorCode.UNKNOWN_MEMBER_ID, "")


def test_a_member_that_waits_in_a_barrier_outlives_its_session() -> None:
    world = World()
    first = world.do(GroupShard.join, join())
    world.settle()
    joined = world.answer(first)
    assert isinstance(joined, JoinResult)
    second = world.do(GroupShard.join, join(instance="i"))
    world.do(GroupShard.join, join(joined.member_id))
    told = world.answer(second)
    assert isinstance(told, JoinResult)
    synced = world.do(GroupShard.sync, SyncGroup("g", told.generation, told.member_id, "i", None, None, {}))
    world.advance(9_999)
    assert synced in world.due
    # The leader's session ends; the other one is told to rejoin, with a session that begins only now.
    world.advance(1)
    assert world.shard.groups["g"].state is GroupState.PREPARING_REBALANCE
    world.advance(9_999)
    assert list(world.shard.groups["g"].members) == [told.member_id]


def test_only_static_members_are_left_and_none_comes_back() -> None:
    """The barrier waits once more, instead of starting a generation that nobody is in."""
    world = World()
    for instance in ("i1", "i2"):
        world.do(GroupShard.join, join(instance=instance, rebalance_ms=4_000))
    world.settle()
    world.ask(GroupShard.sync, SyncGroup("g", 1, "i1-1", "i1", None, None, {}))
    world.ask(GroupShard.sync, SyncGroup("g", 1, "i2-2", "i2", None, None, {}))
    dynamic = world.do(GroupShard.join, join(rebalance_ms=4_000))
    group = world.shard.groups["g"]
    world.shard._rebalances.drop(group, "c-3", out := world.shard.on_topics_deleted({}))
    world.carry_out(out)
    assert world.answer(dynamic) == JoinResult(ErrorCode.UNKNOWN_MEMBER_ID, "")
    world.advance(4_000)
    assert group.state is GroupState.PREPARING_REBALANCE and group.generation == 1
    back = world.do(GroupShard.join, join("i2-2", "i2", 4_000))
    world.advance(8_000)
    joined = world.answer(back)
    assert isinstance(joined, JoinResult) and joined.leader_id == "i2-2"
