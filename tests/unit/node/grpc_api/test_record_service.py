"""RecordService without a server: requests to commands, outcomes to statuses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest
from tests.unit.node.grpc_api.node import a_call

from odradek.node.app.consume.service import ConsumeService
from odradek.node.app.publish import PublishCommand, Published, PublishService
from odradek.node.grpc_api.record_service import RecordServicer, command_of
from odradek.node.grpc_api.refusal import RefusalError
from odradek.proto.kafka.errors import ErrorCode
from odradek.v1 import record_pb2
from odradek.v1 import record_service_pb2 as pb
from odradek.v1.record_pb2 import Record

E = ErrorCode


class Publishes:
    """`PublishService` that answers what a test says."""

    def __init__(self, *answers: Published) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[PublishCommand, int]] = []

    async def publish(self, context: Any, command: PublishCommand, timeout_ms: int) -> Published:
        self.asked.append((command, timeout_ms))
        return self.answers.pop(0)


class Requests:
    def __init__(self, requests: Sequence[Any]) -> None:
        self.left = list(requests)

    async def read(self) -> Any | None:
        return self.left.pop(0) if self.left else None

    async def write(self, response: Any) -> None:
        raise AssertionError(response)


def servicer(*answers: Published) -> tuple[RecordServicer, Publishes]:
    publishes = Publishes(*answers)
    return RecordServicer(cast(PublishService, publishes), cast(ConsumeService, None)), publishes


def fine(*places: tuple[int, int]) -> Published:
    return Published(E.NONE, None, [one[0] for one in places], [one[1] for one in places])


def request(count: int = 1, **more: Any) -> pb.PublishRequest:
    return pb.PublishRequest(topic="t", records=[Record(value=b"v")] * count, **more)


def test_a_request_is_a_command() -> None:
    command = command_of(request(2, producer_name="me", sequence=7, acks=record_pb2.ACKS_LEADER))
    assert (command.topic, command.producer_name, command.sequence, command.acks) == ("t", "me", 7, 1)
    assert len(command.records) == 2 and command.partitions is None
    assert command_of(request()).acks == -1


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (pb.PublishRequest(records=[Record()]), "INVALID_REQUEST"),
        (pb.PublishRequest(topic="t"), "INVALID_REQUEST"),
        (request(producer_name="ü" * 128), "INVALID_REQUEST"),
        (request(sequence=-1), "INVALID_REQUEST"),
        (request(acks=3), "INVALID_REQUIRED_ACKS"),
    ],
)
def test_requests_that_cannot_be(bad: pb.PublishRequest, reason: str) -> None:
    with pytest.raises(RefusalError) as raised:
        command_of(bad)
    assert (raised.value.status.name, raised.value.reason) == ("INVALID_ARGUMENT", reason)


async def test_the_deadline_is_the_time_there_is() -> None:
    service, publishes = servicer(fine((0, 5)), fine((0, 6)))
    answer = await service.publish(a_call(timeout_s=5), request())
    assert list(answer.offsets) == [5]
    await service.publish(a_call(), request())
    assert 4_000 < publishes.asked[0][1] <= 5_000 and publishes.asked[1][1] == 30_000


@pytest.mark.parametrize(
    ("error", "message", "status", "reason"),
    [
        (E.UNKNOWN_TOPIC_OR_PARTITION, None, "NOT_FOUND", "UNKNOWN_TOPIC_OR_PARTITION"),
        (E.UNKNOWN_TOPIC_OR_PARTITION, "record 0: ...", "INVALID_ARGUMENT", "INVALID_REQUEST"),
        (E.OUT_OF_ORDER_SEQUENCE_NUMBER, None, "ABORTED", "OUT_OF_ORDER_SEQUENCE_NUMBER"),
        (E.NOT_ENOUGH_REPLICAS, None, "UNAVAILABLE", "NOT_ENOUGH_REPLICAS"),
        (E.REQUEST_TIMED_OUT, None, "DEADLINE_EXCEEDED", "REQUEST_TIMED_OUT"),
        (E.MESSAGE_TOO_LARGE, None, "INVALID_ARGUMENT", "MESSAGE_TOO_LARGE"),
    ],
)
async def test_outcomes_are_statuses(error: ErrorCode, message: str | None, status: str, reason: str) -> None:
    service, _ = servicer(Published(error, message))
    with pytest.raises(RefusalError) as raised:
        await service.publish(a_call(), request())
    assert (raised.value.status.name, raised.value.reason) == (status, reason)
    assert raised.value.metadata["topic"] == "t"


def part(count: int, **more: Any) -> pb.PublishStreamRequest:
    return pb.PublishStreamRequest(records=[Record(value=b"v")] * count, **more)


async def test_a_stream_numbers_on_and_counts_by_partition() -> None:
    service, publishes = servicer(fine((0, 5), (1, 9)), fine((0, 8), (0, 9), (0, 10)))
    requests = Requests([part(2, topic="t", producer_name="me", sequence=10, acks=2), part(3, topic="t")])
    answer = await service.publish_stream(a_call(), requests)
    assert [(one.sequence, one.producer_name, one.acks) for one, _ in publishes.asked] == [
        (10, "me", 1),
        (12, "me", 1),
    ]
    assert answer.record_count == 5
    assert [
        (one.partition, one.first_offset, one.last_offset, one.record_count) for one in answer.ranges
    ] == [
        (0, 5, 10, 4),
        (1, 9, 9, 1),
    ]


@pytest.mark.parametrize("bad", [part(1, topic="u"), part(0), part(1)])
async def test_a_stream_that_fails_says_what_is_safe(bad: pb.PublishStreamRequest) -> None:
    service, _ = servicer(fine((0, 0), (0, 1)), Published(E.MESSAGE_TOO_LARGE))
    with pytest.raises(RefusalError) as raised:
        await service.publish_stream(a_call(), Requests([part(2, topic="t"), bad]))
    assert raised.value.metadata["records"] == "2"


async def test_a_stream_of_nothing() -> None:
    service, _ = servicer()
    with pytest.raises(RefusalError):
        await service.publish_stream(a_call(), Requests([]))


def test_a_request_has_an_end() -> None:
    assert len(command_of(request(10_000)).records) == 10_000
    with pytest.raises(RefusalError, match="10001 records: at most 10000"):
        command_of(request(10_001))
    with pytest.raises(RefusalError, match="records are numbered from 0 to"):
        command_of(request(1, producer_name="me", sequence=1 << 46))
