from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from tests.unit.client.fake_node import FakeNode
from tests.unit.client.fake_stream import NodeEnd, Streams
from tests.unit.client.responses import assigned, committed, records, revoking, seeked

from odradek.client.consumer import Consumer
from odradek.client.errors import (
    ClosedError,
    CommitFailedError,
    FencedError,
    InvalidRequestError,
    OffsetOutOfRangeError,
)
from odradek.client.records import Position, TopicPartition

T0, T1 = TopicPartition("t", 0), TopicPartition("t", 1)


@asynccontextmanager
async def reading(**settings: Any) -> AsyncIterator[tuple[Consumer, NodeEnd, Streams]]:
    """A consumer, and the node's end of its stream. At the end the node ends the stream that is open then."""
    async with FakeNode() as node:
        streams = Streams(node)
        settings.setdefault("topics", ["t"])
        consumer = Consumer(node.address, **settings)
        consumer.start()
        end = await streams.opened()
        yield consumer, end, streams
        if not end.over.done():
            end.end()
        await consumer.close()


async def offsets_of(consumer: Consumer, count: int) -> list[int]:
    found: list[int] = []
    while len(found) < count:
        found += [record.offset for record in await consumer.poll(count - len(found), timeout_ms=10_000)]
    return found


async def test_records_come_one_by_one() -> None:
    async with reading() as (consumer, end, _):
        await end.say(assigned((0, 7)), records(0, [7, 8]))
        record = await anext(consumer)
        assert (record.topic, record.partition, record.offset, record.value) == ("t", 0, 7, b"7")
        assert (await anext(consumer)).offset == 8
        assert consumer.assignment == {T0}
        assert consumer.position(T0) == 9
        assert consumer.high_watermark(T0) == 1000


async def test_a_record_is_acknowledged_when_the_next_is_asked_for() -> None:
    async with reading(group_id="g", credit=1000) as (consumer, end, _):
        await end.say(assigned((0, 0)), records(0, [0, 1]))
        await anext(consumer)
        await anext(consumer)
        assert (await end.hears("acknowledge")).acknowledge.records[0].offset == 0


async def test_records_of_a_poll_are_acknowledged_by_the_next() -> None:
    async with reading(group_id="g") as (consumer, end, _):
        await end.say(assigned((0, 0)), records(0, [0, 1, 2]))
        assert await offsets_of(consumer, 2) == [0, 1]
        assert await offsets_of(consumer, 1) == [2]
        assert (await end.hears("acknowledge")).acknowledge.records[0].offset == 1


async def test_a_poll_does_not_wait_for_more_than_it_must() -> None:
    async with reading() as (consumer, end, _):
        await end.say(assigned((0, 0)), records(0, [0, 1, 2]))
        assert len(await consumer.poll(500, timeout_ms=60_000)) == 3
        assert await consumer.poll(timeout_ms=0) == []
        with pytest.raises(ValueError, match="max_records"):
            await consumer.poll(0)


@pytest.mark.parametrize(("error", "is_acknowledged"), [(None, True), (KeyError("k"), False)])
async def test_leaving_the_block_acknowledges_what_was_dealt_with(
    error: Exception | None, is_acknowledged: bool
) -> None:
    async with FakeNode() as node:
        streams = Streams(node)

        async def read() -> None:
            async with Consumer(node.address, topics=["t"], group_id="g") as consumer:
                await anext(consumer)
                if error is not None:
                    raise error

        reader = asyncio.create_task(read())
        end = await streams.opened()
        await end.hears("subscribe")
        await end.say(assigned((0, 0)), records(0, [0]))
        last = await end.heard()
        assert (last is not None) is is_acknowledged
        end.end()
        await asyncio.wait([reader])
        assert reader.exception() is error


async def test_by_hand() -> None:
    async with reading(group_id="g", auto_commit=False) as (consumer, end, _):
        await end.say(assigned((0, 0)), records(0, [0, 1, 2]))
        first, *_ = await consumer.poll()
        consumer.acknowledge(first)
        assert (await end.hears("acknowledge")).acknowledge.records[0].offset == 0
        commit = asyncio.create_task(consumer.commit())
        request = (await end.hears("commit")).commit
        assert [(one.partition, one.offset) for one in request.offsets] == [(0, 1)]
        await end.say(committed(request.request_id, (0, "")))
        await commit


async def test_a_commit_that_failed() -> None:
    async with reading(group_id="g") as (consumer, end, _):
        await end.say(assigned((0, 0)))
        commit = asyncio.create_task(consumer.commit({T0: 3}))
        request = (await end.hears("commit")).commit
        await end.say(committed(request.request_id, (0, "REBALANCE_IN_PROGRESS")))
        with pytest.raises(CommitFailedError):
            await commit


async def test_without_a_group_nothing_is_committed() -> None:
    async with reading() as (consumer, end, _):
        await end.say(assigned((0, 0)), records(0, [0]))
        record = await anext(consumer)
        with pytest.raises(InvalidRequestError):
            consumer.acknowledge(record)
        with pytest.raises(InvalidRequestError):
            await consumer.commit()


async def test_seeking() -> None:
    async with reading() as (consumer, end, _):
        await end.say(assigned((0, 0)), records(0, [0]))
        await anext(consumer)
        seek = asyncio.create_task(consumer.seek(T0, Position.latest()))
        request = (await end.hears("seek")).seek
        await end.say(records(0, [1]), seeked(request.request_id, 0, 90), records(0, [90]))
        assert await seek == 90
        assert (await anext(consumer)).offset == 90


async def test_pausing_and_resuming() -> None:
    async with reading() as (consumer, end, _):
        await end.say(assigned((0, 0), (1, 0)), records(0, [0]), records(1, [0]))
        assert len(await offsets_of(consumer, 2)) == 2
        consumer.pause(T0)
        await end.hears("pause")
        await end.say(records(0, [1]), records(1, [1]))
        assert (await anext(consumer)).partition == 1
        consumer.resume(T0)
        request = (await end.hears("seek")).seek
        await end.hears("resume")
        await end.say(seeked(request.request_id, 0, 1), records(0, [1]))
        assert (await anext(consumer)).offset == 1


async def test_another_stream_goes_on_behind_the_last_record() -> None:
    async with reading() as (consumer, end, streams):
        await end.say(assigned((0, 0)), records(0, [0, 1, 2]))
        assert await offsets_of(consumer, 2) == [0, 1]
        end.end(grpc.StatusCode.UNAVAILABLE)
        end = await streams.opened()
        await end.say(assigned((0, 0)), records(0, [0, 1, 2]))
        seek = (await end.hears("seek")).seek
        await end.say(seeked(seek.request_id, 0, 2), records(0, [2, 3]))
        assert await offsets_of(consumer, 2) == [2, 3]
        end.end()
        await consumer.close()


async def test_the_place_in_the_group_is_the_same_for_every_stream() -> None:
    async with reading(group_id="g") as (consumer, end, streams):
        first = (await end.hears("subscribe")).subscribe.instance_id
        await end.say(assigned((0, 0)))
        end.end(grpc.StatusCode.UNAVAILABLE)
        end = await streams.opened()
        assert (await end.hears("subscribe")).subscribe.instance_id == first != ""
        assert Consumer("127.0.0.1:1", topics=["t"])._plan.instance_id != first
        await end.say(assigned((0, 0)))
        end.end()
        await consumer.close()


async def test_callbacks_come_before_the_records_of_their_assignment() -> None:
    told: list[tuple[str, list[int]]] = []
    gate = asyncio.Event()

    async def on_assigned(partitions: Sequence[TopicPartition]) -> None:
        await gate.wait()
        told.append(("assigned", [tp.partition for tp in partitions]))

    def on_revoked(partitions: Sequence[TopicPartition]) -> None:
        told.append(("revoked", [tp.partition for tp in partitions]))

    async with reading(group_id="g", on_assigned=on_assigned, on_revoked=on_revoked) as (consumer, end, _):
        await end.say(assigned((0, 0), (1, 0)), records(0, [0]))
        assert await consumer.poll(timeout_ms=50) == []
        gate.set()
        assert (await anext(consumer)).offset == 0
        assert told == [("assigned", [0, 1])]
        await end.say(revoking(), assigned((1, 0), generation=2), records(1, [0]))
        assert (await anext(consumer)).partition == 1
        assert told[1:] == [("revoked", [0, 1]), ("assigned", [1])]


async def test_a_callback_that_fails_is_heard_of() -> None:
    def on_assigned(partitions: Sequence[TopicPartition]) -> None:
        raise KeyError("mine")

    async with reading(on_assigned=on_assigned) as (consumer, end, _):
        await end.say(assigned((0, 0)), records(0, [0]))
        with pytest.raises(KeyError, match="mine"):
            await anext(consumer)
        assert (await anext(consumer)).offset == 0


@pytest.mark.parametrize(
    ("status", "reason", "cls"),
    [
        (grpc.StatusCode.ABORTED, "FENCED_INSTANCE_ID", FencedError),
        (grpc.StatusCode.OUT_OF_RANGE, "OFFSET_OUT_OF_RANGE", OffsetOutOfRangeError),
        (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REGULAR_EXPRESSION", InvalidRequestError),
    ],
)
async def test_what_is_final_ends_everything(
    status: grpc.StatusCode, reason: str, cls: type[Exception]
) -> None:
    async with reading(group_id="g") as (consumer, end, _):
        await end.say(assigned((0, 0)))
        commit = asyncio.create_task(consumer.commit({T0: 3}))
        await end.hears("commit")
        end.end(status, reason)
        with pytest.raises(cls):
            await anext(consumer)
        with pytest.raises(cls):
            await consumer.poll()
        with pytest.raises(cls):
            await commit
        unheard: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
    del commit, consumer, end
    gc.collect()
    assert unheard == []


async def test_closing_ends_the_iteration() -> None:
    async with reading() as (consumer, end, _):
        await end.say(assigned((0, 0)))
        found = [record async for record in _closing(consumer, end)]
        assert found == []
        with pytest.raises(ClosedError):
            await consumer.poll()
        with pytest.raises(ClosedError):
            await consumer.seek(T0, 0)
        await consumer.close()


async def _closing(consumer: Consumer, end: NodeEnd) -> AsyncIterator[Any]:
    asyncio.get_running_loop().call_later(0.02, end.end)
    closing = asyncio.create_task(consumer.close())
    async for record in consumer:
        yield record
    await closing


@pytest.mark.parametrize("settings", [{}, {"topics": "t"}, {"topics": ["t"], "offset_reset": "x"}])
def test_settings_that_cannot_be(settings: Any) -> None:
    with pytest.raises(ValueError):
        Consumer("127.0.0.1:1", **settings)


def test_a_setting_that_is_none() -> None:
    settings: Any = {"topic": "t"}
    with pytest.raises(TypeError, match="topic"):
        Consumer("127.0.0.1:1", topics=["t"], **settings)


async def test_before_the_start_nothing_is_read() -> None:
    with pytest.raises(ClosedError, match="not started"):
        await anext(Consumer("127.0.0.1:1", topics=["t"]))
