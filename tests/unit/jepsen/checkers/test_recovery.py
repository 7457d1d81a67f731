"""The time after a fault is that of the slowest key that is written to."""

from __future__ import annotations

from typing import Any

from odradek.jepsen.checkers.recovery import NS, FaultRecovery, by_name, measure, stuck, unrecovered
from odradek.jepsen.history import NEMESIS, Event, pair

_op = iter(range(1_000_000))


def _at(seconds: float) -> int:
    return int(seconds * NS)


def _send(key: str, begin: float, end: float | None, kind: Any = "ok") -> list[Event]:
    op = next(_op)
    events = [Event(_at(begin), "s", op, "invoke", "send", [["send", key, op]])]
    if end is not None:
        events.append(Event(_at(end), "s", op, kind, "send", [["send", key, [0, op]]]))
    return events


def _fault(number: int, name: str, start: float, stop: float | None = None, **more: Any) -> list[Event]:
    told = {"fault": number, "name": name, "nodes": [2]}
    events = [Event(_at(start), NEMESIS, next(_op), "info", "fault", {**told, "phase": "start", **more})]
    if stop is not None:
        events.append(Event(_at(stop), NEMESIS, next(_op), "info", "fault", {**told, "phase": "stop"}))
    return events


def _measure(*parts: list[Event], active_s: float = 2.0) -> list[FaultRecovery]:
    events = sorted((event for part in parts for event in part), key=lambda event: event.time)
    return measure(pair(events), events, active_s=active_s)


def test_the_slowest_key_counts() -> None:
    (found,) = _measure(
        _fault(1, "kill", 10, 20),
        _send("q/0", 9.9, 10.1),  # was invoked before
        _send("q/0", 10.2, 11),
        _send("q/1", 10.1, 10.5, "info"),
        _send("q/1", 10.6, 12.5),
        _send("q/1", 13, 13.1),
    )
    assert (found.name, found.nodes, found.key, found.seconds) == ("kill", (2,), "q/1", 2.5)
    assert (found.start, found.stop, found.overlaps) == (_at(10), _at(20), False)


def test_an_earlier_answer_to_a_later_send_counts() -> None:
    (found,) = _measure(_fault(1, "kill", 10), _send("q/0", 10.1, 15), _send("q/0", 10.2, 11))
    assert found.seconds == 1


def test_without_a_majority_the_time_begins_with_the_healing() -> None:
    (found,) = _measure(
        _fault(1, "power-all", 10, 14, majority=True), _send("q/0", 10.5, 15), _send("q/0", 14.5, 16)
    )
    assert (found.since, found.seconds) == (_at(14), 2)
    assert _measure(_fault(1, "power-all", 10, majority=True), _send("q/0", 10.5, 15)) == []


def test_keys_that_nobody_writes_to_do_not_count() -> None:
    history = (_fault(1, "kill", 10), _send("q/0", 10.1, 10.4), _send("q/1", 17, 17.1))
    assert _measure(*history)[0].seconds == 0.4
    assert _measure(*history, active_s=8)[0].seconds == 7.1
    (nothing,) = _measure(_fault(1, "kill", 10), _send("q/0", 1, 2))
    assert (nothing.seconds, nothing.key) == (None, "")


def test_a_send_in_flight_keeps_its_key_in_the_count() -> None:
    (found,) = _measure(_fault(1, "kill", 10), _send("q/0", 9, 18), _send("q/0", 18, 18.1))
    assert found.seconds == 8.1


def test_what_was_not_acknowledged_any_more() -> None:
    history = (
        _fault(1, "kill", 10, 11),
        _send("q/0", 10.1, 10.2),
        _send("q/1", 10.1, 12, "info"),
        _send("q/1", 22, None),
    )
    found = _measure(*history)
    assert [(recovery.recovered, recovery.key) for recovery in unrecovered(found)] == [(None, "q/1")]
    assert by_name(found) == {}
    assert unrecovered(found, patience_s=12) == []
    assert unrecovered(_measure(*history, _fault(2, "pause", 12, 13))) == []
    assert unrecovered(_measure(*history, _fault(2, "pause", 12))) == []


def _phase(name: str, at: float) -> list[Event]:
    return [Event(_at(at), NEMESIS, next(_op), "info", "phase", name)]


def test_a_stuck_key_whose_senders_have_filled_their_windows_is_found() -> None:
    history = (
        _fault(1, "kill", 10, 11),
        _send("q/0", 10.1, 10.2),
        _send("q/1", 9.8, None),
        _send("q/1", 9.9, None),
        _send("q/0", 30, 30.1),
    )
    assert unrecovered(_measure(*history, _phase("stopping", 20))) == []
    (found,) = unrecovered(_measure(*history, _phase("healing", 20), _phase("stopping", 24)))
    assert (found.key, found.recovered, found.tried) == ("q/1", None, _at(24))
    (found,) = unrecovered(_measure(*history, _phase("healing", 22)))
    assert found.tried == _at(22)


def test_what_a_client_tried_whose_place_was_taken_ended_with_it() -> None:
    def stuck(process: str) -> list[Event]:
        events = [*_send("q/1", 9.9, None), *_send("q/2", 12, 12.1)]
        return [event._replace(process=process) for event in events]

    quiet = (_fault(1, "kill", 10, 11), _phase("stopping", 30))
    later = [event._replace(process="s-0.1-3+2") for event in _send("q/2", 13, 13.1)]
    (alive,) = unrecovered(_measure(*quiet, stuck("s-0-3")))
    assert alive.key == "q/1"
    assert unrecovered(_measure(*quiet, stuck("s-0-3"), later)) == []
    assert unrecovered(_measure(*quiet, stuck("s-0.1-3+1"), later)) == []
    assert unrecovered(_measure(*quiet, stuck("s-0.1-3+10"), later)) != []
    assert unrecovered(_measure(*quiet, stuck("s-0-4"), later)) != []


def test_a_key_that_is_stuck_from_the_heal_on_is_found_though_it_recovered_before() -> None:
    parts = (
        _fault(1, "kill", 10, 20),
        _send("q/0", 10.1, 10.2),
        _send("q/0", 19, None),
        _send("q/1", 19, 20.1),
        _send("q/1", 20.2, None),
    )
    events = sorted((event for part in parts for event in part), key=lambda event: event.time)
    ended = [*events, *_phase("stopping", 31)]
    assert unrecovered(measure(pair(ended), ended)) == []
    assert stuck(pair(ended), ended) == ["q/0"]
    assert stuck(pair(ended), ended, patience_s=12) == []
    assert stuck(pair(events), events) == []
    again = [*ended, *_fault(2, "kill", 25)]
    assert stuck(pair(again), again) == []


def test_a_key_that_was_acknowledged_late_and_then_not_written_to_is_not_stuck() -> None:
    (found,) = _measure(_fault(1, "kill", 10, 11), _send("q/0", 9.9, 30), _phase("stopping", 40))
    assert (found.key, unrecovered([found])) == ("", [])


def test_times_by_the_name_of_the_fault() -> None:
    found = _measure(
        _fault(1, "kill", 10, 11),
        _send("q/0", 10.1, 10.5),
        _fault(2, "pause", 20, 30),
        _fault(3, "kill", 22, 23),
        _send("q/0", 20.5, 23),
        _send("q/0", 23, 24),
    )
    assert by_name(found) == {"kill": [0.5, 2.0], "pause": [3.0]}
    assert [recovery.overlaps for recovery in found] == [False, True, True]
