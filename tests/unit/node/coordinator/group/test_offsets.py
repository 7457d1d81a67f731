from __future__ import annotations

import pytest
from tests.scripts.group.interpreter import subscription
from tests.scripts.group.world import WALL_MS, World

from odradek.node.coordinator.config import GroupConfig
from odradek.node.coordinator.group.commands import (
    CommitOffsets,
    DeleteGroup,
    DeleteOffsets,
    GroupProtocol,
    JoinGroup,
    JoinResult,
    OffsetToCommit,
    SyncGroup,
)
from odradek.node.coordinator.group.shard import GroupShard
from odradek.proto.kafka.errors import ErrorCode

TOPIC_ID = b"t" * 16


def offset(
    partition: int = 0, value: int = 5, metadata: str = "m", topic: str = "t", topic_id: bytes = TOPIC_ID
) -> OffsetToCommit:
    return OffsetToCommit(topic, topic_id, partition, value, 2, metadata)


def commit(
    *offsets: OffsetToCommit,
    generation: int = -1,
    member: str = "",
    instance: str | None = None,
    retention_ms: int = -1,
    strict: bool = True,
) -> CommitOffsets:
    return CommitOffsets("g", generation, member, instance, retention_ms, offsets or (offset(),), strict)


def one(world: World, command: CommitOffsets) -> ErrorCode:
    return world.ask(GroupShard.commit, command).errors[0]


def stable(world: World, protocol_type: str = "consumer", metadata: bytes | None = None) -> JoinResult:
    data = subscription("t") if metadata is None else metadata
    token = world.do(
        GroupShard.join,
        JoinGroup(
            "g", "", None, "c", "/h", 10_000, 30_000, protocol_type, (GroupProtocol("x", data),), False
        ),
    )
    world.settle()
    joined = world.answer(token)
    assert isinstance(joined, JoinResult)
    world.ask(GroupShard.sync, SyncGroup("g", joined.generation, joined.member_id, None, None, None, {}))
    return joined


@pytest.fixture
def world() -> World:
    return World()


def test_a_commit_keeps_everything(world: World) -> None:
    assert one(world, commit()) is ErrorCode.NONE
    kept = world.shard.committed_offsets("g")["t"][0]
    assert kept == (5, 2, "m", WALL_MS, -1, TOPIC_ID)


def test_a_commit_may_bring_its_retention(world: World) -> None:
    one(world, commit(retention_ms=10))
    assert world.shard.committed_offsets("g")["t"][0].expire_timestamp_ms == WALL_MS + 10


def test_a_retention_longer_than_time_is_cut(world: World) -> None:
    one(world, commit(retention_ms=2**63 - 1))
    assert world.shard.committed_offsets("g")["t"][0].expire_timestamp_ms == 2**63 - 1


def test_fetches_see_committed_offsets_only(world: World) -> None:
    world.hold = True
    world.do(GroupShard.commit, commit())
    assert world.shard.committed_offsets("g") == {}
    world.release()
    assert world.shard.committed_offsets("g")["t"][0].offset == 5


def test_metadata_has_a_limit(world: World) -> None:
    answer = world.ask(
        GroupShard.commit, commit(offset(0, metadata="x" * 4096), offset(1, metadata="x" * 4097), offset(2))
    )
    assert answer.errors == (ErrorCode.NONE, ErrorCode.OFFSET_METADATA_TOO_LARGE, ErrorCode.NONE)
    assert sorted(world.shard.committed_offsets("g")["t"]) == [0, 2]


def test_nothing_acceptable_makes_no_group(world: World) -> None:
    assert one(world, commit(offset(metadata="x" * 5000))) is ErrorCode.OFFSET_METADATA_TOO_LARGE
    assert not world.shard.groups and not world.log


def test_a_missing_group_with_a_generation(world: World) -> None:
    assert one(world, commit(generation=0, member="m")) is ErrorCode.GROUP_ID_NOT_FOUND
    assert one(world, commit(generation=0, member="m", strict=False)) is ErrorCode.ILLEGAL_GENERATION
    assert not world.shard.groups


def test_a_group_with_members_checks_who_commits(world: World) -> None:
    joined = stable(world)
    member, generation = joined.member_id, joined.generation
    assert one(world, commit(generation=generation, member=member)) is ErrorCode.NONE
    assert one(world, commit()) is ErrorCode.UNKNOWN_MEMBER_ID
    assert one(world, commit(generation=generation, member="nobody")) is ErrorCode.UNKNOWN_MEMBER_ID
    assert one(world, commit(generation=generation, member="")) is ErrorCode.UNKNOWN_MEMBER_ID
    assert one(world, commit(generation=generation + 1, member=member)) is ErrorCode.ILLEGAL_GENERATION
    assert one(world, commit(generation=-1, member=member)) is ErrorCode.ILLEGAL_GENERATION
    assert (
        one(world, commit(generation=generation, member=member, instance="i")) is ErrorCode.UNKNOWN_MEMBER_ID
    )


def test_between_join_and_sync_a_member_commits_for_the_generation_before(world: World) -> None:
    joined = stable(world)
    again = JoinGroup(
        "g", joined.member_id, None, "c", "/h", 10_000, 30_000, "consumer", (GroupProtocol("x", b"!"),), False
    )
    rejoined = world.ask(GroupShard.join, again)
    command = commit(generation=rejoined.generation, member=joined.member_id)
    assert one(world, command) is ErrorCode.REBALANCE_IN_PROGRESS


def delete(world: World, *partitions: tuple[str, int]) -> list[ErrorCode]:
    result = world.ask(GroupShard.delete_offsets, DeleteOffsets("g", partitions))
    return list(result.errors) or [result.error]


def test_offsets_of_consumers_can_be_deleted_unless_subscribed(world: World) -> None:
    joined = stable(world)
    one(world, commit(offset(), offset(topic="u"), generation=joined.generation, member=joined.member_id))
    assert delete(world, ("t", 0), ("u", 0)) == [ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC, ErrorCode.NONE]
    assert list(world.shard.committed_offsets("g")) == ["t"]


def test_offsets_of_other_groups_with_members_cannot(world: World) -> None:
    stable(world, "connect", b"")
    assert delete(world, ("t", 0)) == [ErrorCode.NON_EMPTY_GROUP]


def test_deleting_of_a_missing_group(world: World) -> None:
    assert delete(world, ("t", 0)) == [ErrorCode.GROUP_ID_NOT_FOUND]


def test_a_deletion_covers_what_was_committed_before_it(world: World) -> None:
    world.hold = True
    world.do(GroupShard.commit, commit())
    world.do(GroupShard.delete_offsets, DeleteOffsets("g", (("t", 0),)))
    world.release()
    assert world.shard.committed_offsets("g") == {}


def test_a_group_is_deleted_with_its_offsets(world: World) -> None:
    one(world, commit())
    assert world.ask(GroupShard.delete_group, DeleteGroup("g")) is ErrorCode.NONE
    assert world.ask(GroupShard.delete_group, DeleteGroup("g")) is ErrorCode.GROUP_ID_NOT_FOUND
    assert not world.shard.stored.groups and not world.shard.groups


def test_a_group_with_members_is_not(world: World) -> None:
    stable(world)
    assert world.ask(GroupShard.delete_group, DeleteGroup("g")) is ErrorCode.NON_EMPTY_GROUP


def test_deleted_topics_take_their_offsets_along(world: World) -> None:
    one(world, commit(offset(0), offset(1), offset(topic="u", topic_id=b"u" * 16)))
    world.carry_out(world.shard.on_topics_deleted({"t": TOPIC_ID, "v": b"v" * 16}))
    assert list(world.shard.committed_offsets("g")) == ["u"]
    # A topic that was created anew under the name has another id.
    world.carry_out(world.shard.on_topics_deleted({"u": b"w" * 16}))
    assert list(world.shard.committed_offsets("g")) == ["u"]


def test_deleted_topics_take_along_what_is_on_its_way(world: World) -> None:
    world.hold = True
    world.do(GroupShard.commit, commit())
    world.carry_out(world.shard.on_topics_deleted({"t": TOPIC_ID}))
    world.release()
    assert world.shard.committed_offsets("g") == {}


RETENTION = GroupConfig(
    initial_rebalance_delay_ms=0, offsets_retention_ms=100_000, offsets_retention_check_interval_ms=10_000
)


def test_an_offset_does_not_expire_under_a_commit_on_its_way() -> None:
    world = World(RETENTION)
    one(world, commit())
    world.advance(99_999)
    world.hold = True
    world.do(GroupShard.commit, commit(offset(value=6)))
    world.advance(5_000)
    world.release()
    world.advance(20_000)
    assert world.shard.committed_offsets("g")["t"][0].offset == 6


def test_unreadable_subscriptions_keep_everything() -> None:
    world = World(RETENTION)
    joined = stable(world, metadata=b"?")
    one(world, commit(generation=joined.generation, member=joined.member_id))
    for _ in range(30):
        world.advance(9_000)
        one(world, commit(offset(1), generation=joined.generation, member=joined.member_id))
    assert sorted(world.shard.committed_offsets("g")["t"]) == [0, 1]


def test_a_group_that_nobody_ever_used_goes_away() -> None:
    world = World(RETENTION)
    world.ask(
        GroupShard.join,
        JoinGroup("g", "", None, "c", "/h", 15_000, 1, "consumer", (GroupProtocol("x", b""),), True),
    )
    world.advance(10_000)
    assert "g" in world.shard.groups, "an id is given out and may be used"
    world.advance(20_000)
    assert not world.shard.groups
    assert world.shard.next_deadline_ms is None
