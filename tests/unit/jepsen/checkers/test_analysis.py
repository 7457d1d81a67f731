"""The version order is made of what must have happened, and of nothing else."""

from __future__ import annotations

import pytest
from tests.unit.jepsen.checkers.hand_made import KEY, History, got, sent
from tests.unit.jepsen.checkers.simulated_log import simulate

from odradek.jepsen.checkers.analysis import Analysis, Send, sends
from odradek.jepsen.history import Event, Type, pair


def test_holes_are_squeezed_out() -> None:
    history = History()
    history.send("a", 10, 0)
    history.send("a", 11, 4)
    history.poll("b", (0, 10), (4, 11), (9, 12))
    log = Analysis.of(history.events).logs[KEY]
    assert (log.offsets, log.values, log.index) == ([0, 4, 9], [10, 11, 12], {10: 0, 11: 1, 12: 2})
    assert (log.place(4), log.place(5), log.place(10)) == (1, None, None)
    assert log.writer == {10: 0, 11: 1}
    assert log.read == {10, 11, 12}


@pytest.mark.parametrize(("kind", "known"), [("ok", True), ("info", True), ("fail", False)])
def test_an_offset_that_a_single_send_was_told_counts(kind: Type, known: bool) -> None:
    history = History()
    history.send("a", 10, 5, kind)
    analysis = Analysis.of(history.events)
    log = analysis.logs[KEY]
    assert (10 in log.index) == known
    assert analysis.acknowledged(log, 10) == known
    assert analysis.is_committed(log, 10) == known


def test_a_transaction_of_unknown_outcome_counts_when_a_value_of_it_was_read() -> None:
    history = History()
    history.txn("a", sent(10, 0), sent(11, 1), kind="info")
    assert Analysis.of(history.events).logs[KEY].offsets == []
    history.poll("b", (0, 10))
    analysis = Analysis.of(history.events)
    assert analysis.logs[KEY].values == [10, 11]
    assert analysis.is_committed(analysis.logs[KEY], 11)
    assert not analysis.acknowledged(analysis.logs[KEY], 11)


def test_polls_of_failed_operations_are_part_of_the_order_but_are_not_read() -> None:
    history = History()
    history.txn("a", got((0, 10)), kind="fail")
    log = Analysis.of(history.events).logs[KEY]
    assert log.values == [10]
    assert log.read == set()


def test_values_at_two_offsets_and_offsets_with_two_values() -> None:
    history = History()
    history.poll("a", (0, 10), (1, 11), (3, 10))
    history.poll("b", (1, 12))
    log = Analysis.of(history.events).logs[KEY]
    assert log.again == {10: [0, 2]}
    assert log.contested == {1: [11, 12]}
    assert log.index == {10: 0, 11: 1, 12: 1}
    assert (log.last(10), log.last(11), log.last(99)) == (2, 1, None)


def test_an_operation_without_an_answer_has_sent_what_it_was_asked() -> None:
    history = History()
    history.begin("a", "txn", [["send", KEY, 10], ["poll"], ["send", KEY, 11]])
    (operation,) = pair(history.events)
    assert sends(operation) == [Send(KEY, 10, None), Send(KEY, 11, None)]
    history.end(0, "info", [["send", KEY, [7, 10]]])
    (operation,) = pair(history.events)
    assert sends(operation) == [Send(KEY, 10, 7), Send(KEY, 11, None)]


def test_what_the_reads_after_the_faults_cover() -> None:
    history = History()
    history.send("a", 10, 0)
    history.send("a", 11, 1)
    history.assign("f", KEY, "q/1", seek="beginning", final=True)
    history.poll("f", (1, 11), final=True)
    logs = Analysis.of(history.events).logs
    assert (logs[KEY].finally_read, logs[KEY].finally_from) == ({11}, 0)
    assert logs["q/1"].finally_read == set()


def test_final_reads_that_did_not_begin_at_the_beginning() -> None:
    history = History()
    history.send("a", 10, 0)
    history.send("a", 11, 1)
    history.send("a", 12, 2)
    history.poll("f", (1, 11), final=True)
    history.poll("f", (2, 12), final=True)
    log = Analysis.of(history.events).logs[KEY]
    assert (log.finally_read, log.finally_from) == ({11, 12}, 1)


def test_sightings_name_writer_and_readers() -> None:
    history = History()
    history.send("a", 10, 0)
    for _ in range(5):
        history.poll("b", (0, 10))
    history.poll("b", (3, 10))
    analysis = Analysis.of(history.events)
    (seen,) = analysis.sightings({(KEY, 10)}).values()
    assert [(one.op, one.how, one.offset) for one in seen] == [
        (0, "send", 0),
        (1, "poll", 0),
        (2, "poll", 0),
        (6, "poll", 3),
    ]
    evidence = analysis.evidence(seen)
    assert evidence[0] == analysis.operations[0]
    assert all(isinstance(event, Event) for event in evidence[1:])


@pytest.mark.parametrize("seed", range(10))
def test_the_order_of_a_simulated_log_is_that_of_the_log(seed: int) -> None:
    world = simulate(seed)
    for key, log in Analysis.of(world.events).logs.items():
        there = [
            (offset, entry.value)
            for offset, entry in enumerate(world.logs[key].entries)
            if entry.value is not None and (entry.txn is None or entry.txn.state == "committed")
        ]
        assert list(zip(log.offsets, log.values)) == there
        assert log.finally_read == set(log.values)
