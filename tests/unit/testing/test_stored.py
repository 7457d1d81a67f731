"""What a topic holds, as the broker of a test tells it."""

from __future__ import annotations

import pytest

from odradek.client import ConsumerRecord, TopicPartition, UnknownTopicError
from odradek.testing import Broker, BrokerThread


async def test_everything_is_told_partition_by_partition() -> None:
    async with Broker() as broker:
        await broker.create_topic("orders", partitions=2)
        assert await broker.records("orders") == []
        async with broker.producer(compression="zstd") as producer:
            for number in range(4):
                future = await producer.send(
                    "orders",
                    b"%d" % number,
                    key=b"k" if number else None,
                    headers=[("h", b"x")],
                    partition=1 - number % 2,
                    timestamp_ms=1000 + number,
                )
            await future
            await producer.flush()
            await producer.publish("orders", None, key=b"gone", partition=0, timestamp_ms=5)
        assert await broker.records("orders") == [
            ConsumerRecord("orders", 0, 0, 1001, b"k", b"1", (("h", b"x"),)),
            ConsumerRecord("orders", 0, 1, 1003, b"k", b"3", (("h", b"x"),)),
            ConsumerRecord("orders", 0, 2, 5, b"gone", None, ()),
            ConsumerRecord("orders", 1, 0, 1000, None, b"0", (("h", b"x"),)),
            ConsumerRecord("orders", 1, 1, 1002, b"k", b"2", (("h", b"x"),)),
        ]


async def test_more_than_one_fetch_holds_and_what_is_deleted_is_not_there() -> None:
    async with Broker() as broker:
        await broker.create_topic("orders")
        async with broker.producer(linger_ms=0) as producer:
            for number in range(12):
                await producer.publish("orders", bytes([number]) * 1_000_000)
        async with broker.admin() as admin:
            await admin.delete_records({TopicPartition("orders", 0): 2})
        broker.faults.fail("Fetch", error="UNKNOWN_SERVER_ERROR")
        found = await broker.records("orders")
        assert [(one.offset, (one.value or b"")[:1]) for one in found] == [
            (number, bytes([number])) for number in range(2, 12)
        ]


def test_a_topic_that_is_not_there_is_said_and_not_made() -> None:
    with BrokerThread() as broker:
        for _ in range(2):
            with pytest.raises(UnknownTopicError):
                broker.records("orders")
        broker.create_topic("orders")
        assert broker.records("orders") == []
