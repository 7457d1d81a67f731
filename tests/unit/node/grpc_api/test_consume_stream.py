"""A Consume stream without a server: first requests to what is read, later ones to wishes, events to responses."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, cast

import pytest
from tests.unit.node.grpc_api.node import Node, a_call

from odradek.node.app.consume.consumer import Consumer
from odradek.node.app.consume.values import (
    Assigned,
    Assignment,
    Committed,
    ConsumeError,
    OffsetReset,
    Position,
    Reset,
    Revoking,
    Seeked,
    Subscription,
)
from odradek.node.app.list_offsets import EARLIEST, LATEST
from odradek.node.grpc_api import consume_stream
from odradek.node.grpc_api.consume_stream import position_of, response_of, what_of
from odradek.node.grpc_api.refusal import RefusalError
from odradek.proto.kafka.errors import ErrorCode
from odradek.v1 import record_pb2, topic_service_pb2
from odradek.v1 import record_service_pb2 as pb


def subscribe(**fields: Any) -> pb.ConsumeRequest:
    return pb.ConsumeRequest(subscribe=pb.Subscribe(**fields), credit=10)


def test_what_a_subscription_leaves_out_has_defaults() -> None:
    what = what_of(subscribe(topics=["t"]))
    assert what == Subscription(frozenset("t"))
    assert isinstance(what, Subscription) and what.instance_id is None
    assert (what.session_timeout_ms, what.rebalance_timeout_ms, what.commit_interval_ms) == (
        10_000,
        60_000,
        1_000,
    )


def test_a_whole_subscription() -> None:
    what = what_of(
        subscribe(
            topic_pattern="a.*",
            group_id="g",
            instance_id="i",
            offset_reset=pb.OFFSET_RESET_NONE,
            session_timeout_ms=1,
            rebalance_timeout_ms=2,
            commit_interval_ms=100,
            isolation_level=record_pb2.ISOLATION_LEVEL_READ_COMMITTED,
        )
    )
    assert isinstance(what, Subscription) and what.pattern is not None
    assert what.pattern.fullmatch("abc") and not what.pattern.fullmatch("ba")
    assert what[2:] == ("g", "i", OffsetReset.NONE, 1, 2, 100, 1)


def test_an_assignment() -> None:
    asked = pb.Assign(
        partitions=[
            pb.AssignedStart(topic="t", position=record_pb2.Position(offset=0)),
            pb.AssignedStart(topic="t", partition=1),
        ],
        group_id="g",
        offset_reset=pb.OFFSET_RESET_LATEST,
    )
    what = what_of(pb.ConsumeRequest(assign=asked))
    assert what == Assignment([("t", 0, Position(0)), ("t", 1, None)], "g", OffsetReset.LATEST)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (record_pb2.Position(offset=5), Position(5)),
        (record_pb2.Position(timestamp_ms=0), Position(timestamp=0)),
        (record_pb2.Position(edge=record_pb2.EDGE_LATEST), Position(timestamp=LATEST)),
        (record_pb2.Position(edge=record_pb2.EDGE_UNSPECIFIED), Position(timestamp=EARLIEST)),
    ],
)
def test_positions(asked: record_pb2.Position, expected: Position) -> None:
    assert position_of(asked) == expected


def test_events_are_responses() -> None:
    assert response_of(Assigned([])).WhichOneof("event") == "assigned"
    assigned = response_of(Assigned([("t", 1, 5)], "m", 3)).assigned
    assert (assigned.member_id, assigned.generation, assigned.partitions[0].offset) == ("m", 3, 5)
    assert response_of(Revoking(0)).WhichOneof("event") == "revoking"
    assert response_of(Committed(0, [])).WhichOneof("event") == "committed"
    committed = response_of(
        Committed(7, [("t", 0, ErrorCode.NONE), ("t", 1, ErrorCode.REBALANCE_IN_PROGRESS)])
    ).committed
    assert [one.reason for one in committed.partitions] == ["", "REBALANCE_IN_PROGRESS"]
    assert response_of(Seeked(1, "t", 2, 3)).seeked == pb.Seeked(
        request_id=1, topic="t", partition=2, offset=3
    )
    assert response_of(Reset("t", 2, 3)).reset == pb.Reset(topic="t", partition=2, offset=3)


class Queues:
    """Both directions of a call."""

    def __init__(self) -> None:
        self.requests: asyncio.Queue[pb.ConsumeRequest | Exception | None] = asyncio.Queue()
        self.responses: asyncio.Queue[pb.ConsumeResponse] = asyncio.Queue()

    async def read(self) -> Any | None:
        request = await self.requests.get()
        if isinstance(request, Exception):
            raise request
        return request

    async def write(self, response: Any) -> None:
        self.responses.put_nowait(response)


async def opened(first: pb.ConsumeRequest) -> tuple[Queues, asyncio.Task[None]]:
    node = await Node.started()
    await node.ask("CreateTopic", topic_service_pb2.CreateTopicRequest(name="t", partition_count=1))
    queues = Queues()
    queues.requests.put_nowait(first)
    work = consume_stream.serve(node.services.consume, a_call(), queues)
    return queues, asyncio.get_running_loop().create_task(work)


async def test_a_stream_from_its_first_request_to_its_half_close() -> None:
    queues, task = await opened(subscribe(topics=["t"]))
    response = await queues.responses.get()
    assert response.assigned.partitions[0] == record_pb2.TopicPartitionOffset(topic="t")
    queues.requests.put_nowait(None)
    await task


async def test_a_stream_that_cannot_be_read_ends() -> None:
    queues, task = await opened(subscribe(topics=["t"]))
    await queues.responses.get()
    queues.requests.put_nowait(OSError("broken"))
    with pytest.raises(RefusalError) as raised:
        await task
    assert raised.value.reason == "NETWORK_EXCEPTION"


async def test_a_wrong_request_ends_the_stream_with_its_own_words() -> None:
    queues, task = await opened(subscribe(topics=["t"]))
    await queues.responses.get()
    queues.requests.put_nowait(pb.ConsumeRequest(credit=-4))
    with pytest.raises(RefusalError) as raised:
        await task
    assert raised.value.reason == "INVALID_REQUEST" and "-4" in raised.value.message


async def test_no_reader_is_made_for_a_first_request_that_cannot_be() -> None:
    for first in (
        subscribe(topics=["t"], topic_pattern="t"),
        pb.ConsumeRequest(subscribe=pb.Subscribe(topics=["t"])),
    ):
        _, task = await opened(first)
        with pytest.raises(RefusalError) as raised:
            await task
        assert raised.value.status.name == "INVALID_ARGUMENT"


async def test_requests_whose_answers_nobody_reads_have_an_end() -> None:
    consumer = Consumer.__new__(Consumer)  # only its backlog is looked at
    consumer._seeks, consumer._outbox, consumer._tasks = deque([cast(Any, None)] * 1001), deque(), set()
    failures: list[ConsumeError] = []
    consumer.fail = failures.append  # type: ignore[method-assign, assignment]

    class Endless:
        async def read(self) -> pb.ConsumeRequest:
            return pb.ConsumeRequest(credit=1)

    await consume_stream._read(cast(Any, Endless()), consumer)
    (failure,) = failures
    assert "more than 1000 requests of this stream wait" in str(failure)
