"""A definite refusal of a request that came twice may be its own doing."""

from __future__ import annotations

import pytest

from odradek.node.kafka_api.repeated import without_own_doing
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.configs import AlterConfigsResponse
from odradek.proto.kafka.messages.topics import (
    CreatePartitionsResponse,
    CreateTopicsResponse,
    DeleteTopicsResponse,
)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (ErrorCode.TOPIC_ALREADY_EXISTS, ErrorCode.REQUEST_TIMED_OUT),
        (ErrorCode.NONE, ErrorCode.NONE),
        (ErrorCode.INVALID_TOPIC_EXCEPTION, ErrorCode.INVALID_TOPIC_EXCEPTION),
    ],
)
def test_creations(code: ErrorCode, told: ErrorCode) -> None:
    result = CreateTopicsResponse.CreatableTopicResult(name="t", error_code=int(code))
    without_own_doing(CreateTopicsResponse(topics=[result]))
    assert result.error_code == told
    assert (result.error_message is not None and "this very request" in result.error_message) == (
        told != code
    )


def test_deletions_and_partitions() -> None:
    gone = DeleteTopicsResponse.DeletableTopicResult(error_code=int(ErrorCode.UNKNOWN_TOPIC_ID))
    without_own_doing(DeleteTopicsResponse(responses=[gone]))
    more = CreatePartitionsResponse.CreatePartitionsTopicResult(error_code=int(ErrorCode.INVALID_PARTITIONS))
    without_own_doing(CreatePartitionsResponse(results=[more]))
    assert gone.error_code == more.error_code == ErrorCode.REQUEST_TIMED_OUT


def test_other_responses_are_left_alone() -> None:
    response = AlterConfigsResponse()
    assert without_own_doing(response) is response
