"""Topics, configs, offsets and groups, at each door; and groups that Kafka consumers and Consume streams share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.doors.confluent_reader import ConfluentReader
from tests.doors.conftest import NewTopic, NodeInside
from tests.doors.door import Door, batch_of, values
from tests.doors.streams import StreamReader, Wire, eventually, subscribe

OpenWire = Callable[..., Wire]
NewName = Callable[[], str]


# -- topics and configs


async def test_a_topic_that_one_door_makes_all_see(
    door: Door, doors: dict[str, Door], new_name: NewName
) -> None:
    topic = new_name()
    assert await door.create_topic(topic, 3, {"retention.ms": "1234567"}) == "NONE"
    for other in doors.values():
        assert await other.partition_count(topic) == 3
        assert (await other.configs(topic))["retention.ms"] == "1234567"
        assert await other.create_topic(topic) == "TOPIC_ALREADY_EXISTS"
    assert await door.grow_topic(topic, 5) == "NONE"
    assert await door.grow_topic(topic, 4) == "INVALID_PARTITIONS"
    assert [await other.partition_count(topic) for other in doors.values()] == [5, 5, 5]
    assert await door.delete_topic(topic) == "NONE"
    for other in doors.values():
        assert await other.partition_count(topic) == "UNKNOWN_TOPIC_OR_PARTITION"
        assert await other.delete_topic(topic) == "UNKNOWN_TOPIC_OR_PARTITION"


@pytest.mark.parametrize(
    ("name", "count", "configs", "error"),
    [
        ("a b", 1, {}, "INVALID_TOPIC_EXCEPTION"),
        ("x" * 250, 1, {}, "INVALID_TOPIC_EXCEPTION"),
        ("..", 1, {}, "INVALID_TOPIC_EXCEPTION"),
        ("doors-none", 0, {}, "INVALID_PARTITIONS"),
        ("doors-odd", 1, {"retention.ms": "soon"}, "INVALID_CONFIG"),
        ("doors-odd", 1, {"no.such.setting": "1"}, "INVALID_CONFIG"),
    ],
)
async def test_topics_that_cannot_be(
    door: Door, name: str, count: int, configs: dict[str, str], error: str
) -> None:
    assert await door.create_topic(name, count, configs) == error


async def test_a_setting_that_one_door_changes_counts_for_all(
    door: Door, doors: dict[str, Door], new_topic: NewTopic
) -> None:
    topic = await new_topic()
    assert await door.set_config(topic, "max.message.bytes", "500") == "NONE"
    for other in doors.values():
        assert (await other.configs(topic))["max.message.bytes"] == "500"
        assert (await other.produce(topic, 0, batch_of(values(bytes(600))))).error == "MESSAGE_TOO_LARGE"
    assert await door.set_config(topic, "max.message.bytes", "a lot") == "INVALID_CONFIG"


async def test_all_doors_list_the_same_settings(doors: dict[str, Door], new_topic: NewTopic) -> None:
    topic = await new_topic(cleanup_policy="compact,delete")
    listed = [await door.configs(topic) for door in doors.values()]
    assert len(listed[0]) > 20 and listed[0] == listed[1] == listed[2]


# -- offsets without members


async def test_what_one_door_commits_all_see(
    door: Door, doors: dict[str, Door], new_topic: NewTopic, new_name: NewName
) -> None:
    topic, group = await new_topic(2), new_name()
    outcomes = await door.commit(group, {(topic, 0): 0, (topic, 1): 0}, "a note")
    assert set(outcomes.values()) == {"NONE"}
    for other in doors.values():
        assert await other.committed(group) == {(topic, 0): (0, "a note"), (topic, 1): (0, "a note")}
        assert (await other.describe(group)).state == "Empty"
    assert await door.delete_group(group) == "NONE"
    for other in doors.values():
        assert await other.committed(group) == {}
        assert (await other.describe(group)).error == "GROUP_ID_NOT_FOUND"
        assert await other.delete_group(group) == "GROUP_ID_NOT_FOUND"


async def test_commits_that_cannot_be(door: Door, new_topic: NewTopic, new_name: NewName) -> None:
    topic, group = await new_topic(), new_name()
    assert set((await door.commit(group, {(topic, 3): 0})).values()) == {"UNKNOWN_TOPIC_OR_PARTITION"}
    assert set((await door.commit(group, {(topic, 0): 0}, "x" * 5000)).values()) == {
        "OFFSET_METADATA_TOO_LARGE"
    }


# -- groups with members


async def test_a_stream_is_a_member_like_any_other(
    stream_door: str, doors: dict[str, Door], new_topic: NewTopic, new_name: NewName, open_wire: OpenWire
) -> None:
    topic, group = await new_topic(2), new_name()
    reader = await StreamReader.open(open_wire(stream_door, "a-reader"), subscribe(topic, group=group))
    assert reader.assigned == {(topic, 0): 0, (topic, 1): 0} and reader.member_id and reader.generation == 1
    for door in doors.values():
        view = await door.describe(group)
        assert (view.error, view.state) == ("NONE", "Stable")
        assert view.owners == {(topic, 0): "a-reader", (topic, 1): "a-reader"}
        assert await door.delete_group(group) == "NON_EMPTY_GROUP"
    await reader.leave()
    for door in doors.values():
        assert (await door.describe(group)).state == "Empty"


async def test_a_stream_reads_and_commits_what_all_doors_wrote(
    stream_door: str, doors: dict[str, Door], new_topic: NewTopic, new_name: NewName, open_wire: OpenWire
) -> None:
    topic, group = await new_topic(), new_name()
    for door in doors.values():
        await door.produce(topic, 0, batch_of(values(door.name.encode())))
    reader = await StreamReader.open(open_wire(stream_door), subscribe(topic, group=group))
    records = await reader.records(3)
    assert [one.value for one in records] == [name.encode() for name in doors]
    assert await reader.commit({(topic, 0): 3}, metadata="so far") == {(topic, 0): "NONE"}
    for door in doors.values():
        assert await door.committed(group) == {(topic, 0): (3, "so far")}
    assert await reader.commit({(topic, 9): 3}, 2) == {(topic, 9): "UNKNOWN_TOPIC_OR_PARTITION"}
    await reader.leave()


async def test_strangers_may_not_commit_to_a_group_with_members(
    stream_door: str, doors: dict[str, Door], new_topic: NewTopic, new_name: NewName, open_wire: OpenWire
) -> None:
    topic, group = await new_topic(), new_name()
    reader = await StreamReader.open(open_wire(stream_door), subscribe(topic, group=group))
    assert await doors["kafka"].commit(group, {(topic, 0): 0}) == {(topic, 0): "UNKNOWN_MEMBER_ID"}
    assert await doors["grpc"].commit(group, {(topic, 0): 0}) == {(topic, 0): "NON_EMPTY_GROUP"}
    await reader.leave()


async def test_kafka_consumers_and_streams_share_a_group(
    node: NodeInside, doors: dict[str, Door], new_topic: NewTopic, new_name: NewName, open_wire: OpenWire
) -> None:
    topic, group = await new_topic(4), new_name()
    keys = {(topic, index) for index in range(4)}
    confluent = ConfluentReader(node.kafka_address, group, topic, client_id="c")
    await eventually(_holding(confluent), lambda held: held == keys)
    stream = await StreamReader.open(open_wire("grpc", "s"), subscribe(topic, group=group))
    # Two of them: each has half, whoever divides, and everybody sees the same.
    await eventually(_holding(confluent), lambda held: len(held) == 2)
    assert len(stream.assigned) == 2 and set(stream.assigned) | confluent.assigned == keys
    for door in doors.values():
        owners = (await door.describe(group)).owners
        assert owners == {key: "s" if key in stream.assigned else "c" for key in keys}
    for index in range(4):
        await doors["direct"].produce(topic, index, batch_of(values(b"%d" % index)))
    mine = await stream.records(2)
    await eventually(_read(confluent), lambda got: len(got) >= 2)
    assert {one[:2] for one in mine} == set(stream.assigned)
    assert {one[:2] for one in confluent.got} == confluent.assigned
    # What each commits the other goes on from, when it leaves.
    await stream.commit({(one.topic, one.partition): 1 for one in mine})
    await stream.leave()
    await eventually(_holding(confluent), lambda held: held == keys)
    another = await StreamReader.open(open_wire("grpc", "t"), subscribe(topic, group=group))
    for key in another.assigned:
        assert another.assigned[key] == (1 if key in {one[:2] for one in mine} else 0)
    await confluent.leave()
    await another.until(lambda: set(another.assigned) == keys)
    assert {key: another.assigned[key] for key in {one[:2] for one in mine}} == {one[:2]: 1 for one in mine}
    await another.leave()
    assert (await doors["kafka"].describe(group)).state == "Empty"


async def test_three_streams_divide_a_topic_and_take_over_from_each_other(
    stream_door: str, doors: dict[str, Door], new_topic: NewTopic, new_name: NewName, open_wire: OpenWire
) -> None:
    topic, group = await new_topic(6), new_name()
    readers = [await StreamReader.open(open_wire(stream_door), subscribe(topic, group=group))]
    for count in (2, 3):
        readers.append(StreamReader(open_wire(stream_door)))
        await readers[-1].wire.write(subscribe(topic, group=group))
        for reader in readers:
            await reader.until_assigned(6 // count)
    held = [key for reader in readers for key in reader.assigned]
    assert sorted(held) == [(topic, index) for index in range(6)]
    assert len({reader.generation for reader in readers}) == 1
    for left in (2, 1):
        await readers.pop(0).leave()
        for reader in readers:
            await reader.until_assigned(6 // left)
    await readers[0].leave()


def _holding(reader: ConfluentReader) -> Callable[[], Awaitable[Any]]:
    async def held() -> set[tuple[str, int]]:
        return set(reader.assigned)

    return held


def _read(reader: ConfluentReader) -> Callable[[], Awaitable[Any]]:
    async def got() -> list[object]:
        return list(reader.got)

    return got
