"""What a Consume stream reads: credit, order, positions, pauses, topics that come, grow and go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

import pytest
from tests.doors.api_door import Refused
from tests.doors.conftest import NewTopic
from tests.doors.door import NOW_MS, Door, batch_of, values
from tests.doors.streams import Got, StreamReader, Wire, assign, at_offset, subscribe

from odradek.v1 import record_pb2
from odradek.v1 import record_service_pb2 as pb

OpenWire = Callable[..., Wire]
NewName = Callable[[], str]
EARLIEST = record_pb2.Position(edge=record_pb2.EDGE_EARLIEST)
LATEST = record_pb2.Position(edge=record_pb2.EDGE_LATEST)


def at_time(timestamp_ms: int) -> record_pb2.Position:
    return record_pb2.Position(timestamp_ms=timestamp_ms)


async def write(door: Door, topic: str, partition: int, count: int, *, a_batch: int = 10) -> None:
    """Records whose values count on, with timestamps one ms apart."""
    first = (await door.list_offset(topic, partition, "latest")).offset
    for at in range(first, first + count, a_batch):
        records = [
            one._replace(timestamp=NOW_MS + at + step)
            for step, one in enumerate(values(*(b"%d" % (at + each) for each in range(a_batch))))
        ]
        assert (await door.produce(topic, partition, batch_of(records[: first + count - at]))).error == "NONE"


# -- credit


async def test_never_more_records_than_granted(
    stream_door: str, kafka: Door, new_topic: NewTopic, open_wire: OpenWire
) -> None:
    topic = await new_topic(3)
    for partition in range(3):
        await write(kafka, topic, partition, 200, a_batch=7)
    reader = await StreamReader.open(open_wire(stream_door), subscribe(topic, credit=1))
    random, granted = Random(5), 1
    got: list[Got] = []
    while True:
        # Exactly what was granted: a pause on nothing is answered by nobody, so a commit-free way to see that no more
        # comes is that the next record arrives with the next grant only; `records` fails if there were more.
        got += await reader.records(min(granted, 600) - len(got))
        assert len(got) == min(granted, 600)
        if granted >= 600:
            break
        more = random.choice([1, 1, 2, 3, 10, 50])
        granted += more
        await reader.grant(more)
    for partition in range(3):
        offsets = [one.offset for one in got if one.partition == partition]
        assert offsets == list(range(200))
    await write(kafka, topic, 0, granted - 600 + 5)
    assert len(await reader.records(granted - 600)) == granted - 600
    # Another partition's seek is answered in order: by then nothing more has come.
    await reader.wire.write(pb.ConsumeRequest(pause=pb.Pause()))
    await reader.seek((topic, 2), LATEST)
    assert reader.got == []


async def test_all_partitions_get_their_turn(
    stream_door: str, kafka: Door, new_topic: NewTopic, open_wire: OpenWire
) -> None:
    topic = await new_topic(4)
    for partition in range(4):
        await write(kafka, topic, partition, 400, a_batch=400)
    reader = await StreamReader.open(open_wire(stream_door), subscribe(topic, credit=400))
    first = {one.partition for one in await reader.records(400)}
    seen = set(first)
    for _ in range(3):
        await reader.grant(400)
        seen |= {one.partition for one in await reader.records(400)}
    assert seen == {0, 1, 2, 3}


async def test_credit_for_all_that_can_be_counted(
    stream_door: str, kafka: Door, new_topic: NewTopic, open_wire: OpenWire
) -> None:
    topic = await new_topic()
    reader = await StreamReader.open(open_wire(stream_door), subscribe(topic, credit=(1 << 31) - 1))
    for _ in range(3):
        await reader.grant((1 << 31) - 1)
    await write(kafka, topic, 0, 1)
    await reader.records(1)


async def test_records_of_more_than_a_message(
    stream_door: str, kafka: Door, new_topic: NewTopic, open_wire: OpenWire
) -> None:
    """A client of gRPC takes 4 MiB a message, however large the records are that may come together."""
    topic = await new_topic(2, max_message_bytes="4000000")
    for size in (3_500_000, 900_000, 3_500_000, 10, 3_500_000):
        for partition in range(2):
            await kafka.produce(topic, partition, batch_of(values(bytes(size))))
    reader = await StreamReader.open(open_wire(stream_door), subscribe(topic))
    found = await reader.records(10)
    assert [one.offset for one in found if one.partition == 0] == list(range(5))


async def test_a_large_batch_of_large_records(
    stream_door: str, kafka: Door, new_topic: NewTopic, open_wire: OpenWire
) -> None:
    topic = await new_topic(max_message_bytes="5900000")
    batch = batch_of(values(*[bytes(size) for size in (1_000_000, 3_500_000, 900_000, 1_000)]))
    assert (await kafka.produce(topic, 0, batch)).error == "NONE"
    reader = await StreamReader.open(open_wire(stream_door), subscribe(topic))
    assert [one.offset for one in await reader.records(4)] == [0, 1, 2, 3]


# -- positions


async def test_where_an_assigned_partition_begins(
    stream_door: str, kafka: Door, new_topic: NewTopic, open_wire: OpenWire
) -> None:
    topic = await new_topic(5)
    for partition in range(5):
        await write(kafka, topic, partition, 10)
    starts = [at_offset(3), at_time(NOW_MS + 7), EARLIEST, LATEST, None]
    first = assign({(topic, index): start for index, start in enumerate(starts)})
    reader = await StreamReader.open(open_wire(stream_door), first)
    assert list(reader.assigned.values()) == [3, 7, 0, 10, 0] and reader.generation == -1
    found = await reader.records(7 + 3 + 10 + 0 + 10)
    for index, start in enumerate([3, 7, 0, 10, 0]):
        assert [one.offset for one in found if one.partition == index] == list(range(start, 10))
        if index != 3:
            assert reader.high_watermarks[topic, index] == 10


async def test_seeking(stream_door: str, kafka: Door, new_topic: NewTopic, open_wire: OpenWire) -> None:
    topic = await new_topic()
    key = (topic, 0)
    await write(kafka, topic, 0, 25)
    reader = await StreamReader.open(open_wire(stream_door), subscribe(topic))
    await reader.records(25)
    for position, offset in (
        (at_offset(20), 20),
        (at_time(NOW_MS + 13), 13),
        (at_time(NOW_MS + 99), 25),
        (at_time(0), 0),
        (LATEST, 25),
        (EARLIEST, 0),
        (at_offset(25), 25),
    ):
        assert await reader.seek(key, position) == offset
        found = await reader.records(25 - offset) if offset < 25 else []
        assert [one.offset for one in found] == list(range(offset, 25))
    assert await reader.seek((topic, 7), EARLIEST) == -1  # not one of its own
    assert await reader.seek(("nobody-made-this", 0), EARLIEST) == -1


async def test_what_comes_after_seeked_comes_from_there(
    stream_door: str, kafka: Door, new_topic: NewTopic, open_wire: OpenWire
) -> None:
    """Many seeks among records under way: none of before is taken for one of after."""
    topic = await new_topic()
    await write(kafka, topic, 0, 2000, a_batch=50)
    reader = await StreamReader.open(open_wire(stream_door), subscribe(topic))
    random = Random(1)
    for request_id in range(40):
        offset = random.randrange(1900)
        assert await reader.seek((topic, 0), at_offset(offset), request_id) == offset
        await reader.until(lambda: bool(reader.got))
        assert reader.got[0].offset == offset
        assert [one.offset for one in reader.got] == list(range(offset, offset + len(reader.got)))


@pytest.mark.parametrize("offset", [11, 1 << 60])
async def test_a_position_that_is_not_there(
    stream_door: str, kafka: Door, new_topic: NewTopic, open_wire: OpenWire, offset: int
) -> None:
    topic = await new_topic()
    await write(kafka, topic, 0, 10)
    start = {(topic, 0): at_offset(offset)}
    for reset, expected in ((pb.OFFSET_RESET_EARLIEST, 0), (pb.OFFSET_RESET_LATEST, 10)):
        reader = await StreamReader.open(open_wire(stream_door), assign(start, offset_reset=reset))
        await write(kafka, topic, 0, 10)
        assert (await reader.records(20 - expected))[0].offset == expected
        await kafka.delete_topic(topic)
        topic = await new_topic()
        await write(kafka, topic, 0, 10)
        start = {(topic, 0): at_offset(offset)}
    reader = await StreamReader.open(open_wire(stream_door), assign(start, offset_reset=pb.OFFSET_RESET_NONE))
    ended = await reader.ending()
    assert ended is not None and (ended.status, ended.reason) == ("OUT_OF_RANGE", "OFFSET_OUT_OF_RANGE")


async def test_seeking_out_of_range_with_no_reset(
    stream_door: str, kafka: Door, new_topic: NewTopic, open_wire: OpenWire
) -> None:
    topic = await new_topic()
    start = {(topic, 0): EARLIEST}
    reader = await StreamReader.open(open_wire(stream_door), assign(start, offset_reset=pb.OFFSET_RESET_NONE))
    await reader.wire.write(pb.ConsumeRequest(seek=pb.Seek(topic=topic, position=at_offset(5))))
    ended = await reader.ending()
    assert ended is not None and ended.status == "OUT_OF_RANGE"


async def test_nothing_committed_and_no_reset(
    stream_door: str, kafka: Door, new_topic: NewTopic, new_name: NewName, open_wire: OpenWire
) -> None:
    topic, group = await new_topic(), new_name()
    first = subscribe(topic, group=group, offset_reset=pb.OFFSET_RESET_NONE)
    with pytest.raises(Refused) as raised:
        await StreamReader.open(open_wire(stream_door), first)
    assert (raised.value.status, raised.value.reason) == ("OUT_OF_RANGE", "OFFSET_OUT_OF_RANGE")
    await kafka.commit(group, {(topic, 0): 0})
    reader = await StreamReader.open(open_wire(stream_door), first)
    assert reader.assigned == {(topic, 0): 0}
    await reader.leave()


async def test_records_that_are_deleted_under_a_reader(
    stream_door: str, kafka: Door, new_topic: NewTopic, open_wire: OpenWire
) -> None:
    topic = await new_topic()
    await write(kafka, topic, 0, 30)
    reader = await StreamReader.open(open_wire(stream_door), subscribe(topic, credit=10))
    await reader.records(10)
    assert await kafka.delete_records(topic, 0, 20) == "NONE"
    await reader.grant(100)
    assert [one.offset for one in await reader.records(10)] == list(range(20, 30))


# -- pausing


async def test_nothing_comes_of_a_paused_partition(
    stream_door: str, kafka: Door, new_topic: NewTopic, open_wire: OpenWire
) -> None:
    topic = await new_topic(2)
    reader = await StreamReader.open(open_wire(stream_door), subscribe(topic))
    await reader.pause((topic, 0), ("nobody-made-this", 0))
    await reader.seek((topic, 0), EARLIEST)  # answered after the pause
    await write(kafka, topic, 0, 10)
    await write(kafka, topic, 1, 10)
    assert {one.partition for one in await reader.records(10)} == {1}
    await reader.resume((topic, 0))
    assert [one.offset for one in await reader.records(10)] == list(range(10))


# -- topics that come, grow and go


async def test_a_pattern_finds_topics_that_come_later(
    stream_door: str, doors: dict[str, Door], new_name: NewName, open_wire: OpenWire
) -> None:
    prefix, door = new_name(), doors["grpc"]
    for group in ("", new_name()):
        names = [f"{prefix}{group}.{letter}" for letter in "abc"]
        await door.create_topic(names[0])
        first = subscribe(group=group, topic_pattern=rf"{prefix}{group}\.[abc]")
        reader = await StreamReader.open(open_wire(stream_door), first)
        for count in (2, 3):
            await door.create_topic(names[count - 1])
            await door.create_topic(f"{names[count - 1]}-not")  # the whole name has to match
            await reader.until_assigned(count)
        assert set(reader.assigned) == {(name, 0) for name in names}
        for name in names:
            await write(door, name, 0, 1)
        assert {one.topic for one in await reader.records(3)} == set(names)
        await door.delete_topic(names[0])
        await reader.until_assigned(2)
        await reader.leave()


async def test_a_topic_that_is_subscribed_to_before_it_is_there(
    stream_door: str, doors: dict[str, Door], new_name: NewName, open_wire: OpenWire
) -> None:
    for group in ("", new_name()):
        topic = new_name()
        reader = await StreamReader.open(open_wire(stream_door), subscribe(topic, group=group))
        assert reader.assigned == {}
        await doors["kafka"].create_topic(topic, 2)
        await reader.until_assigned(2)
        await write(doors["kafka"], topic, 1, 3)
        assert len(await reader.records(3)) == 3
        await reader.leave()


async def test_a_topic_that_grows(
    stream_door: str, doors: dict[str, Door], new_topic: NewTopic, new_name: NewName, open_wire: OpenWire
) -> None:
    for group in ("", new_name()):
        topic = await new_topic(1)
        await write(doors["kafka"], topic, 0, 5)
        reader = await StreamReader.open(open_wire(stream_door), subscribe(topic, group=group))
        await reader.records(5)
        await doors["grpc"].grow_topic(topic, 3)
        await reader.until_assigned(3)
        # What it had goes on where it was.
        assert reader.assigned == {(topic, 0): 5, (topic, 1): 0, (topic, 2): 0}
        for partition in range(3):
            await write(doors["kafka"], topic, partition, 2)
        assert [one.offset for one in await reader.records(6) if one.partition == 0] == [5, 6]
        await reader.leave()


async def test_a_topic_that_goes_and_comes_again(
    stream_door: str, doors: dict[str, Door], new_topic: NewTopic, new_name: NewName, open_wire: OpenWire
) -> None:
    for group in ("", new_name()):
        topic, door = await new_topic(), doors["kafka"]
        await write(door, topic, 0, 5)
        reader = await StreamReader.open(open_wire(stream_door), subscribe(topic, group=group))
        await reader.records(5)
        await door.delete_topic(topic)
        await reader.until_assigned(0)
        await door.create_topic(topic)
        await reader.until_assigned(1)
        await write(door, topic, 0, 7)
        assert [one.offset for one in await reader.records(7)] == list(range(7))
        await reader.leave()


async def test_an_assigned_topic_that_goes_ends_the_stream(
    stream_door: str, doors: dict[str, Door], new_topic: NewTopic, open_wire: OpenWire
) -> None:
    topic = await new_topic()
    reader = await StreamReader.open(open_wire(stream_door), assign({(topic, 0): EARLIEST}))
    await doors["kafka"].delete_topic(topic)
    ended = await reader.ending()
    assert ended is not None
    assert (ended.status, ended.reason) == ("NOT_FOUND", "UNKNOWN_TOPIC_OR_PARTITION")


async def test_two_streams_without_a_group_both_read_everything(
    stream_door: str, kafka: Door, new_topic: NewTopic, open_wire: OpenWire
) -> None:
    topic = await new_topic(2)
    readers = [await StreamReader.open(open_wire(stream_door), subscribe(topic)) for _ in range(2)]
    await write(kafka, topic, 0, 5)
    await write(kafka, topic, 1, 5)
    for found in await asyncio.gather(*(reader.records(10) for reader in readers)):
        assert {one.partition for one in found} == {0, 1}
