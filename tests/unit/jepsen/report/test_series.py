"""A history of any length becomes at most a thousand points, and no acknowledgement or fault is lost on the way."""

from __future__ import annotations

import pytest

from odradek.jepsen.history import NEMESIS, Event, Operation, pair
from odradek.jepsen.report.series import MOST_KEYS, MOST_POINTS, Series, series_of, span_of

SECOND = 1_000_000_000


def _fault(second: float, number: int, phase: str, **told: object) -> Event:
    value = {"fault": number, "name": "kill", "phase": phase, **told}
    return Event(int(second * SECOND), NEMESIS, number, "info", "fault", value)


def _send(value: int, key: str, begin: float, end: float, kind: str = "ok") -> list[Event]:
    told = [["send", key, [value if kind == "ok" else None, value]]]
    return [
        Event(int(begin * SECOND), "a", value, "invoke", "send", [["send", key, value]]),
        Event(int(end * SECOND), "a", value, kind, "send", told),  # type: ignore[arg-type]
    ]


def _poll(op: int, second: float, records: dict[str, list[list[int]]]) -> list[Event]:
    time = int(second * SECOND)
    return [
        Event(time, "b", op, "invoke", "poll", [["poll"]]),
        Event(time, "b", op, "ok", "poll", [["poll", records]]),
    ]


def _series(*events: Event) -> Series:
    history = sorted(events, key=lambda event: event.time)
    return series_of(history, pair(history))


@pytest.mark.parametrize("seconds", [0, 1, 99, 100, 360, 8 * 3600, 90 * 86_400])
def test_there_are_never_more_points_than_can_be_seen(seconds: int) -> None:
    span = span_of([Event(5, "a", 0, "invoke", "send"), Event(5 + seconds * SECOND, "a", 0, "ok", "send")])
    assert 1 <= span.steps <= MOST_POINTS
    assert (span.steps - 1) * span.step <= seconds <= span.steps * span.step


def test_an_empty_history_has_one_empty_step() -> None:
    series = series_of([], [])
    assert (series.acknowledged, series.p50, series.unseen_total, series.faults) == ([0.0], [None], [0], [])


def test_latency_stands_where_an_operation_began_and_throughput_where_it_ended() -> None:
    series = _series(
        *_send(1, "q/0", 0.0, 0.25), *_send(2, "q/0", 0.01, 0.25), *_send(3, "q/0", 0.02, 0.03, "info")
    )
    assert series.span.step == 0.1
    assert series.acknowledged == pytest.approx([0, 0, 20])
    assert series.unacknowledged == pytest.approx([10, 0, 0])
    assert series.p50[0] == pytest.approx(0.24)
    assert series.p99[0] == pytest.approx(0.25)
    assert series.p50[1:] == [None, None]


def test_every_acknowledged_record_of_a_transaction_counts() -> None:
    asked = Event(0, "a", 0, "invoke", "txn", [["send", "q/0", 1], ["poll"], ["send", "q/0", 2]])
    told = Event(
        SECOND, "a", 0, "ok", "txn", [["send", "q/0", [0, 1]], ["poll", {}], ["send", "q/0", [1, 2]]]
    )
    assert sum(series_of([asked, told], [Operation(asked, told)]).acknowledged) * 0.1 == pytest.approx(2)


def test_faults_overlap_and_one_that_was_never_healed_lasts_to_the_end() -> None:
    series = _series(
        *_send(1, "q/0", 0, 1),
        _fault(2, 0, "start", nodes=[1]),
        _fault(3, 1, "start", nodes=[2, 3], signal="KILL"),
        _fault(4, 0, "stop", nodes=[1], took=0.5),
        *_send(2, "q/0", 9, 10),
    )
    assert [(f.number, f.start, f.end, f.nodes) for f in series.faults] == [
        (0, 2, 4, (1,)),
        (1, 3, 10, (2, 3)),
    ]
    assert [dict(f.more) for f in series.faults] == [{"took": 0.5}, {"signal": "KILL"}]
    assert [f.number for f in series.faults if f.covers(3.5)] == [0, 1]


def test_a_fault_that_could_not_be_done_is_shown_as_such() -> None:
    series = _series(
        *_send(1, "q/0", 0, 9),
        _fault(1, 0, "failed", error="no leader"),
        _fault(2, 1, "start"),
        _fault(3, 1, "failed", error="would not mount"),
    )
    assert [(f.start, f.end, f.failed, f.more["error"]) for f in series.faults] == [
        (1, 1, True, "no leader"),
        (2, 3, True, "would not mount"),
    ]


def test_phases_are_found() -> None:
    phase = Event(SECOND, NEMESIS, 0, "info", "phase", "final-reads")
    assert _series(*_send(1, "q/0", 0, 2), phase).phases == [(1.0, "final-reads")]


def test_a_record_is_unseen_from_its_acknowledgement_until_somebody_reads_it() -> None:
    series = _series(
        *_send(1, "q/0", 0, 0.15),
        *_send(2, "q/1", 0, 0.15),
        *_poll(1, 0.35, {"q/0": [[0, 1]]}),
        *_poll(2, 0.45, {"q/0": [[0, 1]], "q/2": [[0, 3]]}),
        *_send(3, "q/2", 0.3, 0.55),  # read before it was acknowledged: never unseen
    )
    assert series.unseen["q/0"] == [0, 1, 1, 0, 0, 0]
    assert series.unseen["q/1"] == [0, 1, 1, 1, 1, 1]
    assert series.unseen_total == [0, 2, 2, 1, 1, 1]
    assert "q/2" not in series.unseen


def test_the_keys_that_stay_unseen_are_shown_before_others() -> None:
    events = [event for n in range(20) for event in _send(n, f"q/{n}", 0, 0.1)]
    polls = _poll(100, 0.5, {f"q/{n}": [[0, n]] for n in range(20) if n != 17})
    series = _series(*events, *polls)
    assert len(series.unseen) == MOST_KEYS
    assert next(iter(series.unseen)) == "q/17"
