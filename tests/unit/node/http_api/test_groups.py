"""Consumer groups as one node tells them."""

from __future__ import annotations

from tests.unit.node.http_api.fakes import FakeShard, Series, names, series, value

from odradek.node.http_api.groups import ROWS_PER_STEP, GroupTables
from odradek.node.http_api.text import Writer

PREFIX = "kafka_consumergroup_"


def told(
    shards: list[FakeShard], high_watermarks: dict[tuple[str, int], int], *, per_partition: bool = True
) -> tuple[Series, int]:
    tables = GroupTables(per_partition=per_partition)
    steps = sum(1 for _ in tables.visit(shards, high_watermarks))
    writer = Writer("")
    for _ in tables.write(writer):
        pass
    return series(b"".join(writer.end()).decode()), steps


def test_lag_is_told_of_the_partitions_led_here() -> None:
    shard = FakeShard()
    shard.commit("g", "t", {0: 10, 1: 20, 2: 99})
    found, _ = told([FakeShard(), shard], {("t", 0): 15, ("t", 1): 20})
    assert value(found, PREFIX + "current_offset", consumergroup="g", topic="t", partition="0") == 10
    assert value(found, PREFIX + "lag", consumergroup="g", topic="t", partition="0") == 5
    assert value(found, PREFIX + "lag", consumergroup="g", topic="t", partition="1") == 0
    assert value(found, PREFIX + "current_offset_sum", consumergroup="g", topic="t") == 30
    assert value(found, PREFIX + "lag_sum", consumergroup="g", topic="t") == 5
    assert not [labels for _, labels in found if dict(labels).get("partition") == "2"]


def test_a_high_watermark_from_a_checkpoint_gives_no_negative_lag() -> None:
    shard = FakeShard()
    shard.commit("g", "t", {0: 10})
    found, _ = told([shard], {("t", 0): 7})
    assert value(found, PREFIX + "lag", consumergroup="g", topic="t", partition="0") == 0


def test_members_are_told_where_the_group_lives() -> None:
    here, elsewhere = FakeShard(), FakeShard()
    here.live("g", "a", "b")
    here.live("empty")
    elsewhere.commit("far", "t", {0: 1})
    found, _ = told([here, elsewhere], {})
    assert value(found, PREFIX + "members", consumergroup="g") == 2
    assert value(found, PREFIX + "members", consumergroup="empty") == 0
    assert len(found) == 2


def test_sums_stay_without_series_of_single_partitions() -> None:
    shard = FakeShard()
    shard.commit("g", "t", {0: 10})
    found, _ = told([shard], {("t", 0): 12}, per_partition=False)
    assert names(found) == {PREFIX + "lag_sum", PREFIX + "current_offset_sum"}
    assert value(found, PREFIX + "lag_sum", consumergroup="g", topic="t") == 2


def test_groups_may_change_between_two_steps() -> None:
    shard = FakeShard()
    for number in range(ROWS_PER_STEP * 3):
        shard.commit(f"g{number}", "t", {0: number})
    tables = GroupTables(per_partition=True)
    steps = 0
    for _ in tables.visit([shard], {("t", 0): 1}):
        steps += 1
        shard.groups.stored.groups.clear()
        shard.commit("new", "t", {0: 1})
    assert steps >= 3


def test_offsets_may_change_between_two_steps() -> None:
    shard = FakeShard()
    for number in range(ROWS_PER_STEP * 3):
        shard.commit("g", f"t{number}", {0: number, 1: number})
    offsets = shard.groups.stored.groups["g"].offsets
    steps = 0
    for _ in GroupTables(per_partition=True).visit([shard], {}):
        steps += 1
        shard.commit("g", f"new{steps}", {0: 1})
        for topic in offsets:
            offsets[topic][100 + steps] = offsets[topic][0]
    assert steps >= 6
