"""The table of outcomes: what it never says, and that it can be read."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from odradek.jepsen.outcomes import TABLE, Door, markdown, outcome
from odradek.proto.kafka.errors import ErrorCode

#: After these a record, or a change, may be there.
UNKNOWN = [
    "_MSG_TIMED_OUT",
    "_TIMED_OUT",
    "_TRANSPORT",
    "NOT_LEADER_FOR_PARTITION",
    "NOT_LEADER_OR_FOLLOWER",
    "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
    "REQUEST_TIMED_OUT",
    "NETWORK_EXCEPTION",
    "UNKNOWN_SERVER_ERROR",
    "UNKNOWN",
    "UNAVAILABLE",
    "DEADLINE_EXCEEDED",
    "NO_ANSWER",
    "an error that nobody has heard of",
]


@pytest.mark.parametrize("error", UNKNOWN)
def test_an_unknown_outcome_is_never_called_a_failure(error: str) -> None:
    doors: list[Door] = ["kafka", "grpc"]
    for door in doors:
        assert outcome(door, "send", error) == "info"
        assert outcome(door, "publish", error) == "info"
        assert outcome(door, "commit", error) == "info"
        assert outcome(door, "admin", error) == "info"


def test_what_is_refused_for_good_is_a_failure() -> None:
    assert outcome("kafka", "send", "MSG_SIZE_TOO_LARGE") == "fail"
    assert outcome("kafka", "send", "REFUSED_BY_CLIENT") == "fail"
    assert outcome("grpc", "publish", "NOT_ENOUGH_REPLICAS") == "fail"
    assert outcome("kafka", "admin", "TOPIC_ALREADY_EXISTS") == "fail"


def test_a_client_that_tried_before_does_not_know_by_its_last_error() -> None:
    assert outcome("kafka", "send", "NOT_ENOUGH_REPLICAS") == "info"
    assert outcome("kafka", "send", "OUT_OF_ORDER_SEQUENCE_NUMBER") == "info"


def test_after_an_unknown_attempt_nothing_is_definite() -> None:
    assert outcome("grpc", "publish", "NOT_ENOUGH_REPLICAS", unknown_before=True) == "info"


def test_lines_are_unique_and_say_fail_or_info() -> None:
    names = [(line.door, line.kind, line.error) for line in TABLE]
    assert len(names) == len(set(names))
    assert {line.type for line in TABLE} == {"fail", "info"}


def test_names_are_those_of_librdkafka_and_of_the_protocol() -> None:
    librdkafka = {
        KafkaError(value).name() for name, value in vars(KafkaError).items() if isinstance(value, int)
    }
    protocol = set(ErrorCode.__members__)
    ours = {"REFUSED_BY_CLIENT", "NOT_SENT", "NO_ANSWER"}
    for line in TABLE:
        if line.door == "kafka":
            assert line.error in (protocol if line.kind == "admin" else librdkafka) | ours, line


def test_markdown_has_a_row_for_each_line_and_one_for_the_rest() -> None:
    lines = markdown().splitlines()
    assert len(lines) == len(TABLE) + 3
    assert lines[0] == "| door | request | error | outcome | because |"
    assert all(line.count("|") == 6 for line in lines)
    assert lines[-1] == "| any | any | anything else | info | nobody knows |"
