"""Publish over partitions in memory that fail as they like: every record once, and the same answer to a retry."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.node.app.partitions_in_memory import CONTEXT, Fault, PartitionsInMemory

from odradek.node.app.image_changes import ImageChanges
from odradek.node.app.leaders import Leaders
from odradek.node.app.metadata import AskedTopic, FoundTopic, MetadataService
from odradek.node.app.publish import (
    PublishCommand,
    Published,
    PublishService,
    size_of,
)
from odradek.node.app.senders import producer_id_of
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.partitioner import partition_for
from odradek.proto.kafka.record_batch import HEADER_SIZE, MAX_SEQUENCE, Record, build_batch, parse_header
from odradek.storage.producer_entry import FIRST_SPARSE_PRODUCER_ID

NOW_MS = 1_700_000_000_000
LONG_MS = 60_000
E = ErrorCode
LOST = Fault(E.REQUEST_TIMED_OUT, True)
UNKNOWN = Fault(E.NETWORK_EXCEPTION, False)
TOO_FEW = Fault(E.NOT_ENOUGH_REPLICAS, False)


class Topics:
    """`MetadataService`: topics as far as the partitions know them; one may be on its way."""

    def __init__(self, partitions: PartitionsInMemory) -> None:
        self.partitions = partitions
        self.error = E.UNKNOWN_TOPIC_OR_PARTITION
        self.comes_after = 0

    def find_topics(self, asked: Sequence[AskedTopic], *, allow_auto_creation: bool) -> list[Any]:
        assert allow_auto_creation
        (one,) = asked
        count = self.partitions.count(one.name or "")
        if count and self.comes_after == 0:
            return [
                FoundTopic(E.NONE, one.name, bytes(16), cast(Any, SimpleNamespace(partitions=[None] * count)))
            ]
        self.comes_after = max(0, self.comes_after - 1)
        return [FoundTopic(self.error, one.name, bytes(16))]

    def is_creating(self, name: str) -> bool:
        return self.partitions.count(name) > 0


class NoPause(ImageChanges):
    """Something changes whenever somebody waits for it."""

    async def wait(self, timeout_s: float) -> None:
        await asyncio.sleep(0)


class World:
    def __init__(self, count: int = 1, batch_bytes: int = 1_000_000) -> None:
        self.memory = PartitionsInMemory(t=count)
        self.topics = Topics(self.memory)
        self.service = PublishService(
            cast(Leaders, self.memory),
            cast(MetadataService, self.topics),
            NoPause(),
            lambda _: batch_bytes,
            lambda: NOW_MS,
            Random(1),
        )

    async def publish(
        self, *records: Record, timeout_ms: int = LONG_MS, topic: str = "t", **more: Any
    ) -> Published:
        return await self.service.publish(CONTEXT, PublishCommand(topic, records, **more), timeout_ms)

    def values(self, partition: int = 0) -> list[bytes | None]:
        return [one.value for one in self.memory.partitions["t", partition].records]


def record(value: bytes, key: bytes | None = None, timestamp: int = -1) -> Record:
    return Record(0, timestamp, key, value, ())


async def test_records_go_where_their_keys_say_and_keep_their_order() -> None:
    world = World(3)
    records = [record(b"%d" % at, b"%d" % (at % 5)) for at in range(30)]
    published = await world.publish(*records)
    assert published.error is E.NONE
    assert list(published.partitions) == [partition_for(one.key or b"", 3) for one in records]
    for partition in range(3):
        theirs = [one.value for one, at in zip(records, published.partitions, strict=True) if at == partition]
        assert world.values(partition) == theirs
    offsets = [world.memory.partitions["t", at].records for at in range(3)]
    for one, at, offset in zip(records, published.partitions, published.offsets, strict=True):
        assert offsets[at][offset].value == one.value


async def test_a_timestamp_is_its_own_or_of_now() -> None:
    world = World()
    await world.publish(record(b"a"), record(b"b", timestamp=0))
    assert [one.timestamp for one in world.memory.partitions["t", 0].records] == [NOW_MS, 0]


async def test_a_topic_is_waited_for_while_it_is_created() -> None:
    world = World()
    world.topics.comes_after = 3
    assert (await world.publish(record(b"a"))).error is E.NONE
    world.topics.comes_after, world.topics.error = 1, E.INVALID_TOPIC_EXCEPTION
    assert (await world.publish(record(b"a"))).error is E.INVALID_TOPIC_EXCEPTION
    assert (await world.publish(record(b"a"), topic="nobody")).error is E.INVALID_TOPIC_EXCEPTION


async def test_a_partition_that_does_not_exist() -> None:
    published = await World(2).publish(record(b"a"), record(b"b"), partitions=[1, 2])
    assert published.error is E.UNKNOWN_TOPIC_OR_PARTITION and "record 1: partition 2" in (
        published.message or ""
    )


# -- failures


@pytest.mark.parametrize("name", ["", "me"])
async def test_what_was_not_written_is_written_again(name: str) -> None:
    world = World()
    world.memory.faults = [TOO_FEW, Fault(E.NOT_LEADER_OR_FOLLOWER, False), TOO_FEW]
    assert (await world.publish(record(b"a"), producer_name=name)).error is E.NONE
    assert world.values() == [b"a"]


@pytest.mark.parametrize(
    "fault",
    [
        LOST,
        UNKNOWN,
        Fault(E.NOT_ENOUGH_REPLICAS_AFTER_APPEND, True),
        Fault(E.NOT_LEADER_OR_FOLLOWER, True),  # it was replaced while the batch waited
        Fault(E.KAFKA_STORAGE_ERROR, True),
    ],
)
@pytest.mark.parametrize("name", ["", "me"])
async def test_what_nobody_knows_is_written_again_under_a_name_given_or_lent(name: str, fault: Fault) -> None:
    world = World()
    world.memory.faults = [fault, fault]
    assert (await world.publish(record(b"a"), producer_name=name)).offsets == [0]
    assert world.values() == [b"a"]


async def test_when_the_time_is_up() -> None:
    world = World()
    for faults, error in (([TOO_FEW], E.NOT_ENOUGH_REPLICAS), ([LOST], E.REQUEST_TIMED_OUT)):
        world.memory.faults = list(faults)
        published = await world.publish(record(b"a"), producer_name="me", timeout_ms=0)
        assert published == (error, published.message, (), ())


async def test_a_refusal_is_final() -> None:
    world = World()
    world.memory.faults = [Fault(E.INVALID_RECORD, False)]
    assert (await world.publish(record(b"a"))).error is E.INVALID_RECORD
    assert world.memory.faults == []


# -- batches


async def test_records_are_cut_into_batches_below_the_limit() -> None:
    world = World(batch_bytes=10_000)
    await world.publish(*(record(bytes(3000)) for _ in range(10)), record(bytes(9_900)))
    batches = world.memory.partitions["t", 0].batches
    assert [parse_header(one).record_count for one in batches] == [2, 2, 2, 2, 2, 1]
    assert all(len(one) <= 10_000 for one in batches)


async def test_under_a_name_no_more_batches_than_are_remembered() -> None:
    world = World(batch_bytes=10_000)
    records = [record(bytes(3000)) for _ in range(11)]
    published = await world.publish(*records, producer_name="me")
    assert published.error is E.RECORD_LIST_TOO_LARGE and world.values() == []
    assert (await world.publish(*records[:10], producer_name="me")).error is E.NONE


@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.binary(max_size=300)),
            st.one_of(st.none(), st.binary(max_size=300)),
            st.lists(
                st.tuples(st.text(max_size=9), st.one_of(st.none(), st.binary(max_size=99))), max_size=4
            ),
            st.integers(0, 2**62),
        ),
        min_size=1,
        max_size=9,
    )
)
def test_the_size_of_records_is_not_underestimated(given_: list[tuple[Any, Any, Any, int]]) -> None:
    records = [Record(at, time, key, value, headers) for at, (key, value, headers, time) in enumerate(given_)]
    assert len(build_batch(records)) <= HEADER_SIZE + sum(map(size_of, records))


async def test_numbers_wrap_around() -> None:
    world = World()
    first = MAX_SEQUENCE - 1
    for sequence in (first, first + 4, first + 8, first):
        await world.publish(*[record(b"%d" % sequence)] * 4, producer_name="me", sequence=sequence)
    assert world.memory.partitions["t", 0].end == 12


def test_producer_ids_are_beyond_all_that_are_allocated() -> None:
    ids = {producer_id_of(f"name-{at}") for at in range(1000)}
    assert len(ids) == 1000 and all(FIRST_SPARSE_PRODUCER_ID <= one < 1 << 63 for one in ids)


# -- idempotence

requests = st.lists(
    st.lists(
        st.tuples(st.one_of(st.none(), st.integers(0, 9)), st.integers(0, 900)), min_size=1, max_size=12
    ),
    min_size=1,
    max_size=6,
)
faults = st.lists(
    st.one_of(st.none(), st.sampled_from([LOST, UNKNOWN, TOO_FEW, Fault(E.KAFKA_STORAGE_ERROR, False)])),
    max_size=12,
)


@given(
    st.integers(1, 5),
    requests,
    st.lists(faults, min_size=6, max_size=6),
    st.lists(st.integers(0, 2), min_size=6),
)
@settings(deadline=None, max_examples=60)
def test_every_record_once_and_the_same_answer_to_a_retry(
    count: int,
    asked: list[list[tuple[int | None, int]]],
    failing: list[list[Fault | None]],
    retries: list[int],
) -> None:
    """Each request is sent until it succeeds, its time up at every fault, and then some times more."""

    async def run() -> None:
        world = World(count, batch_bytes=4_000)
        sequence, sent = 0, 0
        for at, request in enumerate(asked):
            records = [
                record(b"%d." % (sent + step) + bytes(size), None if key is None else b"%d" % key)
                for step, (key, size) in enumerate(request)
            ]
            how: dict[str, Any] = {"producer_name": "me", "sequence": sequence, "timeout_ms": 0}
            world.memory.faults = list(failing[at % len(failing)])
            published = await world.publish(*records, **how)
            while published.error is not E.NONE:
                if published.error is E.RECORD_LIST_TOO_LARGE:
                    return
                assert published.error is not E.OUT_OF_ORDER_SEQUENCE_NUMBER
                published = await world.publish(*records, **how)
            world.memory.faults = []
            for _ in range(retries[at % len(retries)]):
                assert await world.publish(*records, **how) == published
            for one, partition, offset in zip(records, published.partitions, published.offsets, strict=True):
                assert world.memory.partitions["t", partition].records[offset].value == one.value
            sequence += len(records)
            sent += len(records)
        written = [value for partition in range(count) for value in world.values(partition)]
        assert len(written) == sent and len(set(written)) == sent

    asyncio.run(run())
