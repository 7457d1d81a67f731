"""A Consume stream: requests to a reader's wishes, what the reader is told to responses. Translates only.

Source: proto/odradek/v1/record_service.proto.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from grpc import StatusCode

from odradek.node.app.consume.consumer import Consumer
from odradek.node.app.consume.service import ConsumeService
from odradek.node.app.consume.values import (
    Assigned,
    Assignment,
    Committed,
    ConsumeError,
    Delivered,
    Event,
    OffsetReset,
    Position,
    Reset,
    Revoking,
    Seeked,
    Subscription,
)
from odradek.node.app.list_offsets import EARLIEST, LATEST
from odradek.node.controller.topics import name_error
from odradek.node.grpc_api.arguments import chosen, pattern_of
from odradek.node.grpc_api.log_service import isolation_of
from odradek.node.grpc_api.methods import Call, Stream
from odradek.node.grpc_api.record_messages import add_consumed
from odradek.node.grpc_api.refusal import RefusalError, invalid, refused
from odradek.proto.kafka.errors import ErrorCode
from odradek.v1 import record_pb2
from odradek.v1 import record_service_pb2 as pb

SESSION_TIMEOUT_MS: Final = 10_000
REBALANCE_TIMEOUT_MS: Final = 60_000
COMMIT_INTERVAL_MS: Final = 1_000
COMMIT_INTERVAL_MS_MIN: Final = 100
TOPICS_MAX: Final = 1_000
FIRST_REQUEST_S: Final = 30
BACKLOG_MAX: Final = 1_000
"""Requests of a stream that wait, and answers to them that are not read."""
HALF_CLOSE_DOUBT_S: Final = 0.05
ID_BYTES_MAX: Final = 1_000
OFFSET_MAX: Final = (1 << 63) - 1
"""Behind it there is no next offset."""
_RESETS: Final = {
    pb.OFFSET_RESET_UNSPECIFIED: OffsetReset.EARLIEST,
    pb.OFFSET_RESET_EARLIEST: OffsetReset.EARLIEST,
    pb.OFFSET_RESET_LATEST: OffsetReset.LATEST,
    pb.OFFSET_RESET_NONE: OffsetReset.NONE,
}


class ResponseSink:
    """`Sink` over a stream."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    async def deliver(self, delivered: Sequence[Delivered]) -> None:
        response = pb.ConsumeResponse()
        partitions = response.records.partitions
        for one in delivered:
            message = partitions.add(
                topic=one.topic, partition=one.partition, high_watermark=one.high_watermark
            )
            add_consumed(message.records, one.records)
        await self._stream.write(response)

    async def tell(self, event: Event) -> None:
        await self._stream.write(response_of(event))


async def serve(service: ConsumeService, call: Call, stream: Stream) -> None:
    """One stream, to its end. Raises RefusalError."""
    try:
        async with asyncio.timeout(FIRST_REQUEST_S):
            first = await stream.read()
    except TimeoutError:
        raise refused(
            ErrorCode.REQUEST_TIMED_OUT, f"no first request came within {FIRST_REQUEST_S} s"
        ) from None
    if first is None:
        raise invalid("the stream ended before its first request")
    what = what_of(first)
    if first.credit < 1:
        raise invalid(
            "credit: the first request has to grant some, for example 1000; nothing is sent without"
        )
    consumer = service.open(call.context, what, ResponseSink(stream))
    consumer.grant(first.credit)
    # Why a task of its own: what the reader asks for counts also while it is being written to.
    reading = asyncio.get_running_loop().create_task(_read(stream, consumer))
    try:
        await service.serve(consumer)
    except _WrongRequestError as error:
        raise error.refusal from None
    except ConsumeError as error:
        raise refused(error.error, error.message) from None
    finally:
        reading.cancel()


class _WrongRequestError(ConsumeError):
    def __init__(self, refusal: RefusalError) -> None:
        super().__init__(ErrorCode.INVALID_REQUEST, refusal.message)
        self.refusal = refusal


async def _read(stream: Stream, consumer: Consumer) -> None:
    """Hand on what the reader asks for, until it half-closes or is gone."""
    try:
        while (request := await stream.read()) is not None:
            if consumer.backlog > BACKLOG_MAX:
                raise RefusalError(
                    StatusCode.RESOURCE_EXHAUSTED,
                    ErrorCode.THROTTLING_QUOTA_EXCEEDED.name,
                    f"more than {BACKLOG_MAX} requests of this stream wait: read its responses",
                )
            _hand_on(request, consumer)
        if consumer.may_come_back:
            # gRPC tells the end of the requests also where the client is gone, and only a moment later that it is:
            # then the call is cancelled, and this with it. Who comes back wants to find its place.
            await asyncio.sleep(HALF_CLOSE_DOUBT_S)
        consumer.end()
    except RefusalError as refusal:
        consumer.fail(_WrongRequestError(refusal))
    except Exception as error:  # the boundary of this task; gRPC says so when the stream broke
        consumer.fail(ConsumeError(ErrorCode.NETWORK_EXCEPTION, f"the stream cannot be read: {error!r}"))


def _hand_on(request: pb.ConsumeRequest, consumer: Consumer) -> None:
    if request.credit < 0:
        raise invalid(f"credit {request.credit}: what was granted cannot be taken back")
    action = request.WhichOneof("action")
    if action == "acknowledge":
        for record in request.acknowledge.records:
            if not 0 <= record.offset < OFFSET_MAX:
                raise invalid(f"acknowledge: offset {record.offset} is not that of a record")
            consumer.acknowledge(record.topic, record.partition, record.offset)
    elif action == "commit":
        if not consumer.has_group:
            raise refused(
                ErrorCode.INVALID_GROUP_ID, "a commit needs a group: give a group_id in the first request"
            )
        offsets = [(one.topic, one.partition, one.offset, one.metadata) for one in request.commit.offsets]
        consumer.commit(offsets, request.commit.request_id)
    elif action == "seek":
        seek = request.seek
        consumer.seek(seek.topic, seek.partition, position_of(seek.position), seek.request_id)
    elif action in ("pause", "resume"):
        partitions = request.pause.partitions if action == "pause" else request.resume.partitions
        consumer.pause([(one.topic, one.partition) for one in partitions], is_paused=action == "pause")
    elif action is not None:
        raise invalid(f"{action} is for the first request of a stream; open another stream")
    if request.credit:
        consumer.grant(request.credit)


def what_of(first: pb.ConsumeRequest) -> Subscription | Assignment:
    """What a stream is about. Raises RefusalError."""
    action = first.WhichOneof("action")
    if action == "subscribe":
        return _subscription(first.subscribe)
    if action == "assign":
        return _assignment(first.assign)
    raise invalid(f"the first request says what to read: subscribe or assign, not {action or 'nothing'}")


def _subscription(asked: pb.Subscribe) -> Subscription:
    if bool(asked.topics) == bool(asked.topic_pattern):
        raise invalid("subscribe: give topics or topic_pattern, one of the two")
    if len(asked.topics) > TOPICS_MAX:
        raise invalid(f"subscribe: {len(asked.topics)} topics; at most {TOPICS_MAX}, or a topic_pattern")
    for topic in asked.topics:
        _check_topic(topic)
    _check_id("group_id", asked.group_id)
    _check_id("instance_id", asked.instance_id)
    if asked.instance_id and not asked.group_id:
        raise invalid("instance_id is a place in a group: give a group_id too")
    return Subscription(
        frozenset(asked.topics),
        pattern_of(asked.topic_pattern, "topic_pattern"),
        asked.group_id,
        asked.instance_id or None,
        _reset(asked.offset_reset),
        _at_least("session_timeout_ms", asked.session_timeout_ms, 1, SESSION_TIMEOUT_MS),
        _at_least("rebalance_timeout_ms", asked.rebalance_timeout_ms, 1, REBALANCE_TIMEOUT_MS),
        _at_least("commit_interval_ms", asked.commit_interval_ms, COMMIT_INTERVAL_MS_MIN, COMMIT_INTERVAL_MS),
        isolation_of(asked.isolation_level),
    )


def _assignment(asked: pb.Assign) -> Assignment:
    if not asked.partitions:
        raise invalid("assign: partitions is empty")
    keys = [(one.topic, one.partition) for one in asked.partitions]
    if len(set(keys)) < len(keys):
        raise invalid("assign: a partition is there twice")
    _check_id("group_id", asked.group_id)
    return Assignment(
        [
            (one.topic, one.partition, position_of(one.position) if one.HasField("position") else None)
            for one in asked.partitions
        ],
        asked.group_id,
        _reset(asked.offset_reset),
        _at_least("commit_interval_ms", asked.commit_interval_ms, COMMIT_INTERVAL_MS_MIN, COMMIT_INTERVAL_MS),
        isolation_of(asked.isolation_level),
    )


def _check_topic(name: str) -> None:
    """A name that no topic can have is a mistake; one that no topic has may come later."""
    if not name:
        raise invalid("subscribe: a topic is empty")
    reason = name_error(name)
    if reason is not None:
        raise refused(ErrorCode.INVALID_TOPIC_EXCEPTION, f"subscribe: {reason}")


def _check_id(field: str, value: str) -> None:
    if len(value.encode()) > ID_BYTES_MAX:
        raise invalid(f"{field} is longer than {ID_BYTES_MAX} bytes", field=field)


def position_of(position: record_pb2.Position) -> Position:
    """Raises RefusalError."""
    kind = position.WhichOneof("kind")
    if kind == "offset":
        if position.offset < 0:
            raise invalid(f"position: offset {position.offset} is negative; the ends have names (edge)")
        return Position(position.offset)
    if kind == "timestamp_ms":
        if position.timestamp_ms < 0:
            raise invalid(f"position: timestamp_ms {position.timestamp_ms} is negative")
        return Position(timestamp=position.timestamp_ms)
    if kind == "edge":
        chosen(position.edge, dict(record_pb2.Edge.items()), "edge")
        return Position(timestamp=LATEST if position.edge == record_pb2.EDGE_LATEST else EARLIEST)
    raise invalid("position: give an offset, a timestamp_ms or an edge")


def _reset(asked: int) -> OffsetReset:
    reset = _RESETS.get(asked)  # type: ignore[call-overload]
    if reset is None:
        raise invalid(f"offset_reset {asked} does not exist")
    assert isinstance(reset, OffsetReset)
    return reset


def _at_least(name: str, asked: int, least: int, default: int) -> int:
    if asked == 0:
        return default
    if asked < least:
        raise invalid(f"{name} {asked}: at least {least}")
    return asked


def response_of(event: Event) -> pb.ConsumeResponse:
    response = pb.ConsumeResponse()
    if isinstance(event, Assigned):
        assigned = response.assigned
        assigned.SetInParent()
        assigned.member_id, assigned.generation = event.member_id, event.generation
        for topic, partition, offset in event.partitions:
            assigned.partitions.add(topic=topic, partition=partition, offset=offset)
    elif isinstance(event, Revoking):
        response.revoking.wait_ms = event.wait_ms
    elif isinstance(event, Committed):
        response.committed.request_id = event.request_id
        response.committed.SetInParent()
        for topic, partition, error in event.partitions:
            response.committed.partitions.add(
                topic=topic, partition=partition, reason="" if error is ErrorCode.NONE else error.name
            )
    elif isinstance(event, Reset):
        reset = response.reset
        reset.topic, reset.partition, reset.offset = event.topic, event.partition, event.offset
    elif isinstance(event, Seeked):
        seeked = response.seeked
        seeked.request_id, seeked.topic = event.request_id, event.topic
        seeked.partition, seeked.offset = event.partition, event.offset
    return response
