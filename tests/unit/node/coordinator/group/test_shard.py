import random
import re

from tests.scripts.group.world import World

from odradek.node.coordinator.group.commands import GroupProtocol, JoinGroup, JoinResult, SyncGroup
from odradek.node.coordinator.group.shard import GroupShard, member_ids
from odradek.node.coordinator.records import GroupTombstone
from odradek.node.coordinator.result import Instant, Result
from odradek.proto.kafka.errors import ErrorCode


def test_member_ids_are_a_name_and_a_random_uuid() -> None:
    new_id = member_ids(random.Random(1))
    first, second = new_id("client"), new_id("client")
    assert re.fullmatch(r"client-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", first)
    assert first != second
    assert member_ids(random.Random(1))("client") == first


def test_a_follower_applies_and_leads_when_told() -> None:
    world = World()
    token = world.do(
        GroupShard.join,
        JoinGroup("g", "", None, "c", "/h", 10_000, 1, "consumer", (GroupProtocol("x", b""),), False),
    )
    world.settle()
    joined = world.answer(token)
    assert isinstance(joined, JoinResult)
    world.ask(
        GroupShard.sync, SyncGroup("g", 1, joined.member_id, None, None, None, {joined.member_id: b"p"})
    )
    follower = GroupShard(world.config, str)
    for entry in world.log:
        follower.apply(entry)
    assert not follower.groups and follower.next_deadline_ms is None
    assert not follower.lead(Instant(500, 0)).records
    assert follower.groups["g"].members[joined.member_id].assignment == b"p"
    # A full session from now on, whatever the member's last heartbeat was.
    out = follower.on_deadline(Instant(10_499, 0))
    assert not out.records and follower.groups["g"].members
    follower.on_deadline(Instant(10_500, 0))
    assert not follower.groups["g"].members
    follower.resign()
    assert not follower.groups and follower.next_deadline_ms is None
    assert follower.snapshot() == world.shard.snapshot()


def test_missing_groups_are_described_as_dead() -> None:
    shard = World().shard
    assert shard.describe("g").error is ErrorCode.GROUP_ID_NOT_FOUND
    assert shard.describe("g").state == "Dead"
    assert shard.list_groups() == []


def test_a_refused_tombstone_means_starting_over() -> None:
    result: Result[object] = Result()
    result.records.append(GroupTombstone(group_id="g"))
    assert World().shard.on_refused(result, ErrorCode.COORDINATOR_NOT_AVAILABLE, Instant(0, 0)) is None
