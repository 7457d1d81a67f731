"""Which faults a request meets: order, number, topic, and what is counted."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from odradek.proto.kafka.errors import ErrorCode
from odradek.testing.faults import NO_PLAN, Faults, Kind


@pytest.fixture
def faults() -> Faults:
    return Faults(has_grpc=True)


def orders() -> Collection[str]:
    return ["orders", "clicks"]


def never() -> Collection[str]:
    raise AssertionError("nobody needs to know")


def test_nothing_is_met_where_nothing_is_armed(faults: Faults) -> None:
    assert not faults.is_armed("Produce")
    assert faults.take("Produce", never) is NO_PLAN
    assert faults.fired["Produce"] == 0


def test_a_failure_comes_as_often_as_it_was_told(faults: Faults) -> None:
    fault = faults.fail("Produce", error="NOT_ENOUGH_REPLICAS", times=2)
    errors = [faults.take("Produce", never).error for _ in range(3)]
    assert errors == [ErrorCode.NOT_ENOUGH_REPLICAS, ErrorCode.NOT_ENOUGH_REPLICAS, None]
    assert fault.fired == 2 and faults.fired == {"Produce": 2} and not fault.is_armed


def test_without_a_number_it_comes_until_it_is_cleared(faults: Faults) -> None:
    fault = faults.fail("Fetch", error="UNKNOWN_SERVER_ERROR")
    assert all(faults.take("Fetch", never).error for _ in range(100))
    fault.clear()
    assert faults.take("Fetch", never) is NO_PLAN
    fault.clear()


def test_as_a_context_it_ends_with_its_block(faults: Faults) -> None:
    with faults.delay("Fetch", seconds=0.5) as fault:
        assert fault.is_armed
        assert faults.take("Fetch", never).delay_before_s == 0.5
    assert not faults.is_armed("Fetch")


def test_delays_add_up_and_the_first_failure_ends_the_search(faults: Faults) -> None:
    faults.delay("Produce", seconds=1)
    faults.delay("Produce", seconds=2, when="after")
    faults.delay("Produce", seconds=4)
    broken = faults.drop_connection("Produce", when="after")
    later = faults.fail("Produce", error="CORRUPT_MESSAGE")
    plan = faults.take("Produce", never)
    assert (plan.delay_before_s, plan.delay_after_s, plan.end) == (5, 2, broken)
    assert plan.drops("after") and not plan.drops("before") and plan.error is None
    assert later.fired == 0 and faults.fired["Produce"] == 4


def test_a_fault_for_a_topic_is_met_by_requests_that_have_it(faults: Faults) -> None:
    fault = faults.fail("Produce", error="NOT_ENOUGH_REPLICAS", topic="orders", times=1)
    assert faults.take("Produce", lambda: ["clicks"]) is NO_PLAN
    assert faults.take("Produce", orders).end is fault


def test_what_cannot_be_seen_does_not_come(faults: Faults) -> None:
    fault = faults.fail("Metadata", error="LEADER_NOT_AVAILABLE", times=1)
    assert faults.take("Metadata", never, lambda fault: fault.kind is not Kind.FAIL) is NO_PLAN
    assert fault.fired == 0 and fault.is_armed


def test_clearing_all_leaves_what_was_counted(faults: Faults) -> None:
    faults.fail("Produce", error="CORRUPT_MESSAGE")
    faults.take("Produce", never)
    faults.clear()
    assert not faults.is_armed("Produce")
    assert faults.fired["Produce"] == 1


def test_apis_do_not_meet_each_other(faults: Faults) -> None:
    faults.fail("LogService/Produce", error="CORRUPT_MESSAGE")
    assert faults.take("Produce", never) is NO_PLAN


def test_it_says_what_it_is(faults: Faults) -> None:
    fault = faults.fail("Produce", error="CORRUPT_MESSAGE", topic="orders")
    assert repr(fault) == "<Fault fail Produce CORRUPT_MESSAGE fired=0 topic=orders>"


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan")])
def test_a_delay_takes_time(faults: Faults, seconds: float) -> None:
    with pytest.raises(ValueError, match="seconds="):
        faults.delay("Fetch", seconds=seconds)


def test_what_is_wrong_is_said_when_it_is_armed(faults: Faults) -> None:
    with pytest.raises(ValueError, match="no API"):
        faults.fail("Prodce", error="CORRUPT_MESSAGE")
    with pytest.raises(ValueError, match="no error"):
        faults.fail("Produce", error="CORRUPT")
    with pytest.raises(ValueError, match="times=0"):
        faults.fail("Produce", error="CORRUPT_MESSAGE", times=0)
    with pytest.raises(ValueError, match="when='later'"):
        faults.drop_connection("Produce", when="later")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="name no topics"):
        faults.delay("Heartbeat", seconds=1, topic="orders")
    assert faults.fired == {}
