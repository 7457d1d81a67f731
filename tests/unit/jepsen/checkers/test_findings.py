"""A checker keeps the first hundred of a kind and counts them all."""

from __future__ import annotations

from odradek.jepsen.checkers.findings import MOST, MOST_EVENTS, Findings, events_of
from odradek.jepsen.history import Event, pair


def _invoke(op: int) -> Event:
    return Event(op, "a", op, "invoke", "send", [["send", "q/0", op]])


def test_the_first_hundred_are_kept_and_all_are_counted() -> None:
    findings = Findings()
    for number in range(MOST + 5):
        assert findings.wants("x") == (number < MOST)
        findings.add("x", f"number {number}", data={"number": number})
    findings.add("y", "another")
    found = findings.anomalies()
    assert [anomaly.kind for anomaly in found] == ["x"] * MOST + ["y"]
    assert found[MOST - 1].data == {"number": MOST - 1, "of": MOST + 5}
    assert found[0].data == {"number": 0}


def test_evidence_is_cut_and_nothing_stands_twice() -> None:
    findings = Findings()
    findings.add("x", "many", [*(_invoke(op) for op in range(20)), None])
    findings.add("x", "one", [_invoke(1), _invoke(1)])
    many, one = findings.anomalies()
    assert len(many.evidence) == MOST_EVENTS
    assert list(one.evidence) == [_invoke(1)]


def test_a_completion_that_never_came_is_no_evidence() -> None:
    answered, lost = pair([_invoke(1), _invoke(2), _invoke(1)._replace(type="ok")])
    assert [event.type for event in events_of(answered)] == ["invoke", "ok"]
    assert [event.type for event in events_of(lost)] == ["invoke"]
