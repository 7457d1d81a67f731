from __future__ import annotations

import pytest

from odradek.client.patterns.saga_state import Do, End, Entry, Kind, Next, SagaState, Undo

STEPS = ["flight", "hotel", "payment"]


def state_after(*entries: tuple[Kind, str]) -> SagaState:
    state = SagaState(STEPS)
    for number, (kind, step) in enumerate(entries):
        assert state.apply(Entry(number, kind, step, f"{step} {kind.value}")), (number, kind)
    return state


STARTED = (Kind.STARTED, "")
FLIGHT, HOTEL, PAYMENT = ((Kind.DONE, step) for step in STEPS)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ((), None),
        ((STARTED,), Do("flight")),
        ((STARTED, FLIGHT), Do("hotel")),
        ((STARTED, FLIGHT, HOTEL, PAYMENT), End(Kind.COMPLETED)),
        ((STARTED, (Kind.FAILED, "flight")), End(Kind.COMPENSATED)),
        ((STARTED, FLIGHT, HOTEL, (Kind.FAILED, "payment")), Undo("hotel")),
        ((STARTED, FLIGHT, HOTEL, (Kind.FAILED, "payment"), (Kind.UNDONE, "hotel")), Undo("flight")),
        ((STARTED, FLIGHT, (Kind.FAILED, "hotel"), (Kind.UNDONE, "flight")), End(Kind.COMPENSATED)),
        ((STARTED, FLIGHT, (Kind.FAILED, "hotel"), (Kind.STUCK, "flight")), None),
        (
            (STARTED, FLIGHT, (Kind.FAILED, "hotel"), (Kind.STUCK, "flight"), (Kind.RETRIED, "")),
            Undo("flight"),
        ),
        ((STARTED, FLIGHT, HOTEL, PAYMENT, (Kind.COMPLETED, "")), None),
    ],
)
def test_what_is_next(entries: tuple[tuple[Kind, str], ...], expected: Next) -> None:
    assert state_after(*entries).next() == expected


def test_data_results_and_errors_are_kept() -> None:
    state = state_after(
        STARTED, FLIGHT, (Kind.FAILED, "hotel"), (Kind.UNDONE, "flight"), (Kind.COMPENSATED, "")
    )
    assert state.data == " started"
    assert state.results == {"flight": "flight done"}
    assert state.error == "hotel: hotel failed"
    assert state.outcome is Kind.COMPENSATED


def test_entries_that_come_twice_or_out_of_turn_are_passed_over() -> None:
    state = state_after(STARTED, FLIGHT)
    for entry in (
        Entry(0, Kind.STARTED, data="again"),
        Entry(1, Kind.FAILED, "flight", "by a slower runner"),
        Entry(3, Kind.DONE, "payment"),
        Entry(2, Kind.STARTED),
    ):
        assert not state.apply(entry)
    assert state.next() == Do("hotel")
    assert not SagaState(STEPS).apply(Entry(0, Kind.DONE, "flight"))


def test_an_entry_survives_its_record() -> None:
    entry = Entry(4, Kind.DONE, "hotel", {"room": 7})
    assert Entry.from_json(entry.to_json()) == entry
    for text in (b"", b"[]", b"{}", b'{"number": 1, "kind": "unheard of", "step": "", "data": null}'):
        assert Entry.from_json(text) is None
