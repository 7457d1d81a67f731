from __future__ import annotations

from random import Random

import pytest

from odradek.client.patterns.retry_policy import Reject, RetryPolicy

ERROR = ValueError("broken")


def test_delays_double_up_to_the_greatest() -> None:
    policy = RetryPolicy(max_attempts=6, first_delay_ms=100, max_delay_ms=500, jitter=0)
    delays = [policy.delay_ms(attempts, ERROR, Random(1)) for attempts in range(1, 7)]
    assert delays == [100, 200, 400, 500, 500, None]


def test_jitter_stays_within_its_share() -> None:
    policy = RetryPolicy(first_delay_ms=1000, jitter=0.2)
    random = Random(7)
    delays = [policy.delay_ms(1, ERROR, random) for _ in range(200)]
    assert all(delay is not None and 800 <= delay <= 1200 for delay in delays)
    assert len(set(delays)) > 50


def test_a_rejected_record_is_not_tried_again() -> None:
    assert RetryPolicy().delay_ms(1, Reject("no address"), Random(1)) is None


def test_very_many_attempts_do_not_overflow() -> None:
    policy = RetryPolicy(max_attempts=10**6, jitter=0)
    assert policy.delay_ms(99_999, ERROR, Random(1)) == policy.max_delay_ms


@pytest.mark.parametrize(
    "settings", [{"max_attempts": 0}, {"first_delay_ms": -1}, {"jitter": 2}, {"factor": 0.5}]
)
def test_a_policy_that_makes_no_sense_is_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        RetryPolicy(**settings)
