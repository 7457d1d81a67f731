"""Requests under a producer name: sent again until somebody knows."""

from __future__ import annotations

import pytest

from odradek.jepsen.outcomes import outcome
from odradek.jepsen.workloads.named import FINAL, NamedRequest, Sent


def _request() -> NamedRequest:
    return NamedRequest(12, [Sent(1, "a/0", 100), Sent(2, "a/0", 101)])


def test_the_next_request_begins_where_this_one_ends() -> None:
    assert _request().next_sequence == 14


@pytest.mark.parametrize("error", ["UNAVAILABLE", "NETWORK_EXCEPTION", "NOT_ENOUGH_REPLICAS", "news to us"])
def test_it_is_sent_again_after_what_another_attempt_may_mend(error: str) -> None:
    assert _request().failed(error) is None


@pytest.mark.parametrize("error", sorted(FINAL))
def test_it_is_not_sent_again_after_a_refusal(error: str) -> None:
    assert _request().failed(error) == outcome("grpc", "publish", error)


def test_a_refusal_is_definite_at_the_first_attempt() -> None:
    assert _request().failed("INVALID_RECORD") == "fail"


def test_a_refusal_says_nothing_of_an_attempt_before_it_without_an_answer() -> None:
    request = _request()
    assert request.failed("UNAVAILABLE") is None
    assert request.failed("INVALID_RECORD") == "info"


def test_refused_again_and_again_is_certainly_not_written() -> None:
    request = _request()
    for _ in range(3):
        assert request.failed("NOT_ENOUGH_REPLICAS") is None
    assert request.given_up("NOT_ENOUGH_REPLICAS") == "fail"


def test_one_attempt_without_an_answer_makes_the_end_unknown() -> None:
    request = _request()
    assert request.failed("DEADLINE_EXCEEDED") is None
    assert request.failed("NOT_ENOUGH_REPLICAS") is None
    assert request.given_up("NOT_ENOUGH_REPLICAS") == "info"


def test_passed_already_is_unknown() -> None:
    assert _request().failed("OUT_OF_ORDER_SEQUENCE_NUMBER") == "info"
