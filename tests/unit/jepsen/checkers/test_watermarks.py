"""Watermarks that go back are caught; those of overlapping readings, and of other clients, may."""

from __future__ import annotations

from typing import Any

from odradek.jepsen.checkers import watermarks
from odradek.jepsen.history import Event, Operation, pair

KEY = "q/0"


def _operation(begin: int, end: int, who: str, f: str, told: Any) -> Operation:
    return pair([Event(begin, who, begin, "invoke", f, None), Event(end, who, begin, "ok", f, told)])[0]


def _read(begin: int, end: int, high: int, *, who: str = "w", start: int = 0) -> Operation:
    return _operation(begin, end, who, "watermarks", {KEY: [start, high]})


def _send(begin: int, end: int, offset: int) -> Operation:
    return _operation(begin, end, "s", "send", [["send", KEY, [offset, 100 + offset]]])


def _poll(begin: int, end: int, offset: int, who: str = "c") -> Operation:
    return _operation(begin, end, who, "poll", [["poll", {KEY: [[offset, 100 + offset]]}]])


def _kinds(*operations: Operation, **how: Any) -> list[str]:
    return [anomaly.kind for anomaly in watermarks.check(operations, **how)]


def test_watermarks_that_grow() -> None:
    assert (
        _kinds(_read(1, 2, 5), _read(3, 4, 5), _read(5, 6, 9, start=3), realtime=True, final={KEY: 9}) == []
    )


def test_a_high_watermark_that_goes_back() -> None:
    (found,) = watermarks.check([_read(1, 2, 5), _read(3, 4, 9), _read(5, 6, 7)])
    assert (found.kind, found.data) == ("watermark-regression", {"key": KEY, "told": 7, "known": 9})
    assert [event.time for event in found.evidence] == [3, 4, 5, 6]


def test_readings_that_overlap_may_come_in_any_order() -> None:
    assert _kinds(_read(1, 10, 9), _read(2, 3, 5), _read(9, 12, 8), realtime=True) == []


def test_another_client_may_ask_a_leader_that_was_replaced() -> None:
    history = (_read(1, 2, 9), _read(3, 4, 7, who="other"))
    assert _kinds(*history) == []
    assert _kinds(*history, realtime=True) == ["watermark-regression-realtime"]


def _led(begin: int, high: int, epoch: int, who: str = "w", start: int | None = 0) -> Operation:
    return _operation(begin, begin + 1, who, "watermarks", {KEY: [start, high, epoch]})


def test_with_leader_epochs_other_clients_count_and_replaced_leaders_do_not() -> None:
    assert _kinds(_led(1, 9, 4), _led(3, 7, 4, "other")) == ["watermark-regression"]
    assert _kinds(_led(1, 9, 4), _led(3, 7, 5, "other")) == ["watermark-regression"]
    assert _kinds(_led(1, 9, 4), _led(3, 7, 3, "other")) == []
    assert _kinds(_led(1, 9, 4), _led(3, 7, 3)) == []
    assert _kinds(_led(1, 9, 4), _led(3, 7, 4), _led(5, 9, 4, "other")) == ["watermark-regression"]


def test_a_log_start_that_nobody_knows() -> None:
    assert _kinds(_led(1, 9, 4, start=3), _led(3, 9, 4, start=None), _led(5, 9, 4, start=3)) == []
    assert _kinds(_led(1, 9, 4, start=3), _led(3, 9, 4, start=None), _led(5, 9, 4, start=2)) == [
        "log-start-regression"
    ]


def test_a_log_start_that_goes_back() -> None:
    assert _kinds(_read(1, 2, 9, start=4), _read(3, 4, 9, start=3)) == ["log-start-regression"]


def test_a_log_start_above_the_high_watermark() -> None:
    assert _kinds(_read(1, 2, 3, start=4)) == ["watermarks-crossed"]


def test_what_the_same_process_polled_is_below() -> None:
    assert _kinds(_poll(1, 2, 6, who="w"), _read(3, 4, 6)) == ["watermark-regression"]
    assert _kinds(_poll(1, 2, 6, who="w"), _read(3, 4, 7)) == []
    assert _kinds(_poll(1, 4, 6, who="w"), _read(3, 5, 6)) == []


def test_what_was_acknowledged_or_read_before_is_below_in_real_time() -> None:
    assert _kinds(_send(1, 2, 6), _read(3, 4, 6), realtime=True) == ["acknowledged-above-watermark"]
    assert _kinds(_poll(1, 2, 6), _read(3, 4, 6), realtime=True) == ["acknowledged-above-watermark"]
    assert _kinds(_send(1, 2, 6), _read(3, 4, 7), realtime=True) == []
    assert _kinds(_send(1, 4, 6), _read(3, 5, 6), realtime=True) == []
    assert _kinds(_send(1, 2, 6), _read(3, 4, 6)) == []


def test_at_the_end_everything_is_below() -> None:
    history = (_send(1, 2, 6), _read(3, 4, 8, who="other"))
    assert _kinds(*history, final={KEY: 8}) == []
    assert _kinds(*history, final={KEY: 7}) == ["watermark-regression"]
    assert _kinds(*history, final={KEY: 6}) == ["watermark-regression", "acknowledged-above-watermark"]
