from __future__ import annotations

from typing import Any

import pytest
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode

from odradek.node.grpc_api.refusal import (
    RefusalError,
    details,
    error_message,
    invalid,
    is_retriable,
    refused,
    sentence,
    status_of,
)
from odradek.proto.kafka.errors import ErrorCode


def unpacked(refusal: RefusalError) -> tuple[Any, Any, Any]:
    """(status, ErrorInfo, RetryInfo or None)"""
    status: Any = Status.FromString(details(refusal))
    info: Any = ErrorInfo()
    assert status.details[0].Unpack(info)
    retry: Any = RetryInfo() if len(status.details) > 1 else None
    assert retry is None or status.details[1].Unpack(retry)
    return status, info, retry


def test_the_details_hold_the_name_and_when_to_try_again() -> None:
    refusal = refused(ErrorCode.NOT_CONTROLLER, "nobody leads", node="3")
    status, info, retry = unpacked(refusal)
    assert (status.code, status.message) == (14, "nobody leads")
    assert (info.reason, info.domain, dict(info.metadata)) == ("NOT_CONTROLLER", "odradek.dev", {"node": "3"})
    assert retry.retry_delay.ToMilliseconds() == 100


def test_what_stays_as_it_is_says_nothing_of_trying_again() -> None:
    for error in (
        ErrorCode.TOPIC_ALREADY_EXISTS,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode.NON_EMPTY_GROUP,
    ):
        assert unpacked(refused(error))[2] is None


def test_every_error_has_a_status_and_a_sentence() -> None:
    for error in ErrorCode:
        status = status_of(error)
        assert status is not StatusCode.OK, error
        assert sentence(error).strip(), error
        if status is StatusCode.INTERNAL:
            assert not error.retriable, f"{error}: INTERNAL is not tried again"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ErrorCode.NOT_LEADER_OR_FOLLOWER, StatusCode.UNAVAILABLE),
        (ErrorCode.BROKER_NOT_AVAILABLE, StatusCode.UNAVAILABLE),
        (ErrorCode.KAFKA_STORAGE_ERROR, StatusCode.UNAVAILABLE),
        (ErrorCode.NETWORK_EXCEPTION, StatusCode.UNAVAILABLE),
        (ErrorCode.REQUEST_TIMED_OUT, StatusCode.DEADLINE_EXCEEDED),
        (ErrorCode.INVALID_COMMIT_OFFSET_SIZE, StatusCode.INVALID_ARGUMENT),
        (ErrorCode.FENCED_INSTANCE_ID, StatusCode.ABORTED),
        (ErrorCode.UNKNOWN_SERVER_ERROR, StatusCode.INTERNAL),
    ],
)
def test_statuses(error: ErrorCode, status: StatusCode) -> None:
    assert status_of(error) is status


def test_a_request_that_cannot_be_right() -> None:
    refusal = invalid("page_size -1", field="page_size")
    assert (refusal.status, refusal.reason) == (StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert refusal.metadata == {"field": "page_size"} and str(refusal) == "INVALID_REQUEST: page_size -1"


def test_the_outcome_of_one_thing_among_many() -> None:
    error = error_message(ErrorCode.NOT_LEADER_OR_FOLLOWER)
    assert (error.reason, error.code, error.retriable) == ("NOT_LEADER_OR_FOLLOWER", 6, True)
    assert error.message == "this node does not lead the partition"
    assert error_message(ErrorCode.POLICY_VIOLATION, "compacted only").message == "compacted only"
    assert error_message(ErrorCode.POLICY_VIOLATION).message == "policy violation"


def test_a_missing_topic_and_a_leader_that_leads_already_are_not_waited_for() -> None:
    for error in (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ErrorCode.ELECTION_NOT_NEEDED):
        assert error.retriable and not is_retriable(error)
    assert is_retriable(ErrorCode.NOT_COORDINATOR)


def test_metadata_of_one_refusal_is_not_that_of_another() -> None:
    one, other = refused(ErrorCode.INVALID_REQUEST), refused(ErrorCode.INVALID_REQUEST)
    one.metadata["records"] = "3"
    assert other.metadata == {} and RefusalError(StatusCode.ABORTED, "A", "b").metadata == {}
