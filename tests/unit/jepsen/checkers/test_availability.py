"""Windows with acknowledgements, and gaps between them."""

from __future__ import annotations

from typing import Any

import pytest

from odradek.jepsen.checkers.availability import NS, Gap, measure, span_of_sends
from odradek.jepsen.history import Event, Operation, pair


def _send(op: int, key: str, begin: float, end: float | None, kind: Any = "ok") -> Operation:
    events = [Event(int(begin * NS), "s", op, "invoke", "send", [["send", key, op]])]
    if end is not None:
        events.append(Event(int(end * NS), "s", op, kind, "send", [["send", key, [0, op]]]))
    return pair(events)[0]


HISTORY = [
    _send(1, "q/0", 10.00, 10.05),
    _send(2, "q/1", 10.00, 10.07),
    _send(3, "q/0", 10.10, 10.15),
    _send(4, "q/1", 10.10, 10.95, "info"),
    _send(5, "q/1", 10.30, 10.92),
    _send(6, "q/0", 10.95, 11.00),
    _send(7, "q/2", 10.95, None),
]


def test_shares_of_windows() -> None:
    found = measure(HISTORY)
    assert found is not None
    assert found.windows == 10
    assert found.by_key == {"q/0": 0.3, "q/1": 0.2, "q/2": 0.0}
    assert found.share == 0.3  # the first, the second, and the last
    assert found.every == 0.0
    without = measure(HISTORY[:-1])
    assert without is not None
    assert without.every == 0.2


def test_the_longest_gap_of_each_key() -> None:
    found = measure(HISTORY)
    assert found is not None
    assert found.gaps["q/0"] == pytest.approx((0.85, 10.15 * NS))
    assert found.gaps["q/2"] == Gap(1.0, 10 * NS)
    assert found.longest == ("q/2", Gap(1.0, 10 * NS))


def test_windows_of_another_width_and_span() -> None:
    found = measure(HISTORY, window_ms=500, span=(10 * NS, 12 * NS))
    assert found is not None
    assert (found.windows, found.share) == (4, 0.75)


def test_nothing_was_sent() -> None:
    assert measure([]) is None
    assert span_of_sends([]) is None
