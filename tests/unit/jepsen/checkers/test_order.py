"""Each anomaly of order in a history written by hand, beside one that is right; then in simulated ones."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.jepsen.checkers.hand_made import KEY, History, got, kinds, sent
from tests.unit.jepsen.checkers.simulated_log import World, simulate

from odradek.jepsen.checkers import order
from odradek.jepsen.checkers.analysis import Analysis
from odradek.jepsen.checkers.anomaly import Anomaly
from odradek.jepsen.checkers.verdict import Policy
from odradek.jepsen.history import Type


def check(history: History) -> list[Anomaly]:
    return order.check(Analysis.of(history.events))


def log_of(*values: int) -> History:
    """Somebody saw these values from offset 0 on, in steps of 10, so that there are holes."""
    history = History()
    history.poll("all", *[(place * 10, value) for place, value in enumerate(values)])
    return history


@pytest.mark.parametrize(
    ("reads", "expected"),
    [
        ([(0, 1), (10, 2), (20, 3)], []),
        ([(0, 1), (20, 3)], ["int-poll-skip"]),
        ([(10, 2), (0, 1)], ["int-nonmonotonic-poll"]),
        ([(10, 2), (10, 2)], ["int-nonmonotonic-poll"]),
        ([(20, 3), (30, 4)], []),
    ],
)
def test_inside_one_poll(reads: list[tuple[int, int]], expected: list[str]) -> None:
    history = log_of(1, 2, 3, 4)
    history.poll("r", *reads)
    assert kinds(check(history)) == expected
    history.poll("s", *reads, rebalanced=[KEY])
    assert kinds(check(history)) == expected


def test_between_the_polls_of_one_operation() -> None:
    history = log_of(1, 2, 3, 4)
    history.txn("r", got((0, 1)), got((10, 2), (20, 3)))
    assert check(history) == []
    history.txn("s", got((0, 1)), got((20, 3)))
    (found,) = check(history)
    assert (found.kind, found.data["skipped"], found.data["skipped_count"]) == ("int-poll-skip", [2], 1)
    assert [event.process for event in found.evidence] == ["s"]


@pytest.mark.parametrize(
    ("second", "expected"),
    [([(10, 2)], []), ([(20, 3)], ["poll-skip"]), ([(0, 1)], ["nonmonotonic-poll"])],
)
def test_between_two_polls(second: list[tuple[int, int]], expected: list[str]) -> None:
    history = log_of(1, 2, 3)
    history.assign("r", KEY)
    history.poll("r", (0, 1))
    history.poll("other", (20, 3))
    history.poll("r")
    history.poll("r", *second)
    found = check(history)
    assert kinds(found) == expected
    for anomaly in found:
        assert anomaly.data["via"] == "assign"
        assert Policy().is_fatal(anomaly)
        assert [event.process for event in anomaly.evidence] == ["r", "r"]


def test_a_subscriber_may_skip() -> None:
    history = log_of(1, 2, 3)
    history.subscribe("r", "q")
    history.poll("r", (0, 1))
    history.poll("r", (20, 3))
    (found,) = check(history)
    assert (found.kind, found.data["via"]) == ("poll-skip", "subscribe")
    assert not Policy().is_fatal(found)


@pytest.mark.parametrize(
    "what", ["subscribe", "crash", "assigned", "revoked", "rebalanced", "corrupt", "assign"]
)
def test_what_a_reader_forgets(what: str) -> None:
    history = log_of(1, 2, 3)
    history.poll("r", (0, 1))
    more: dict[str, Any] = {}
    match what:
        case "subscribe":
            history.subscribe("r", "q")
        case "crash":
            history.end(history.begin("r", "crash", None), "info", None)
        case "assigned" | "revoked":
            op = history.begin("r", what, {"group": "g", "member": "m", "keys": [KEY]})
            history.end(op, "ok", {"group": "g", "member": "m", "keys": [KEY]})
            del history.events[-2]  # a remark has no invocation
        case "rebalanced":
            more = {"rebalanced": [KEY]}
        case "corrupt":
            more = {"corrupt": [{"key": KEY, "offset": 10, "reason": "CRC"}]}
        case "assign":
            history.assign("r", "q/1")
            history.assign("r", KEY, "q/1")
    history.poll("r", (20, 3), **more)
    assert check(history) == []


@pytest.mark.parametrize(("kind", "told"), [("fail", True), ("info", True), ("info", False)])
def test_a_reader_may_go_back_after_what_failed(kind: Type, told: bool) -> None:
    history = log_of(1, 2, 3)
    history.poll("r", (0, 1))
    op = history.begin("r", "txn", [["poll"]])
    history.end(op, kind, [got((20, 3))] if told else [["poll"]])
    history.poll("r", (20, 3))
    assert check(history) == []


def test_an_assign_that_keeps_a_key_keeps_its_place() -> None:
    history = log_of(1, 2, 3)
    history.assign("r", KEY)
    history.poll("r", (0, 1))
    history.assign("r", "q/1", KEY, seek={"q/1": 5})
    history.poll("r", (20, 3))
    assert kinds(check(history)) == ["poll-skip"]


@pytest.mark.parametrize(
    ("seek", "first", "expected"),
    [
        ("beginning", (0, 1), []),
        ("beginning", (10, 2), ["poll-skip"]),
        ({KEY: 10}, (10, 2), []),
        ({KEY: 5}, (10, 2), []),
        ({KEY: 10}, (20, 3), ["poll-skip"]),
        ({KEY: 11}, (10, 2), ["nonmonotonic-poll"]),
    ],
)
def test_a_reader_begins_where_it_seeks(seek: Any, first: tuple[int, int], expected: list[str]) -> None:
    history = log_of(1, 2, 3)
    history.assign("r", KEY)
    history.poll("r", (0, 1), (10, 2), (20, 3))
    history.assign("r", KEY, seek=seek)
    history.poll("r", first)
    assert kinds(check(history)) == expected


def test_sends_of_one_transaction() -> None:
    history = History()
    history.txn("a", sent(1, 0), sent(2, 1), sent(3, 0, "q/1"))
    history.txn("a", sent(4, 2), sent(6, 4))
    history.txn("b", sent(5, 3))
    (skip,) = check(history)
    assert (skip.kind, skip.data["between"]) == ("int-send-skip", [5])
    assert not Policy().is_fatal(skip)
    history.txn("c", sent(8, 6), sent(7, 5))
    found = check(history)
    assert kinds(found) == ["int-send-skip", "int-nonmonotonic-send"]
    assert Policy().is_fatal(found[1])


def test_sends_of_a_failed_transaction_have_no_order() -> None:
    history = History()
    history.txn("a", sent(1, None), sent(2, None), kind="fail")
    history.poll("r", (0, 2), (1, 1))
    assert check(history) == []


def test_the_highest_acknowledged_offset_counts() -> None:
    history = History()
    for value, offset in enumerate([0, 5, 3, 4]):
        history.send("a", value, offset)
    assert [anomaly.data["offsets"] for anomaly in check(history)] == [[5, 3], [5, 4]]


def test_sends_of_one_process() -> None:
    history = History()
    history.send("a", 1, 0)
    history.send("b", 2, 2)
    history.send("a", 3, 1)
    assert check(history) == []
    history.send("b", 4, 1)
    (found,) = check(history)
    assert (found.kind, found.data["values"], found.data["offsets"]) == ("nonmonotonic-send", [2, 4], [2, 1])
    assert Policy().is_fatal(found)
    assert [(event.process, event.type) for event in found.evidence] == [("b", "invoke"), ("b", "ok")] * 2


@pytest.mark.parametrize(("ordered", "expected"), [(True, ["nonmonotonic-send"]), (False, [])])
def test_pipelined_sends_are_in_the_order_of_their_invocations(ordered: bool, expected: list[str]) -> None:
    history = History()
    more = {} if ordered else {"ordered": False}
    first = history.begin("a", "send", [["send", KEY, 1]], **more)
    second = history.begin("a", "send", [["send", KEY, 2]], **more)
    history.end(second, "ok", [sent(2, 0)])
    history.end(first, "ok", [sent(1, 1)])
    assert kinds(check(history)) == expected
    history.send("a", 3, 2, ordered=ordered)
    assert kinds(check(history)) == expected
    history.send("a", 4, 0, key="q/1", ordered=ordered)
    history.send("a", 5, 1, ordered=ordered)
    assert kinds(check(history)) == [*expected, "nonmonotonic-send"]


def test_a_send_of_unknown_outcome_may_land_late_but_not_early() -> None:
    history = History()
    history.send("a", 1, 1)
    history.send("a", 2, None, "info")
    history.send("a", 3, 2)
    history.poll("r", (1, 1), (2, 3), (3, 2))
    assert check(history) == []
    history.send("a", 4, None, "info")
    history.poll("r", (0, 4), rebalanced=[KEY])
    (found,) = check(history)
    assert (found.kind, found.data["values"]) == ("nonmonotonic-send", [3, 4])


def test_a_hundred_of_a_kind_and_the_number_of_all() -> None:
    history = History()
    for value in range(300):
        history.send("a", value, 300 - value)
    found = check(history)
    assert kinds(found) == ["nonmonotonic-send"] * 100
    assert found[-1].data["of"] == 299


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32))
def test_a_log_that_keeps_its_promises_is_not_accused(seed: int) -> None:
    found = order.check(Analysis.of(simulate(seed).events))
    assert [anomaly for anomaly in found if Policy().is_fatal(anomaly)] == []


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
def test_a_record_that_a_reader_was_not_given_is_found(seed: int) -> None:
    def hide(world: World) -> None:
        """From one poll of somebody, in the middle of what it saw of a key."""
        polls = [
            pairs
            for event in world.events
            if event.type == "ok" and event.f == "poll" and not (event.more or {}).get("rebalanced")
            for pairs in event.value[0][1].values()
            if len(pairs) > 2
        ]
        if polls:
            del world.random.choice(polls)[1]
            hidden.append(True)

    hidden: list[bool] = []
    found = order.check(Analysis.of(simulate(seed, hide).events))
    assert not hidden or "int-poll-skip" in kinds(found)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
def test_acknowledgements_out_of_order_are_found(seed: int) -> None:
    """Two sends of one process to one key get each other's offset."""
    world = simulate(seed)
    acknowledged_by: dict[tuple[str, str], list[list[Any]]] = {}
    for event in world.events:
        if event.type == "ok" and event.f == "send":
            ((_, key, told),) = event.value
            acknowledged_by.setdefault((event.process, key), []).append(told)
    for several in acknowledged_by.values():
        if len(several) > 1:
            several[0][0], several[1][0] = several[1][0], several[0][0]
            break
    values = {told[1] for told in several[:2]}
    for event in world.events:  # and so they stand in the log, for whoever reads it
        for micro in event.value or () if event.type != "invoke" and event.f in ("poll", "txn") else ():
            for pairs in micro[1].values() if micro[0] == "poll" and len(micro) > 1 else ():
                for pair in pairs:
                    if pair[1] in values:
                        (pair[1],) = values - {pair[1]}
    assert "nonmonotonic-send" in kinds(order.check(Analysis.of(world.events)))
