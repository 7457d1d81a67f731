from __future__ import annotations

from typing import Any

import grpc
import pytest
from tests.unit.client.fake_node import FakeNode, refuse

from odradek.client import errors
from odradek.client.connection import Connection, Method
from odradek.client.errors import (
    CallTimeoutError,
    CommitFailedError,
    DeliveryTimeoutError,
    FencedError,
    InvalidRequestError,
    NodeUnavailableError,
    OdradekError,
    OffsetOutOfRangeError,
    TopicExistsError,
    UnknownTopicError,
    code_of,
    from_proto,
    from_reason,
)
from odradek.client.records import TopicPartition
from odradek.proto.kafka.errors import ErrorCode
from odradek.v1 import log_service_pb2 as pb
from odradek.v1.error_pb2 import Error

METADATA = Method("LogService/Metadata", pb.MetadataRequest, pb.MetadataResponse)


async def failure(status: grpc.StatusCode, reason: str = "", **details: Any) -> OdradekError:
    """What a call raises that a node refuses so."""
    async with FakeNode() as node, Connection(node.address) as connection:

        async def metadata(request: pb.MetadataRequest, context: Any) -> None:
            await refuse(context, status, reason, **details)

        node.unary["LogService/Metadata"] = metadata
        with pytest.raises(OdradekError) as caught:
            await connection.call_at(node.address, METADATA, pb.MetadataRequest())
        return caught.value


@pytest.mark.parametrize(
    ("reason", "cls"),
    [
        ("UNKNOWN_TOPIC_OR_PARTITION", UnknownTopicError),
        ("TOPIC_ALREADY_EXISTS", TopicExistsError),
        ("FENCED_INSTANCE_ID", FencedError),
        ("OFFSET_OUT_OF_RANGE", OffsetOutOfRangeError),
        ("NOT_LEADER_OR_FOLLOWER", NodeUnavailableError),
        ("SOMETHING_NEW", OdradekError),
    ],
)
def test_the_class_follows_the_reason(reason: str, cls: type[OdradekError]) -> None:
    error = from_reason(reason, "why")
    assert type(error) is cls
    assert error.reason == reason
    assert str(error) == f"{reason}: why"


def test_number_and_retriability_are_those_of_kafka() -> None:
    error = from_reason("NOT_LEADER_OR_FOLLOWER")
    assert (error.code, error.is_retriable) == (6, True)
    assert not from_reason("TOPIC_ALREADY_EXISTS").is_retriable
    assert code_of("SOMETHING_NEW") == -1


def test_every_reason_that_has_a_class_is_one_of_kafka_or_a_status() -> None:
    statuses = {status.name for status in grpc.StatusCode}
    assert set(errors._BY_REASON) <= set(ErrorCode.__members__) | statuses


def test_an_outcome_in_an_answer() -> None:
    error = from_proto(Error(reason="TOPIC_ALREADY_EXISTS", message="m", retriable=True, code=36))
    assert isinstance(error, TopicExistsError)
    assert (error.message, error.code, error.is_retriable, error.status) == ("m", 36, True, "")


async def test_a_status_with_details() -> None:
    error = await failure(grpc.StatusCode.ALREADY_EXISTS, "TOPIC_ALREADY_EXISTS", topic="t")
    assert isinstance(error, TopicExistsError)
    assert (error.reason, error.code, error.status) == ("TOPIC_ALREADY_EXISTS", 36, "ALREADY_EXISTS")
    assert error.metadata == {"topic": "t"}
    assert not error.is_retriable


async def test_a_status_that_asks_to_wait() -> None:
    error = await failure(
        grpc.StatusCode.RESOURCE_EXHAUSTED, "THROTTLING_QUOTA_EXCEEDED", retry_after_ms=1500
    )
    assert error.retry_after_ms == 1500
    assert error.is_retriable


@pytest.mark.parametrize(
    ("status", "cls", "is_retriable"),
    [
        (grpc.StatusCode.UNAVAILABLE, NodeUnavailableError, True),
        (grpc.StatusCode.DEADLINE_EXCEEDED, CallTimeoutError, True),
        (grpc.StatusCode.INVALID_ARGUMENT, InvalidRequestError, False),
        (grpc.StatusCode.INTERNAL, OdradekError, False),
    ],
)
async def test_a_status_without_details(
    status: grpc.StatusCode, cls: type[OdradekError], is_retriable: bool
) -> None:
    error = await failure(status)
    assert type(error) is cls
    assert error.reason == error.status == status.name
    assert error.is_retriable is is_retriable


def test_details_that_are_none_say_nothing() -> None:
    class Failed:
        def code(self) -> grpc.StatusCode:
            return grpc.StatusCode.ABORTED

        def details(self) -> str | None:
            return None

        def trailing_metadata(self) -> Any:
            return (("grpc-status-details-bin", b"\xff\xff"), ("other", "x"))

    assert errors.from_rpc(Failed()).reason == "ABORTED"


def test_a_commit_names_what_failed() -> None:
    error = CommitFailedError({TopicPartition("t", 1): "UNKNOWN_MEMBER_ID"})
    assert error.is_retriable
    assert "t-1" in str(error)
    assert not CommitFailedError({TopicPartition("t", 1): "OFFSET_METADATA_TOO_LARGE"}).is_retriable


def test_a_delivery_that_took_too_long_says_whether_it_may_have_happened() -> None:
    assert DeliveryTimeoutError("m", is_unknown=True).is_unknown
    assert DeliveryTimeoutError("m", is_unknown=False).reason == "REQUEST_TIMED_OUT"
