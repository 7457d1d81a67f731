from __future__ import annotations

from typing import Any

import pytest

from odradek.node.app.context import RequestContext
from odradek.node.kafka_api.envelope import wrap
from odradek.node.kafka_api.handlers.envelope import EnvelopeHandlers
from odradek.node.kafka_api.registry import Registry, Route
from odradek.node.runtime.deferred import Deferred
from odradek.proto.kafka.api import ApiKey
from odradek.proto.kafka.codec import decode_exactly
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.headers import RequestHeader, decode_response_header, encode_request_frame
from odradek.proto.kafka.messages.controller import EnvelopeRequest, EnvelopeResponse
from odradek.proto.kafka.messages.list_offsets import ListOffsetsRequest
from odradek.proto.kafka.messages.topics import (
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreateTopicsRequest,
    CreateTopicsResponse,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
)
from odradek.proto.kafka.schema import Message

CLIENT = RequestContext("me", "User:alice", "EXTERNAL", "dialled", 19092, "c7", "10.0.0.7")
CARRIER = RequestContext("odradek", "User:broker", "INTERNAL", "inside", 9093, "c1", "10.0.0.1")


class Node:
    """Answers at once, by a coroutine, and later."""

    is_active = True

    def __init__(self) -> None:
        self.error = ErrorCode.NONE
        registry = Registry(
            [
                Route(ApiKey.DELETE_TOPICS, 1, 6, self.delete, to_controller=True),
                Route(ApiKey.CREATE_TOPICS, 2, 7, self.create, to_controller=True),
                Route(ApiKey.CREATE_PARTITIONS, 0, 3, self.grow, to_controller=True),
                Route(ApiKey.LIST_OFFSETS, 1, 11, self.delete),
                *EnvelopeHandlers(lambda: registry, self, "INTERNAL").routes(),
            ]
        )
        self.registry = registry

    def delete(self, context: RequestContext, request: DeleteTopicsRequest, version: int) -> Any:
        result = DeleteTopicsResponse.DeletableTopicResult
        return DeleteTopicsResponse(
            responses=[result(name=name, error_code=self.error) for name in request.topic_names]
        )

    async def create(self, context: RequestContext, request: CreateTopicsRequest, version: int) -> Any:
        return CreateTopicsResponse()

    def grow(self, context: RequestContext, request: CreatePartitionsRequest, version: int) -> Any:
        return Deferred.resolved(CreatePartitionsResponse())

    async def open(self, envelope: EnvelopeRequest, context: RequestContext = CARRIER) -> EnvelopeResponse:
        answer = await self.registry.routes[int(ApiKey.ENVELOPE)].call(context, envelope, 0)
        assert isinstance(answer, EnvelopeResponse)
        return answer


def envelope(key: ApiKey, version: int, request: Message) -> EnvelopeRequest:
    frame = b"".join(encode_request_frame(RequestHeader(int(key), version, 77, "me"), request))
    return wrap(CLIENT, frame[4:], 2)


def delete(version: int = 6) -> EnvelopeRequest:
    return envelope(ApiKey.DELETE_TOPICS, version, DeleteTopicsRequest(topic_names=["t"]))


@pytest.mark.parametrize(
    ("key", "request_", "response"),
    [
        (ApiKey.DELETE_TOPICS, DeleteTopicsRequest(), DeleteTopicsResponse),
        (ApiKey.CREATE_TOPICS, CreateTopicsRequest(), CreateTopicsResponse),
        (ApiKey.CREATE_PARTITIONS, CreatePartitionsRequest(), CreatePartitionsResponse),
    ],
)
async def test_the_answer_inside_is_one_of_the_request_inside(
    key: ApiKey, request_: Message, response: type[Message]
) -> None:
    for version in (2, 3):
        answer = await Node().open(envelope(key, version, request_))
        assert answer.error_code == 0
        assert answer.response_data is not None
        correlation_id, position = decode_response_header(answer.response_data, int(key), version)
        assert correlation_id == 77
        decode_exactly(response, version, answer.response_data, position)


async def test_a_controller_that_is_none_any_more_says_so() -> None:
    node = Node()
    node.error = ErrorCode.NOT_CONTROLLER  # lost while it worked
    assert (await node.open(delete(4))).error_code == ErrorCode.NOT_CONTROLLER
    node.error = ErrorCode.NONE
    node.is_active = False
    assert (await node.open(delete())).error_code == ErrorCode.NOT_CONTROLLER


async def test_only_the_listener_among_brokers_takes_envelopes() -> None:
    assert (await Node().open(delete(), CLIENT)).error_code == ErrorCode.CLUSTER_AUTHORIZATION_FAILED


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (envelope(ApiKey.LIST_OFFSETS, 7, ListOffsetsRequest()), ErrorCode.INVALID_REQUEST),
        (envelope(ApiKey.ENVELOPE, 0, EnvelopeRequest()), ErrorCode.INVALID_REQUEST),
        (envelope(ApiKey.METADATA, 4, DeleteTopicsRequest()), ErrorCode.INVALID_REQUEST),
        (
            EnvelopeRequest(request_data=b"\0", request_principal=b"\0\0\5User\3me\0\0"),
            ErrorCode.INVALID_REQUEST,
        ),
        (
            EnvelopeRequest(request_data=delete().request_data[:-1], request_principal=b"\0\0\1\1\0\0"),
            ErrorCode.INVALID_REQUEST,
        ),
        (
            EnvelopeRequest(request_data=delete().request_data, request_principal=None),
            ErrorCode.PRINCIPAL_DESERIALIZATION_FAILURE,
        ),
    ],
)
async def test_what_cannot_be_passed_on_is_refused(sent: EnvelopeRequest, error: ErrorCode) -> None:
    assert (await Node().open(sent)).error_code == error


async def test_a_version_that_is_not_served() -> None:
    sent = delete()
    sent.request_data = sent.request_data[:2] + b"\0\x63" + sent.request_data[4:]
    assert (await Node().open(sent)).error_code == ErrorCode.UNSUPPORTED_VERSION
