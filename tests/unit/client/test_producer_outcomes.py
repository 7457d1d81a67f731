from __future__ import annotations

import pytest

from odradek.client.errors import OdradekError, from_reason
from odradek.client.producer_outcomes import Action, Meaning, meaning_of


def failed_call(status: str, reason: str = "") -> OdradekError:
    return OdradekError(reason or status, status=status)


@pytest.mark.parametrize(
    "reason",
    ["LEADER_NOT_AVAILABLE", "UNKNOWN_TOPIC_OR_PARTITION", "FENCED_LEADER_EPOCH"],
)
def test_the_wrong_node_was_asked(reason: str) -> None:
    assert meaning_of(from_reason(reason)) == Meaning(Action.RETRY, is_unknown=False, is_misdirected=True)


def test_a_leader_that_is_replaced_may_have_written_it() -> None:
    assert meaning_of(from_reason("NOT_LEADER_OR_FOLLOWER")) == Meaning(
        Action.RETRY, is_unknown=True, is_misdirected=True
    )


def test_too_few_replicas_before_and_after_the_append() -> None:
    assert meaning_of(from_reason("NOT_ENOUGH_REPLICAS")) == Meaning(Action.RETRY, is_unknown=False)
    assert meaning_of(from_reason("NOT_ENOUGH_REPLICAS_AFTER_APPEND")) == Meaning(
        Action.RETRY, is_unknown=True
    )


@pytest.mark.parametrize("status", ["UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "INTERNAL", "UNKNOWN"])
def test_a_call_that_broke_may_have_been_carried_out(status: str) -> None:
    meaning = meaning_of(failed_call(status))
    assert meaning == Meaning(Action.RETRY, is_unknown=True, is_misdirected=True)


def test_a_refusal_with_a_reason_is_no_proof_either() -> None:
    """A node that stops refuses the call as a whole, though some batches of it may be written."""
    assert meaning_of(failed_call("UNAVAILABLE", "BROKER_NOT_AVAILABLE")).is_unknown


@pytest.mark.parametrize("status", ["INVALID_ARGUMENT", "PERMISSION_DENIED", "UNIMPLEMENTED"])
def test_a_call_that_is_not_allowed_is_not_repeated(status: str) -> None:
    assert meaning_of(failed_call(status)) == Meaning(Action.FAIL)


@pytest.mark.parametrize(
    "reason", ["OUT_OF_ORDER_SEQUENCE_NUMBER", "UNKNOWN_PRODUCER_ID", "INVALID_PRODUCER_EPOCH"]
)
def test_the_partition_lost_sight_of_the_producer(reason: str) -> None:
    assert meaning_of(from_reason(reason)).action is Action.RENUMBER


def test_too_large_is_split_whether_the_topic_or_the_node_says_so() -> None:
    assert meaning_of(from_reason("MESSAGE_TOO_LARGE")).action is Action.SPLIT
    assert meaning_of(failed_call("RESOURCE_EXHAUSTED", "MESSAGE_TOO_LARGE")).action is Action.SPLIT
    words = OdradekError(
        "RESOURCE_EXHAUSTED", "SERVER: Received message larger than max", status="RESOURCE_EXHAUSTED"
    )
    assert meaning_of(words).action is Action.SPLIT
    assert meaning_of(failed_call("RESOURCE_EXHAUSTED")).action is Action.RETRY, "too many calls at once"


def test_a_duplicate_is_written() -> None:
    assert meaning_of(from_reason("DUPLICATE_SEQUENCE_NUMBER")).action is Action.SUCCEED


def test_a_refused_record_fails() -> None:
    assert meaning_of(from_reason("INVALID_RECORD")) == Meaning(Action.FAIL)


def test_an_unknown_reason_follows_what_the_node_says_of_it() -> None:
    assert meaning_of(from_reason("SOMETHING_NEW", is_retriable=True)).action is Action.RETRY
    assert meaning_of(from_reason("SOMETHING_NEW", is_retriable=False)).action is Action.FAIL
