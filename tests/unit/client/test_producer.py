from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic_ns
from typing import Any

import grpc
import pytest
from tests.unit.client.fake_node import FakeLog, FakeNode

from odradek.client.errors import (
    ClosedError,
    DeliveryTimeoutError,
    InvalidRecordError,
    RecordTooLargeError,
    SequenceError,
)
from odradek.client.producer import Producer
from odradek.client.records import RecordMetadata
from odradek.proto.kafka.partitioner import partition_for
from odradek.proto.kafka.record_batch import parse_header
from odradek.v1 import log_service_pb2 as pb
from odradek.v1 import record_pb2


@asynccontextmanager
async def a_log(**settings: Any) -> AsyncIterator[tuple[FakeLog, FakeNode]]:
    """A topic "t" on one node."""
    async with FakeNode() as node:
        log = FakeLog(**settings)
        log.serve(1, node)
        yield log, node


async def test_a_record_with_everything() -> None:
    async with a_log(leaders=[1, 1, 1]) as (log, node), Producer(node.address, client_id="me") as producer:
        metadata = await producer.publish(
            "t", b"value", b"key", headers=[("a", b"1"), ("b", None)], timestamp_ms=123
        )
        partition = partition_for(b"key", 3)
        assert metadata == RecordMetadata("t", partition, 0, 123)
        record = log.written[partition][0]
        assert (record.timestamp, record.key, record.value) == (123, b"key", b"value")
        assert list(record.headers) == [("a", b"1"), ("b", None)]
        assert set(node.client_ids) == {"me"}


async def test_a_partition_goes_before_a_key_and_a_tombstone_has_no_value() -> None:
    async with a_log(leaders=[1, 1, 1]) as (log, node), Producer(node.address) as producer:
        for partition in range(3):
            await producer.publish("t", None, b"key", partition=partition)
        assert [log.written[partition][0].value for partition in range(3)] == [None] * 3


async def test_leaving_the_block_delivers_everything() -> None:
    async with a_log() as (log, node):
        async with Producer(node.address, linger_ms=60_000) as producer:
            promises = [await producer.send("t", b"%d" % number) for number in range(1000)]
        assert [promise.result().offset for promise in promises] == list(range(1000))
        assert log.values() == [b"%d" % number for number in range(1000)]


async def test_records_share_batches() -> None:
    async with a_log() as (log, node), Producer(node.address) as producer:
        for number in range(1000):
            await producer.send("t", b"%d" % number)
        await producer.flush()
        assert len(log.requests) < 10


async def test_a_topic_is_created_by_being_asked_for() -> None:
    async with a_log(is_created=False) as (_, node), Producer(node.address) as producer:
        assert (await producer.publish("t", b"v")).offset == 0


async def test_flush_waits_for_records_whose_topic_is_being_created() -> None:
    async with a_log(is_created=False) as (_, node), Producer(node.address, linger_ms=60_000) as producer:
        promise = await producer.send("t", b"v")
        await producer.flush()
        assert promise.done()


# -- what breaks


async def test_an_answer_that_was_lost_doubles_nothing() -> None:
    async with a_log() as (log, node), Producer(node.address, linger_ms=0) as producer:
        breaks = [True, True]

        async def after(request: pb.ProduceRequest, context: Any) -> None:
            if breaks:
                breaks.pop()
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the connection broke")

        log.after = after
        promises = [await producer.send("t", b"%d" % number) for number in range(10)]
        await producer.flush()
        assert log.values() == [b"%d" % number for number in range(10)]
        assert [promise.result().offset for promise in promises] == list(range(10))
        assert log.requests[0] == log.requests[1] == log.requests[2], "the same bytes"


async def test_order_is_kept_when_calls_break_at_random() -> None:
    async with a_log(leaders=[1, 1]) as (log, node), Producer(node.address, linger_ms=0) as producer:
        count = 0

        async def sometimes(request: pb.ProduceRequest, context: Any) -> None:
            nonlocal count
            count += 1
            if count % 3 == 0:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the connection broke")

        log.before = log.after = sometimes
        for number in range(200):
            await producer.send("t", b"%d" % number, partition=number % 2)
            await asyncio.sleep(0)
        await producer.flush()
        for partition in (0, 1):
            values = [record.value for record in log.written[partition]]
            assert values == [b"%d" % number for number in range(partition, 200, 2)]


async def test_a_leader_that_dies_is_replaced() -> None:
    async with FakeNode() as first, FakeNode() as second:
        log = FakeLog(leaders=[1])
        log.serve(1, first)
        log.serve(2, second)
        async with Producer(f"{first.address},{second.address}", linger_ms=0) as producer:
            await producer.publish("t", b"0")
            await first.stop()
            promise = await producer.send("t", b"1")
            del log.nodes[1]
            log.leaders, log.leader_epoch = [2], 2
            assert (await promise).offset == 1
            assert log.values() == [b"0", b"1"]


async def test_a_node_that_is_not_the_leader_names_it() -> None:
    async with FakeNode() as first, FakeNode() as second:
        log = FakeLog(leaders=[1])
        log.serve(1, first)
        log.serve(2, second)
        async with Producer(first.address, linger_ms=0) as producer:
            await producer.publish("t", b"0")
            log.leaders, log.leader_epoch = [2], 2
            first.unary.pop("LogService/Metadata")
            second.unary.pop("LogService/Metadata")
            assert (await producer.publish("t", b"1")).offset == 1


@pytest.mark.parametrize("reason", ["OUT_OF_ORDER_SEQUENCE_NUMBER", "UNKNOWN_PRODUCER_ID"])
async def test_a_partition_that_lost_sight_of_the_producer_gets_a_new_one(reason: str) -> None:
    async with a_log() as (log, node), Producer(node.address, linger_ms=0) as producer:
        await producer.publish("t", b"0")
        log.refusals = [reason]
        assert (await producer.publish("t", b"1")).offset == 1
        headers = [parse_header(request.partitions[0].record_batch) for request in log.requests]
        assert [(header.producer_id, header.base_sequence) for header in headers] == [(1, 0), (1, 1), (2, 0)]


async def test_what_may_be_written_is_not_written_under_another_identity() -> None:
    async with a_log() as (log, node), Producer(node.address, linger_ms=0) as producer:
        breaks = [True]

        async def after(request: pb.ProduceRequest, context: Any) -> None:
            if breaks:
                breaks.pop()
                log.refusals = ["UNKNOWN_PRODUCER_ID"]
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the connection broke")

        log.after = after
        with pytest.raises(SequenceError):
            await producer.publish("t", b"0")
        assert (await producer.publish("t", b"1")).offset == 1
        assert log.values() == [b"0", b"1"]


class Clock:
    """The clock of producers: the real one, and what a test adds to it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.added_ms = 0
        monkeypatch.setattr("odradek.client.producer.monotonic_ns", lambda: self.now_ms() * 1_000_000)
        monkeypatch.setattr("odradek.client.producer_sender.steady_ms", self.now_ms)

    def now_ms(self) -> int:
        return monotonic_ns() // 1_000_000 + self.added_ms


async def test_what_cannot_be_delivered_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    async with (
        a_log() as (log, node),
        Producer(node.address, linger_ms=0, delivery_timeout_ms=120_000) as producer,
    ):

        async def before(request: pb.ProduceRequest, context: Any) -> None:
            # By a real clock the time could end while a request is under way, and then nobody knows.
            if len(log.requests) == 2:
                clock.added_ms = 200_000

        log.before = before
        log.refusals = ["NOT_ENOUGH_REPLICAS"] * 1000
        with pytest.raises(DeliveryTimeoutError, match="NOT_ENOUGH_REPLICAS") as caught:
            await producer.publish("t", b"0")
        assert not caught.value.is_unknown
        assert len(log.requests) == 2
        log.refusals = []
        assert (await producer.publish("t", b"1")).offset == 0


async def test_a_node_that_says_nothing_times_out_and_nobody_knows() -> None:
    async with (
        a_log() as (log, node),
        Producer(node.address, linger_ms=0, delivery_timeout_ms=4_000) as producer,
    ):
        silent = asyncio.Event()

        async def after(request: pb.ProduceRequest, context: Any) -> None:
            await silent.wait()

        log.after = after
        with pytest.raises(DeliveryTimeoutError) as caught:
            await producer.publish("t", b"0")
        assert caught.value.is_unknown
        silent.set()
        assert (await producer.publish("t", b"1")).offset == 1
        assert parse_header(log.requests[-1].partitions[0].record_batch).producer_id == 2


async def test_a_refused_record_fails_and_the_next_does_not() -> None:
    async with a_log() as (log, node), Producer(node.address, linger_ms=0) as producer:
        log.refusals = ["INVALID_RECORD"]
        with pytest.raises(InvalidRecordError):
            await producer.publish("t", b"0")
        assert (await producer.publish("t", b"1")).offset == 0


async def test_without_idempotence_nobody_is_asked_for_an_identity() -> None:
    async with a_log() as (log, node), Producer(node.address, idempotent=False, acks="leader") as producer:
        await producer.publish("t", b"0")
        assert log.producer_ids == 0
        assert log.requests[0].acks == record_pb2.ACKS_LEADER
        assert parse_header(log.requests[0].partitions[0].record_batch).producer_id == -1


# -- room


async def test_a_full_buffer_lets_nobody_in_before_something_is_decided() -> None:
    async with (
        a_log() as (log, node),
        Producer(node.address, linger_ms=0, max_buffered_bytes=300) as producer,
    ):
        gate, arrived = asyncio.Event(), asyncio.Event()

        async def before(request: pb.ProduceRequest, context: Any) -> None:
            arrived.set()
            await gate.wait()

        log.before = before
        order: list[int] = []

        async def send(number: int) -> None:
            await producer.send("t", b"x" * 100)
            order.append(number)

        tasks = [asyncio.create_task(send(number)) for number in range(6)]
        await arrived.wait()
        assert order == [0, 1]
        assert producer.buffered_bytes == 248
        gate.set()
        await asyncio.gather(*tasks)
        assert order == list(range(6)), "in the order in which they came"
        await producer.flush()
        assert producer.buffered_bytes == 0


async def test_who_does_not_wait_for_room_any_longer_takes_none() -> None:
    async with (
        a_log() as (log, node),
        Producer(node.address, linger_ms=0, max_buffered_bytes=200) as producer,
    ):
        gate = asyncio.Event()

        async def before(request: pb.ProduceRequest, context: Any) -> None:
            await gate.wait()

        log.before = before
        await producer.send("t", b"x" * 100)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(producer.send("t", b"y" * 100), 0.05)
        third = asyncio.create_task(producer.send("t", b"z" * 100))
        gate.set()
        await (await third)
        assert log.values() == [b"x" * 100, b"z" * 100]
        assert producer.buffered_bytes == 0


async def test_a_record_larger_than_the_buffer_is_refused() -> None:
    async with a_log() as (_, node), Producer(node.address, max_buffered_bytes=200) as producer:
        with pytest.raises(RecordTooLargeError):
            await producer.send("t", b"x" * 300)


# -- arguments and the end


@pytest.mark.parametrize(
    "settings",
    [
        {"acks": "none"},
        {"compression": "brotli"},
        {"linger_ms": -1},
        {"batch_bytes": 0},
        {"max_buffered_bytes": 0},
    ],
)
def test_settings_that_cannot_be(settings: Any) -> None:
    with pytest.raises(ValueError):
        Producer("127.0.0.1:1", **settings)


def test_a_setting_that_is_none() -> None:
    settings: Any = {"linger": 5}
    with pytest.raises(TypeError, match="linger"):
        Producer("127.0.0.1:1", **settings)


async def test_records_that_cannot_be() -> None:
    bad: Any
    async with Producer("127.0.0.1:1") as producer:
        for bad in ({"value": "text"}, {"value": b"", "key": 5}, {"value": b"", "headers": [("a", "b")]}):
            with pytest.raises(TypeError):
                await producer.send("t", **bad)
        for bad in ({"headers": [(b"a", b"b")]},):
            with pytest.raises(TypeError):
                await producer.send("t", b"", **bad)
        with pytest.raises(ValueError, match="-1"):
            await producer.send("t", b"", partition=-1)


async def test_other_kinds_of_bytes_are_bytes() -> None:
    async with a_log() as (log, node), Producer(node.address, linger_ms=0) as producer:
        value: Any = bytearray(b"v")
        key: Any = memoryview(b"k")
        await producer.publish("t", value, key)
        assert log.values() == [b"v"]


async def test_closing_in_haste_tells_who_was_left() -> None:
    async with a_log() as (log, node):
        producer = Producer(node.address, linger_ms=0)
        producer.start()
        log.refusals = ["NOT_ENOUGH_REPLICAS"] * 1000
        promise = await producer.send("t", b"0")
        await producer.close(timeout_ms=50)
        with pytest.raises(ClosedError):
            await promise
        with pytest.raises(ClosedError):
            await producer.send("t", b"1")
        await producer.close()


async def test_who_waits_for_room_hears_of_the_end() -> None:
    async with a_log() as (log, node):
        producer = Producer(node.address, linger_ms=0, max_buffered_bytes=200)
        producer.start()
        log.refusals = ["NOT_ENOUGH_REPLICAS"] * 1000
        promise = await producer.send("t", b"x" * 100)
        waiting = asyncio.create_task(producer.send("t", b"y" * 100))
        await producer.close(timeout_ms=50)
        with pytest.raises(ClosedError):
            await waiting
        assert isinstance(promise.exception(), ClosedError)


async def test_before_the_start_nothing_is_taken() -> None:
    with pytest.raises(ClosedError, match="not started"):
        await Producer("127.0.0.1:1").send("t", b"0")
