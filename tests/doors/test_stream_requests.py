"""Requests on Consume streams that cannot be right: each ends in a clear status, and leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import grpc.aio
import pytest
from tests.doors.api_door import Refused
from tests.doors.conftest import NewTopic
from tests.doors.door import Door
from tests.doors.streams import StreamReader, Wire, assign, at_offset, is_empty, send, subscribe

from odradek.v1 import record_pb2
from odradek.v1 import record_service_pb2 as pb

OpenWire = Callable[..., Wire]
NewName = Callable[[], str]

# -- requests that cannot be right

LONG = "x" * 40_000
FIRST_REQUESTS: list[tuple[str, pb.ConsumeRequest, str, str]] = [
    ("no credit", pb.ConsumeRequest(subscribe=pb.Subscribe(topics=["t"])), "INVALID_ARGUMENT", ""),
    ("less than none", subscribe("t", credit=-1), "INVALID_ARGUMENT", ""),
    ("nothing", pb.ConsumeRequest(credit=1), "INVALID_ARGUMENT", ""),
    ("acknowledge", pb.ConsumeRequest(acknowledge=pb.Acknowledge(), credit=1), "INVALID_ARGUMENT", ""),
    ("no topics", subscribe(), "INVALID_ARGUMENT", ""),
    ("an empty topic", subscribe(""), "INVALID_ARGUMENT", ""),
    ("a topic that cannot be", subscribe("a b"), "INVALID_ARGUMENT", "INVALID_TOPIC_EXCEPTION"),
    ("a long topic", subscribe(LONG, group="doors-g"), "INVALID_ARGUMENT", "INVALID_TOPIC_EXCEPTION"),
    ("both", subscribe("t", topic_pattern="t"), "INVALID_ARGUMENT", ""),
    ("no expression", subscribe(topic_pattern="("), "INVALID_ARGUMENT", ""),
    ("an endless expression", subscribe(topic_pattern="(a{1000}){1000}"), "INVALID_ARGUMENT", ""),
    ("a long expression", subscribe(topic_pattern=LONG), "INVALID_ARGUMENT", ""),
    ("a place in no group", subscribe("t", instance_id="i"), "INVALID_ARGUMENT", ""),
    ("a long group", subscribe("t", group=LONG), "INVALID_ARGUMENT", ""),
    ("a long instance", subscribe("t", group="doors-g", instance_id=LONG), "INVALID_ARGUMENT", ""),
    ("a reset", subscribe("t", offset_reset=9), "INVALID_ARGUMENT", ""),
    ("an isolation level", subscribe("t", isolation_level=9), "INVALID_ARGUMENT", ""),
    (
        "a short session",
        subscribe("t", group="doors-g", session_timeout_ms=99),
        "INVALID_ARGUMENT",
        "INVALID_SESSION_TIMEOUT",
    ),
    (
        "a long session",
        subscribe("t", group="doors-g", session_timeout_ms=2_000_000_000),
        "INVALID_ARGUMENT",
        "INVALID_SESSION_TIMEOUT",
    ),
    ("a negative session", subscribe("t", session_timeout_ms=-1), "INVALID_ARGUMENT", ""),
    ("a negative rebalance", subscribe("t", rebalance_timeout_ms=-1), "INVALID_ARGUMENT", ""),
    ("a short interval", subscribe("t", commit_interval_ms=99), "INVALID_ARGUMENT", ""),
    ("nothing assigned", assign({}), "INVALID_ARGUMENT", ""),
    ("no topic there", assign({("nobody-made-this", 0): None}), "NOT_FOUND", "UNKNOWN_TOPIC_OR_PARTITION"),
    ("a negative partition", assign({("doors-first", -1): None}), "NOT_FOUND", "UNKNOWN_TOPIC_OR_PARTITION"),
    ("no such partition", assign({("doors-first", 1): None}), "NOT_FOUND", "UNKNOWN_TOPIC_OR_PARTITION"),
    ("a position", assign({("doors-first", 0): record_pb2.Position()}), "INVALID_ARGUMENT", ""),
    ("an offset", assign({("doors-first", 0): at_offset(-1)}), "INVALID_ARGUMENT", ""),
    (
        "a time",
        assign({("doors-first", 0): record_pb2.Position(timestamp_ms=-1)}),
        "INVALID_ARGUMENT",
        "",
    ),
    ("an edge", assign({("doors-first", 0): record_pb2.Position(edge=7)}), "INVALID_ARGUMENT", ""),  # type: ignore[arg-type]
    (
        "twice",
        pb.ConsumeRequest(assign=pb.Assign(partitions=[pb.AssignedStart(topic="t")] * 2), credit=1),
        "INVALID_ARGUMENT",
        "",
    ),
]


@pytest.mark.parametrize(
    ("request_", "status", "reason"),
    [one[1:] for one in FIRST_REQUESTS],
    ids=[one[0] for one in FIRST_REQUESTS],
)
async def test_first_requests_that_cannot_be(
    request_: pb.ConsumeRequest,
    status: str,
    reason: str,
    stream_door: str,
    kafka: Door,
    open_wire: OpenWire,
    nothing_stays: None,
) -> None:
    await kafka.create_topic("doors-first")
    wire = open_wire(stream_door)
    await wire.write(request_)
    ended = await StreamReader(wire).ending()
    assert ended is not None
    assert (ended.status, ended.reason) == (status, reason or "INVALID_REQUEST")
    assert ended.message


async def test_a_stream_of_nothing(stream_door: str, open_wire: OpenWire) -> None:
    wire = open_wire(stream_door)
    await wire.half_close()
    ended = await StreamReader(wire).ending()
    assert ended is not None and ended.status == "INVALID_ARGUMENT"


INT64_MAX = (1 << 63) - 1
LATER_REQUESTS: list[tuple[str, pb.ConsumeRequest, str, str]] = [
    ("subscribe", subscribe("t"), "INVALID_ARGUMENT", "INVALID_REQUEST"),
    ("assign", assign({("t", 0): None}), "INVALID_ARGUMENT", "INVALID_REQUEST"),
    ("less credit", pb.ConsumeRequest(credit=-1), "INVALID_ARGUMENT", "INVALID_REQUEST"),
    ("a commit", pb.ConsumeRequest(commit=pb.Commit()), "FAILED_PRECONDITION", "INVALID_GROUP_ID"),
    ("a seek to nowhere", pb.ConsumeRequest(seek=pb.Seek(topic="t")), "INVALID_ARGUMENT", "INVALID_REQUEST"),
    (
        "a seek to before",
        pb.ConsumeRequest(seek=pb.Seek(topic="t", position=at_offset(-3))),
        "INVALID_ARGUMENT",
        "INVALID_REQUEST",
    ),
]


@pytest.mark.parametrize(
    ("request_", "status", "reason"),
    [one[1:] for one in LATER_REQUESTS],
    ids=[one[0] for one in LATER_REQUESTS],
)
async def test_later_requests_that_cannot_be(
    request_: pb.ConsumeRequest,
    status: str,
    reason: str,
    stream_door: str,
    new_topic: NewTopic,
    open_wire: OpenWire,
    nothing_stays: None,
) -> None:
    reader = await StreamReader.open(open_wire(stream_door), subscribe(await new_topic()))
    await reader.wire.write(request_)
    ended = await reader.ending()
    assert ended is not None and (ended.status, ended.reason) == (status, reason)


@pytest.mark.parametrize("offset", [INT64_MAX, -1, -(1 << 63)])
async def test_acknowledgements_that_cannot_be(
    offset: int,
    stream_door: str,
    kafka: Door,
    new_topic: NewTopic,
    new_name: NewName,
    open_wire: OpenWire,
    nothing_stays: None,
) -> None:
    """No offset is there; whatever becomes of them, the group is left in order."""
    topic, group = await new_topic(), new_name()
    await send(kafka, topic, 10)
    reader = await StreamReader.open(open_wire(stream_door), subscribe(topic, group=group))
    await reader.records(10)
    await reader.acknowledge((topic, 0, 3), ("nobody-made-this", 0, 5), (topic, 9, 5))
    await reader.acknowledge((topic, 0, offset))
    ended = await reader.ending()
    assert ended is not None and (ended.status, ended.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    await is_empty(kafka, group)
    assert await kafka.committed(group) == {(topic, 0): (4, "")}


async def test_commits_that_cannot_be_are_told_and_do_no_harm(
    stream_door: str, kafka: Door, new_topic: NewTopic, new_name: NewName, open_wire: OpenWire
) -> None:
    topic, group = await new_topic(), new_name()
    reader = await StreamReader.open(open_wire(stream_door), subscribe(topic, group=group))
    outcomes = await reader.commit({(topic, 0): 1, (topic, 1): 1, ("nobody-made-this", 0): 1, (LONG, 0): 1})
    assert outcomes.pop((topic, 0)) == "NONE"
    assert set(outcomes.values()) == {"UNKNOWN_TOPIC_OR_PARTITION"} and len(outcomes) == 3
    too_long = await reader.commit({(topic, 0): 1}, 2, metadata="x" * 5000)
    assert too_long == {(topic, 0): "OFFSET_METADATA_TOO_LARGE"}
    assert await reader.commit({}, 3) == {}
    assert await reader.commit({(topic, 0): INT64_MAX}, 4) == {(topic, 0): "NONE"}
    await reader.leave()
    assert await kafka.committed(group) == {(topic, 0): (INT64_MAX, "")}


async def test_a_message_over_the_limit_ends_the_stream(
    kafka: Door,
    new_topic: NewTopic,
    new_name: NewName,
    open_wire: OpenWire,
    nothing_stays: None,
) -> None:
    topic, group = await new_topic(), new_name()
    wire = open_wire("grpc")
    reader = await StreamReader.open(wire, subscribe(topic, group=group))
    offset = pb.CommitOffset(topic=topic, metadata="x" * 6_500_000)
    with pytest.raises((Refused, asyncio.InvalidStateError, grpc.aio.AioRpcError)):
        await wire.write(pb.ConsumeRequest(commit=pb.Commit(offsets=[offset])))
        raise await reader.ending() or AssertionError("the stream ended well")
    await is_empty(kafka, group)
