"""Each anomaly of values and offsets in a history written by hand, beside one that is right; then in simulated ones."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.jepsen.checkers.hand_made import KEY, History, got, kinds, sent
from tests.unit.jepsen.checkers.simulated_log import World, acknowledged, simulate

from odradek.jepsen.checkers import cycles, order, queue
from odradek.jepsen.checkers.analysis import Analysis
from odradek.jepsen.checkers.anomaly import Anomaly


def check(history: History) -> list[Anomaly]:
    return queue.check(Analysis.of(history.events))


def three_records() -> History:
    history = History()
    for value in (10, 11, 12):
        history.send("a", value, value - 10)
    return history


def test_a_log_that_kept_everything() -> None:
    history = three_records()
    history.send("a", 13, None, "info")
    history.send("a", 14, None, "fail")
    history.assign("f", KEY, seek="beginning")
    history.poll("f", (0, 10), (1, 11), final=True)
    history.poll("f", (2, 12), final=True)
    assert check(history) == []


def test_inconsistent_offsets() -> None:
    history = three_records()
    history.poll("b", (0, 10), (1, 11), (2, 12))
    history.send("c", 20, 3)
    history.poll("d", (3, 21), (4, 20))
    found = check(history)
    assert [a for a in kinds(found) if a != "unexpected"] == ["inconsistent-offsets", "duplicate"]
    assert found[0].data == {"key": KEY, "offset": 3, "values": [20, 21]}
    assert len(found[0].evidence) == 3  # the send of 20, and the poll of both


def test_a_duplicate() -> None:
    history = three_records()
    history.poll("b", (0, 10), (1, 11), (2, 12), (3, 11))
    (found,) = check(history)
    assert (found.kind, found.data["value"], found.data["offsets"]) == ("duplicate", 11, [1, 3])
    assert found.data["nonzero"]
    history.events.clear()
    history.send("a", 11, 0)
    history.poll("b", (3, 11))
    (found,) = check(history)
    assert not found.data["nonzero"]


def test_a_lost_write_is_one_that_was_passed_over() -> None:
    history = three_records()
    history.poll("b", (0, 10), (2, 12))
    lost, unseen = check(history)
    assert (lost.kind, lost.data["value"], lost.data["part"], lost.data["witness"]) == (
        "lost-write",
        11,
        "middle",
        12,
    )
    assert (unseen.kind, unseen.data["value"]) == ("unseen", 11)
    assert [event.f for event in lost.evidence] == ["send", "send", "send", "send", "poll"]


def test_a_value_whose_place_was_taken_is_lost() -> None:
    history = three_records()
    history.begin("z", "send", [["send", KEY, 13]])
    history.poll("b", (0, 10), (1, 11), (2, 13))
    assert kinds(check(history)) == ["inconsistent-offsets", "lost-write", "unseen"]


def test_what_nobody_reached_is_unseen_and_not_lost() -> None:
    history = three_records()
    history.poll("b", (0, 10), (1, 11))
    (unseen,) = check(history)
    assert (unseen.kind, unseen.data["value"], unseen.data["part"]) == ("unseen", 12, "postfix")


def test_an_acknowledged_value_whose_offset_nobody_told_is_unseen() -> None:
    history = three_records()
    history.send("a", 13, None)
    history.poll("b", (0, 10), (1, 11), (2, 12))
    (unseen,) = check(history)
    assert (unseen.kind, unseen.data["value"], unseen.data["offset"]) == ("unseen", 13, None)


@pytest.mark.parametrize(
    ("left", "parts"),
    [
        ([(1, 11), (2, 12)], ["prefix"]),
        ([(0, 10), (2, 12)], ["middle"]),
        ([(0, 10), (1, 11)], ["postfix"]),
        ([], ["whole", "whole", "whole"]),
    ],
)
def test_which_part_was_lost(left: list[tuple[int, int]], parts: list[str]) -> None:
    history = three_records()
    history.send("z", 99, 3)
    history.assign("f", KEY, seek="beginning")
    history.poll("f", *left, (3, 99), final=True)
    lost = [anomaly for anomaly in check(history) if anomaly.kind == "lost-write"]
    assert [anomaly.data["part"] for anomaly in lost] == parts


def test_what_was_polled_must_still_be_there_after_the_faults() -> None:
    history = three_records()
    history.poll("b", (0, 10), (1, 11), (2, 12))
    assert check(history) == []
    history.assign("f", KEY, seek="beginning")
    history.poll("f", (0, 10), (2, 12), final=True)
    (lost,) = check(history)
    assert (lost.kind, lost.data["value"], lost.data["rule"]) == ("lost-write", 11, "final")
    history.events.pop()
    history.end(history.events[-1].op, "ok", [got((0, 10))], final=True)
    found = check(history)
    assert [(a.kind, a.data["value"], a.data["was_read"]) for a in found] == [
        ("unseen", 11, True),
        ("unseen", 12, True),
    ]


def test_a_partition_that_is_empty_after_the_faults() -> None:
    history = three_records()
    history.poll("b", (0, 10), (1, 11), (2, 12))
    history.assign("f", KEY, "q/1", seek="beginning")
    history.poll("f", key="q/1", final=True)
    assert kinds(check(history)) == ["unseen"] * 3


def test_final_reads_from_the_middle_say_nothing_of_what_is_before() -> None:
    history = three_records()
    history.poll("b", (0, 10), (1, 11), (2, 12))
    history.poll("f", (1, 11), (2, 12), final=True)
    assert check(history) == []


def test_one_value_of_a_transaction_proves_the_others() -> None:
    history = History()
    history.txn("a", sent(10, 0), sent(11, 1, "q/1"), kind="info")
    history.send("a", 12, 2, key="q/1")
    history.poll("b", (2, 12), key="q/1")
    assert check(history) == []
    history.poll("b", (0, 10))
    assert kinds(check(history)) == ["lost-write"]


def test_an_aborted_read() -> None:
    history = History()
    history.send("a", 10, None, "info")
    history.poll("b", (0, 10))
    assert check(history) == []
    history.send("a", 11, None, "fail")
    history.poll("b", (1, 11))
    (found,) = check(history)
    assert (found.kind, found.data) == ("G1a", {"key": KEY, "value": 11, "offset": 1})
    assert [event.type for event in found.evidence] == ["invoke", "fail", "ok"]


def test_what_was_aborted_need_not_be_there_after_the_faults() -> None:
    history = three_records()
    history.send("a", 13, None, "fail")
    history.poll("b", (0, 10), (1, 11), (2, 13), (3, 12))
    history.assign("f", KEY, seek="beginning")
    history.poll("f", (0, 10), (1, 11), (3, 12), final=True)
    assert "lost-write" not in kinds(check(history))


def test_a_failed_transaction_has_no_intermediate_state() -> None:
    history = History()
    history.txn("a", sent(10, None), sent(11, None), kind="fail")
    history.poll("b", (0, 10))
    history.send("z", 12, 3)
    history.poll("b", (3, 12))
    assert kinds(check(history)) == ["G1a"]


def test_the_last_value_alone_is_no_intermediate_state() -> None:
    """That the first is nowhere is for the checker of whole transactions."""
    history = group_of_two("info")
    history.poll("b", (1, 11))
    history.send("z", 12, 3)
    history.poll("b", (3, 12))
    assert check(history) == []


def test_a_precommitted_read() -> None:
    history = History()
    history.txn("a", sent(10, 0), got((0, 10)))
    assert kinds(check(history)) == ["precommitted-read"]
    history.events.clear()
    history.txn("a", sent(10, 0))
    history.txn("a", got((0, 10)), sent(11, 2))
    history.poll("b", (2, 11))
    assert check(history) == []


def test_a_corrupt_record_and_one_that_nobody_sent() -> None:
    history = three_records()
    broken = [{"key": KEY, "offset": 1, "reason": "CRC"}, [KEY, 2, "header"]]
    history.poll("b", (0, 10), (1, 11), (2, 12), (3, 77), corrupt=broken)
    unexpected, *corrupt = check(history)
    assert (unexpected.kind, unexpected.data["value"]) == ("unexpected", 77)
    assert [a.data for a in corrupt] == [
        {"key": KEY, "offset": 1, "reason": "CRC"},
        {"key": KEY, "offset": 2, "reason": "header"},
    ]


def test_a_value_of_none_is_no_value() -> None:
    history = three_records()
    op = history.begin("b", "poll", [["poll"]])
    pairs = [[0, 10], [1, None], [1, 11], [2, 12]]
    history.end(op, "ok", [["poll", {KEY: pairs}]], corrupt=[[KEY, 1, "CRC"]])
    assert kinds(check(history)) == ["corrupt-record"]


def group_of_two(kind: str = "ok") -> History:
    """A transaction wrote 10 and 11, another process 12 behind them."""
    history = History()
    offsets = (0, 1) if kind == "ok" else (None, None)
    history.txn("a", sent(10, offsets[0]), sent(11, offsets[1]), kind=kind)  # type: ignore[arg-type]
    return history


def test_an_intermediate_read_steps_over_the_later_value() -> None:
    history = group_of_two()
    history.send("z", 12, 3)
    history.poll("b", (0, 10), (3, 12))
    history.poll("c", (0, 10), (1, 11))
    (found,) = check(history)
    assert (found.kind, found.data["value"], found.data["missing"]) == ("G1b", 10, 11)
    assert [event.process for event in found.evidence] == ["a", "a", "b"]


@pytest.mark.parametrize("rebalanced", [False, True])
def test_a_poll_may_end_between_two_values_and_a_rebalance_may_step_over(rebalanced: bool) -> None:
    history = group_of_two()
    history.send("z", 12, 3)
    if rebalanced:
        history.poll("b", (0, 10), (3, 12), rebalanced=[KEY])
    history.poll("c", (0, 10))
    history.poll("c", (1, 11), (3, 12))
    assert check(history) == []


def test_an_intermediate_state_for_good() -> None:
    history = group_of_two("info")
    history.poll("b", (0, 10))
    history.send("z", 12, 3)  # begins when 10 was visible, and so stands behind 11
    assert kinds(check(history)) == ["unseen"]
    history.poll("b", (3, 12))
    (found,) = check(history)
    assert (found.kind, found.data["missing"], found.data["behind"]) == ("G1b", 11, 12)


def test_a_value_that_may_stand_behind_the_last_one_is_not_missed() -> None:
    history = History()
    op = history.begin("z", "send", [["send", KEY, 12]])
    history.txn("a", sent(10, None), sent(11, None), kind="info")
    history.poll("b", (0, 10))
    history.end(op, "ok", [sent(12, 1)])
    history.poll("b", (1, 12))
    assert check(history) == []


def test_a_hundred_of_a_kind_and_the_number_of_all() -> None:
    history = History()
    for value in range(250):
        history.send("a", value, value)
    history.poll("b", (249, 249))
    found = check(history)
    assert kinds(found) == ["lost-write"] * 100 + ["unseen"] * 100
    assert found[99].data["of"] == found[199].data["of"] == 249


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32))
def test_a_log_that_keeps_its_promises_is_not_accused(seed: int) -> None:
    assert queue.check(Analysis.of(simulate(seed).events)) == []


def _acknowledged(world: World) -> list[tuple[str, int]]:
    """Key and offset of the acknowledged sends."""
    return [
        (micro[1], micro[2][0])
        for event in world.events
        if event.type == "ok" and event.f in ("send", "txn")
        for micro in event.value
        if micro[0] == "send"
    ]


def lose(world: World) -> None:
    key, offset = world.random.choice(_acknowledged(world))
    world.logs[key].entries[offset].value = None


def lose_the_end(world: World) -> None:
    key, offset = world.random.choice(_acknowledged(world))
    del world.logs[key].entries[offset:]


def double(world: World) -> None:
    key, offset = world.random.choice(_acknowledged(world))
    world.logs[key].append(world.logs[key].entries[offset].value)


def exchange(world: World) -> None:
    key, offset = world.random.choice(_acknowledged(world))
    entries = world.logs[key].entries
    entries[offset], entries[offset - 1] = entries[offset - 1], entries[offset]
    for entry in entries[offset - 1], entries[offset]:
        entry.txn = None
        if entry.value is None:
            entry.value = -1


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lose, {"lost-write", "unseen"}),
        (lose_the_end, {"lost-write", "unseen"}),
        (double, {"duplicate"}),
        (exchange, {"inconsistent-offsets"}),
    ],
)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_broken_promise_is_found(spoil: Callable[[World], None], expected: set[str], seed: int) -> None:
    found = kinds(queue.check(Analysis.of(simulate(seed, spoil).events)))
    assert expected & set(found), found


def test_a_long_history() -> None:
    """By all checkers that work on the analysis; `simulated_log` tells how long a million takes."""
    events = acknowledged(30_000)
    analysis = Analysis.of(events)
    assert [*queue.check(analysis), *order.check(analysis), *cycles.check(analysis)] == []
    lost = next(place for place, event in enumerate(events) if event.type == "ok" and event.f == "poll")
    (pairs,) = events[lost].value[0][1].values()
    gone = pairs.pop(77)  # from both polls that saw it
    analysis = Analysis.of(events)
    found = [*queue.check(analysis), *order.check(analysis)]
    assert {(a.kind, a.data.get("value")) for a in found} == {
        ("lost-write", gone[1]),
        ("unseen", gone[1]),
        ("int-poll-skip", None),
    }
