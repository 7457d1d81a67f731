"""Operations at an even rate."""

from __future__ import annotations

import pytest

from odradek.jepsen.workloads.pace import Pace

MS = 1_000_000


def test_what_is_due_grows_with_time() -> None:
    pace = Pace(100.0, 0)
    assert pace.due(0) == 1
    pace.take(1)
    assert pace.due(5 * MS) == 0
    assert pace.due(10 * MS) == 1
    assert pace.due(50 * MS) == 5
    pace.take(5)
    assert pace.due(50 * MS) == 0


def test_what_was_missed_is_made_up_for_a_tenth_of_a_second_only() -> None:
    pace = Pace(100.0, 0)
    assert pace.due(60_000 * MS) == 10


def test_a_slow_rate_still_has_one_due() -> None:
    pace = Pace(0.5, 0)
    pace.take(1)
    pace.due(0)
    assert pace.wait_s() == pytest.approx(2.0)
    assert pace.due(1_000 * MS) == 0
    assert pace.wait_s() == pytest.approx(1.0)
    assert pace.due(2_000 * MS) == 1
    assert pace.wait_s() == 0.0


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="a rate of 0"):
        Pace(0, 0)
