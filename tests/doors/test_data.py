"""Records in and out, at each door: what one writes the others read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest
from tests.doors.conftest import NewTopic
from tests.doors.door import CODECS, EARLIEST, LATEST, NOW_MS, Door, Sender, batch_of, values

from odradek.proto.kafka.record_batch import Record

#: Everything that a record can be, beside an ordinary one.
STRANGE = [
    Record(0, NOW_MS, b"k", b"v", [("a", b"1"), ("a", b"2"), ("b", None), ("", b"x"), ("ü€", b"")]),
    Record(1, NOW_MS, None, b"no key", ()),
    Record(2, NOW_MS, b"tombstone", None, ()),
    Record(3, NOW_MS, None, None, [("only", None)]),
    Record(4, NOW_MS, b"", b"", ()),
    Record(5, NOW_MS, b"\xff\xfe\x00", b"\x00\xff", [("k", b"\xff")]),
    Record(6, 0, b"at the epoch", b"", ()),
    Record(7, NOW_MS - 1, b"earlier than the one before", b"", ()),
]


def plain(records: Sequence[Record]) -> list[tuple[object, ...]]:
    return [(*record[:4], list(record.headers)) for record in records]


@pytest.mark.parametrize("codec", CODECS)
async def test_what_one_door_writes_all_read(
    door: Door, doors: dict[str, Door], new_topic: NewTopic, codec: str
) -> None:
    topic = await new_topic()
    written = await door.produce(topic, 0, batch_of(STRANGE, codec))
    assert written == ("NONE", 0, -1)
    for reader in doors.values():
        fetched = await reader.fetch(topic, 0, 0)
        assert (fetched.error, fetched.high_watermark, fetched.log_start_offset) == ("NONE", len(STRANGE), 0)
        assert plain(fetched.records) == plain(STRANGE), reader.name


async def test_all_doors_read_the_same_bytes(doors: dict[str, Door], new_topic: NewTopic) -> None:
    topic = await new_topic()
    for door in doors.values():
        await door.produce(topic, 0, batch_of(values(door.name.encode())))
    found = {(await door.fetch(topic, 0, 1)).batches for door in doors.values()}
    assert len(found) == 1 and found != {b""}


async def test_log_append_time_is_the_nodes(door: Door, doors: dict[str, Door], new_topic: NewTopic) -> None:
    topic = await new_topic(message_timestamp_type="LogAppendTime")
    written = await door.produce(topic, 0, batch_of(values(b"a", b"b", timestamp_ms=5)))
    assert written.error == "NONE" and written.append_time_ms > NOW_MS
    for reader in doors.values():
        times = {record.timestamp for record in (await reader.fetch(topic, 0, 0)).records}
        assert times == {written.append_time_ms}, reader.name


async def test_acks_of_the_leader_alone(door: Door, new_topic: NewTopic) -> None:
    topic = await new_topic()
    assert (await door.produce(topic, 0, batch_of(values(b"a")), acks=1)).offset == 0
    assert (await door.produce(topic, 0, batch_of(values(b"a")), acks=7)).error == "INVALID_REQUIRED_ACKS"


# -- where to read


async def test_ends_and_times(door: Door, new_topic: NewTopic) -> None:
    topic = await new_topic()
    assert await door.list_offset(topic, 0, EARLIEST) == ("NONE", 0, -1)
    assert await door.list_offset(topic, 0, LATEST) == ("NONE", 0, -1)
    assert await door.list_offset(topic, 0, NOW_MS) == ("NONE", -1, -1)
    for step in range(3):
        await door.produce(topic, 0, batch_of(values(b"a", b"b", timestamp_ms=NOW_MS + 10 * step)))
    assert await door.list_offset(topic, 0, LATEST) == ("NONE", 6, -1)
    assert await door.list_offset(topic, 0, NOW_MS + 1) == ("NONE", 2, NOW_MS + 10)
    assert await door.list_offset(topic, 0, NOW_MS + 10) == ("NONE", 2, NOW_MS + 10)
    assert await door.list_offset(topic, 0, 0) == ("NONE", 0, NOW_MS)
    assert await door.list_offset(topic, 0, NOW_MS + 21) == ("NONE", -1, -1)


async def test_deleted_records_are_gone_for_all(
    door: Door, doors: dict[str, Door], new_topic: NewTopic
) -> None:
    topic = await new_topic()
    for content in (b"a", b"b", b"c"):
        await door.produce(topic, 0, batch_of(values(content)))
    assert await door.delete_records(topic, 0, 2) == "NONE"
    for reader in doors.values():
        assert (await reader.list_offset(topic, 0, EARLIEST)).offset == 2
        assert (await reader.fetch(topic, 0, 1)).error == "OFFSET_OUT_OF_RANGE"
        fetched = await reader.fetch(topic, 0, 2)
        assert [record.value for record in fetched.records] == [b"c"] and fetched.log_start_offset == 2
    assert await door.delete_records(topic, 0, 4) == "OFFSET_OUT_OF_RANGE"


@pytest.mark.parametrize("offset", [-1, 2, 1 << 40])
async def test_an_offset_out_of_range(door: Door, new_topic: NewTopic, offset: int) -> None:
    topic = await new_topic()
    await door.produce(topic, 0, batch_of(values(b"a")))
    assert (await door.fetch(topic, 0, offset)).error == "OFFSET_OUT_OF_RANGE"
    assert (await door.fetch(topic, 0, 1)).error == "NONE"


async def test_a_small_limit_brings_one_whole_batch(door: Door, new_topic: NewTopic) -> None:
    topic = await new_topic()
    for _ in range(3):
        await door.produce(topic, 0, batch_of(values(bytes(1000))))
    assert len((await door.fetch(topic, 0, 0, max_bytes=1)).records) == 1


async def test_a_fetch_waits_for_what_another_door_writes(
    door: Door, doors: dict[str, Door], new_topic: NewTopic, node_door: Callable[[str], Door]
) -> None:
    topic = await new_topic()
    reader = node_door(door.name)
    waiting = asyncio.ensure_future(reader.fetch(topic, 0, 0, max_wait_ms=15_000))
    await doors["kafka"].list_offset(topic, 0, LATEST)
    await doors["grpc"].produce(topic, 0, batch_of(values(b"here")))
    assert [record.value for record in (await waiting).records] == [b"here"]


# -- what is refused


async def test_topics_and_partitions_that_do_not_exist(door: Door, new_topic: NewTopic) -> None:
    topic = await new_topic()
    unknown = "UNKNOWN_TOPIC_OR_PARTITION"
    for name, partition in (("nobody-made-this", 0), (topic, 1), (topic, -1), (topic, 1 << 30)):
        assert (await door.produce(name, partition, batch_of(values(b"a")))).error == unknown
        assert (await door.fetch(name, partition, 0)).error == unknown
        assert (await door.list_offset(name, partition, LATEST)).error == unknown
    assert await door.partition_count("nobody-made-this") == unknown


async def test_leader_epochs(door: Door, new_topic: NewTopic) -> None:
    topic = await new_topic()
    await door.produce(topic, 0, batch_of(values(b"a")))
    assert (await door.fetch(topic, 0, 0, leader_epoch=0)).error == "NONE"
    assert (await door.fetch(topic, 0, 0, leader_epoch=9)).error == "UNKNOWN_LEADER_EPOCH"
    assert (await door.list_offset(topic, 0, LATEST, leader_epoch=9)).error == "UNKNOWN_LEADER_EPOCH"


def _flip(batch: bytes, at: int) -> bytes:
    return batch[:at] + bytes([batch[at] ^ 1]) + batch[at + 1 :]


GOOD = batch_of(values(b"a" * 50, b"b"))


@pytest.mark.parametrize(
    ("batch", "error"),
    [
        (_flip(GOOD, 80), "CORRUPT_MESSAGE"),
        (_flip(GOOD, 17), "CORRUPT_MESSAGE"),
        (GOOD[:-3], "INVALID_RECORD"),
        (GOOD[:20], "INVALID_RECORD"),
        (b"", "INVALID_RECORD"),
        (GOOD + GOOD, "INVALID_RECORD"),
    ],
    ids=["value", "checksum", "cut", "less than a header", "nothing", "two at once"],
)
async def test_batches_that_are_none(door: Door, new_topic: NewTopic, batch: bytes, error: str) -> None:
    topic = await new_topic()
    assert (await door.produce(topic, 0, batch)).error == error
    assert (await door.list_offset(topic, 0, LATEST)).offset == 0


async def test_a_batch_over_the_topics_limit(door: Door, new_topic: NewTopic) -> None:
    topic = await new_topic(max_message_bytes="2000")
    assert (await door.produce(topic, 0, batch_of(values(bytes(2000))))).error == "MESSAGE_TOO_LARGE"
    assert (await door.produce(topic, 0, batch_of(values(bytes(1500))))).error == "NONE"


async def test_timestamps_out_of_the_topics_bounds(door: Door, new_topic: NewTopic) -> None:
    topic = await new_topic(message_timestamp_before_max_ms="1000")
    for timestamp_ms in (NOW_MS, 0, -5):
        batch = batch_of(values(b"old", timestamp_ms=timestamp_ms))
        assert (await door.produce(topic, 0, batch)).error == "INVALID_TIMESTAMP"


async def test_a_compacted_topic_wants_keys(door: Door, new_topic: NewTopic) -> None:
    topic = await new_topic(cleanup_policy="compact")
    assert (await door.produce(topic, 0, batch_of(values(b"a")))).error == "INVALID_RECORD"


# -- idempotence


async def test_duplicates_are_recognised_whichever_door_they_come_through(
    door: Door, doors: dict[str, Door], new_topic: NewTopic
) -> None:
    topic = await new_topic()
    producer_id, epoch = await door.producer_id()
    first = batch_of(values(b"a", b"b"), sender=Sender(producer_id, epoch, 0))
    second = batch_of(values(b"c"), sender=Sender(producer_id, epoch, 2))
    assert (await door.produce(topic, 0, first)).offset == 0
    assert (await door.produce(topic, 0, second)).offset == 2
    for other in doors.values():
        assert await other.produce(topic, 0, first) == ("NONE", 0, -1)
        assert await other.produce(topic, 0, second) == ("NONE", 2, -1)
    assert (await door.list_offset(topic, 0, LATEST)).offset == 3


async def test_gaps_and_old_epochs_are_refused(door: Door, new_topic: NewTopic) -> None:
    topic = await new_topic()
    producer_id, _ = await door.producer_id()
    for sequence in (0, 1):
        batch = batch_of(values(b"a"), sender=Sender(producer_id, 1, sequence))
        assert (await door.produce(topic, 0, batch)).error == "NONE"
    for sender, error in (
        (Sender(producer_id, 1, 3), "OUT_OF_ORDER_SEQUENCE_NUMBER"),
        (Sender(producer_id, 0, 2), "INVALID_PRODUCER_EPOCH"),
        (Sender(producer_id, 2, 1), "OUT_OF_ORDER_SEQUENCE_NUMBER"),
    ):
        assert (await door.produce(topic, 0, batch_of(values(b"x"), sender=sender))).error == error
    assert (await door.list_offset(topic, 0, LATEST)).offset == 2


async def test_producer_ids_differ_whoever_asks(doors: dict[str, Door]) -> None:
    ids = [(await door.producer_id())[0] for door in doors.values() for _ in range(3)]
    assert len(set(ids)) == 9
