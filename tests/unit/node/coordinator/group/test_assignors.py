"""Range and round robin, against kafka-python's: any client of a group may be the one who divides."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

from odradek.node.coordinator.group.assignors import (
    ASSIGNORS,
    Assignments,
    assign_range,
    assign_round_robin,
    place_of,
)

TOPICS = ["a", "b", "c", "dd", "ü"]
subscriptions = st.dictionaries(
    st.text("abAB01-_ü", min_size=1, max_size=4), st.sets(st.sampled_from(TOPICS)), min_size=1, max_size=6
)
counts = st.dictionaries(st.sampled_from(TOPICS), st.integers(1, 9))
instances = st.lists(st.one_of(st.none(), st.text("abAB", min_size=1, max_size=3)), min_size=6, max_size=6)


def theirs(
    assignor: Any, order: dict[str, str | None], wanted: dict[str, set[str]], partitions: dict[str, int]
) -> Assignments:
    """kafka-python looks at static members as a run, so they are handed to it in one."""
    cluster = SimpleNamespace(
        partitions_for_topic=lambda topic: set(range(partitions[topic])) if topic in partitions else None
    )
    members = [
        SimpleNamespace(
            member_id=one, group_instance_id=order[one], metadata=SimpleNamespace(topics=wanted[one])
        )
        for one in sorted(wanted, key=lambda one: order[one] is None)
    ]
    found = assignor.assign(cluster, members)
    return {
        member: {topic: list(numbers) for topic, numbers in one.assigned_partitions if numbers}
        for member, one in found.items()
    }


def named(wanted: dict[str, set[str]], names: list[str | None]) -> dict[str, str | None]:
    """Instance ids, each at most once."""
    found: dict[str, str | None] = {}
    for member, name in zip(wanted, names, strict=False):
        found[member] = None if name in found.values() else name
    return found


@given(subscriptions, counts, instances)
@settings(deadline=None)
def test_range_is_kafka_pythons(
    wanted: dict[str, set[str]], partitions: dict[str, int], names: list[str | None]
) -> None:
    order = named(wanted, names)
    ours = assign_range({one: place_of(one, order[one]) for one in wanted}, wanted, partitions)
    assert ours == theirs(RangePartitionAssignor, order, wanted, partitions)


@given(subscriptions, st.sets(st.sampled_from(TOPICS)), counts, instances)
@settings(deadline=None)
def test_round_robin_of_equal_subscriptions_is_kafka_pythons(
    members: dict[str, set[str]], topics: set[str], partitions: dict[str, int], names: list[str | None]
) -> None:
    wanted = dict.fromkeys(members, topics)
    order = named(wanted, names)
    ours = assign_round_robin({one: place_of(one, order[one]) for one in wanted}, wanted, partitions)
    assert ours == theirs(RoundRobinPartitionAssignor, order, wanted, partitions)


@given(st.sampled_from(sorted(ASSIGNORS)), subscriptions, counts)
@settings(deadline=None)
def test_every_partition_goes_to_one_who_wants_it(
    name: str, wanted: dict[str, set[str]], partitions: dict[str, int]
) -> None:
    divided = ASSIGNORS[name]({one: place_of(one, None) for one in wanted}, wanted, partitions)
    assert set(divided) == set(wanted)
    given_out = [
        (topic, number) for one in divided.values() for topic, numbers in one.items() for number in numbers
    ]
    assert len(given_out) == len(set(given_out))
    assert set(given_out) == {
        (topic, number)
        for topic, count in partitions.items()
        if any(topic in topics for topics in wanted.values())
        for number in range(count)
    }
    assert all(set(topics) <= wanted[member] for member, topics in divided.items())


def test_static_members_come_first() -> None:
    order = {"m-1": place_of("m-1", None), "m-2": place_of("m-2", "z")}
    assert assign_range(order, {"m-1": {"t"}, "m-2": {"t"}}, {"t": 3}) == {
        "m-2": {"t": [0, 1]},
        "m-1": {"t": [2]},
    }


def test_round_robin_passes_over_who_does_not_want_a_topic() -> None:
    wanted = {"a": {"t"}, "b": {"t", "u"}, "c": {"u"}}
    order = {one: place_of(one, None) for one in wanted}
    assert assign_round_robin(order, wanted, {"t": 2, "u": 3}) == {
        "a": {"t": [0]},
        "b": {"t": [1], "u": [1]},
        "c": {"u": [0, 2]},
    }
