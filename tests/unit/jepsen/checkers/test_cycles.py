"""Cycles and inversions of time in histories written by hand, beside ones that are right; then in simulated ones."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.jepsen.checkers.hand_made import KEY, History, asked, got, kinds, sent
from tests.unit.jepsen.checkers.simulated_log import simulate

from odradek.jepsen.checkers import cycles
from odradek.jepsen.checkers.analysis import Analysis
from odradek.jepsen.checkers.anomaly import Anomaly
from odradek.jepsen.checkers.cycles import Edge, components, shortest_cycle
from odradek.jepsen.checkers.verdict import Policy

OTHER = "q/1"


def check(history: History) -> list[Anomaly]:
    return cycles.check(Analysis.of(history.events))


def together(history: History, *operations: tuple[str, list[object]]) -> None:
    """Transactions that all overlap."""
    begun = [(history.begin(process, "txn", asked(told)), told) for process, told in operations]
    for op, told in begun:
        history.end(op, "ok", told)


@pytest.mark.parametrize(("offsets", "expected"), [((0, 1), []), ((1, 0), ["G0"])])
def test_a_cycle_of_writes(offsets: tuple[int, int], expected: list[str]) -> None:
    history = History()
    a, b = offsets
    together(
        history,
        ("a", [sent(1, 0), sent(2, a, OTHER)]),
        ("b", [sent(3, 1), sent(4, b, OTHER)]),
    )
    found = check(history)
    assert kinds(found) == expected
    for anomaly in found:
        assert not Policy().is_fatal(anomaly)
        assert [(edge["kind"], edge["key"]) for edge in anomaly.data["edges"]] == [("ww", KEY), ("ww", OTHER)]
        assert [event.process for event in anomaly.evidence] == ["a", "a", "b", "b"]


def test_information_that_flows_in_a_circle() -> None:
    history = History()
    together(
        history,
        ("a", [sent(1, 0), got((0, 2), key=OTHER)]),
        ("b", [sent(2, 0, OTHER), got((0, 1))]),
    )
    (found,) = check(history)
    assert (found.kind, found.data["pure"], found.data["length"]) == ("G1c", True, 2)
    assert Policy().is_fatal(found)
    assert [edge["kind"] for edge in found.data["edges"]] == ["wr", "wr"]
    assert found.detail.count("polled") == 2


def test_information_that_flows_one_way() -> None:
    history = History()
    together(
        history,
        ("a", [sent(1, 0), got()]),
        ("b", [sent(2, 0, OTHER), got((0, 1))]),
        ("c", [sent(3, 1, OTHER), got((0, 2), key=OTHER)]),
    )
    assert check(history) == []


def test_a_cycle_of_a_write_and_a_read() -> None:
    history = History()
    together(
        history,
        ("a", [sent(1, 1), sent(2, 0, OTHER)]),
        ("b", [sent(3, 0), got((0, 2), key=OTHER)]),
    )
    (found,) = check(history)
    assert (found.kind, found.data["pure"]) == ("G1c", False)
    assert {edge["kind"] for edge in found.data["edges"]} == {"ww", "wr"}
    assert not Policy().is_fatal(found)


def test_beside_a_cycle_of_writes_one_with_a_read_is_shown() -> None:
    history = History()
    together(
        history,
        ("a", [sent(1, 0), sent(2, 1, OTHER), got((0, 7), key="q/2")]),
        ("b", [sent(3, 1), sent(4, 0, OTHER)]),
        ("c", [sent(5, 2), sent(7, 0, "q/2")]),
    )
    writes, both = check(history)
    assert (writes.kind, both.kind, both.data["pure"]) == ("G0", "G1c", False)
    assert "wr" in [edge["kind"] for edge in both.data["edges"]]


def test_a_cycle_through_a_single_send() -> None:
    """a wrote before s in a key, b polled s, and a polled b."""
    history = History()
    begun = history.begin("a", "txn", [["send", KEY, 1], ["poll"]])
    single = history.begin("s", "send", [["send", KEY, 2]])
    other = history.begin("b", "txn", [["poll"], ["send", OTHER, 3]])
    history.end(single, "ok", [sent(2, 1)])
    history.end(other, "ok", [got((1, 2)), sent(3, 0, OTHER)])
    history.end(begun, "ok", [sent(1, 0), got((0, 3), key=OTHER)])
    (found,) = check(history)
    assert (found.kind, found.data["length"]) == ("G1c", 3)
    assert sorted(edge["kind"] for edge in found.data["edges"]) == ["wr", "wr", "ww"]


def test_a_failed_transaction_is_no_part_of_a_cycle() -> None:
    history = History()
    first = history.begin("a", "txn", [["send", KEY, 1], ["poll"]])
    second = history.begin("b", "txn", [["send", OTHER, 2], ["poll"]])
    history.end(first, "fail", [sent(1, 0), got((0, 2), key=OTHER)])
    history.end(second, "ok", [sent(2, 0, OTHER), got((0, 1))])
    assert check(history) == []


def test_a_record_that_was_acknowledged_stands_before_those_sent_later() -> None:
    history = History()
    history.send("a", 1, 0)
    history.send("b", 2, 1)
    assert check(history) == []
    history.send("c", 3, 5)
    history.send("d", 4, 3)
    (found,) = check(history)
    assert (found.kind, found.data["values"], found.data["offsets"]) == ("realtime-order", [4, 3], [3, 5])
    assert found.data["by"] == "acknowledged"
    assert Policy().is_fatal(found)


def test_a_record_that_was_polled_stands_before_those_sent_later() -> None:
    history = History()
    op = history.begin("a", "send", [["send", KEY, 1]])
    history.poll("r", (5, 1))
    history.send("b", 2, 6)
    assert check(history) == []
    history.send("c", 3, 4)
    history.end(op, "ok", [sent(1, 5)])
    (found,) = check(history)
    assert (found.kind, found.data["by"], found.evidence[-1].process) == ("realtime-order", "polled", "r")


def test_the_first_poll_of_a_record_counts() -> None:
    history = History()
    for value, key in [(1, KEY), (2, KEY)]:
        history.begin(f"a{value}", "send", [["send", key, value]])
    history.poll("r", (6, 1))
    history.send("c", 3, 4)
    history.poll("r", (6, 1), (7, 2))
    assert [anomaly.data["values"] for anomaly in check(history)] == [[3, 1]]


def test_what_was_known_first_counts_wherever_it_stands_behind() -> None:
    history = History()
    late = history.begin("y", "send", [["send", KEY, 2]])
    history.send("z", 3, 5)
    history.send("x", 1, 3)
    history.end(late, "ok", [sent(2, 4)])
    assert [anomaly.data["values"] for anomaly in check(history)] == [[1, 3]]


def test_sends_that_overlap_stand_in_any_order() -> None:
    history = History()
    first = history.begin("a", "send", [["send", KEY, 1]])
    history.send("b", 2, 0)
    history.end(first, "ok", [sent(1, 1)])
    assert check(history) == []
    late = History()
    late.send("a", 1, None, "info")
    late.send("b", 2, 0)
    late.poll("r", (0, 2), (1, 1))
    assert check(late) == []


def test_a_poll_of_what_had_not_been_sent() -> None:
    history = History()
    history.poll("r", (0, 1))
    history.send("a", 1, 0)
    (found,) = check(history)
    assert (found.kind, found.data["value"]) == ("G1c-realtime", 1)
    assert Policy().is_fatal(found)
    same = History()
    same.txn("a", got((0, 1)))
    same.send("a", 1, 0)
    assert kinds(check(same)) == ["G1c-process"]
    several = History()
    several.txn("r", got((0, 1)), sent(2, 0, OTHER))
    several.txn("a", sent(1, 0), sent(3, 1))
    assert kinds(check(several)) == ["G1c-realtime"]


def test_a_chain_of_reads_that_begins_after_its_end() -> None:
    """c polled what b wrote, b polled what a wrote, and c was over before a began."""
    history = History()
    second = history.begin("b", "txn", [["poll"], ["send", OTHER, 2]])
    history.txn("c", got((0, 2), key=OTHER), sent(3, 0, "q/2"))
    history.txn("a", sent(1, 0), sent(4, 1))
    history.end(second, "ok", [got((0, 1)), sent(2, 0, OTHER)])
    (found,) = check(history)
    assert (found.kind, found.data["from"][0], found.data["to"][0]) == ("G1c-realtime", "a", "c")
    poller = History()
    poller.events = [
        event._replace(f="poll", value=event.value[:1]) if event.process == "c" else event
        for event in history.events
    ]
    (found,) = check(poller)
    assert (found.kind, found.data["from"][0], found.data["to"][0]) == ("G1c-realtime", "a", "c")
    history.events[1:3], history.events[3:5] = history.events[3:5], history.events[1:3]
    ordered = History()
    ordered.events = [event._replace(time=time) for time, event in enumerate(history.events)]
    assert check(ordered) == []


def graph(*pairs: tuple[int, int]) -> cycles.Graph:
    found: cycles.Graph = {}
    for source, target in pairs:
        found.setdefault(source, {})[target] = Edge(source, target, "ww", KEY, (0, 0))
    return found


@pytest.mark.parametrize("seed", range(20))
def test_components_are_those_of_reachability(seed: int) -> None:
    random = Random(seed)
    edges = [(random.randrange(12), random.randrange(12)) for _ in range(18)]
    made = graph(*[(a, b) for a, b in edges if a != b])
    reach = {node: {node} for node in range(12)}
    for _ in range(12):
        for source, targets in made.items():
            for target in targets:
                for near in reach.values():
                    if source in near:
                        near.add(target)
    expected = {frozenset(b for b in range(12) if b in reach[a] and a in reach[b]) for a in range(12)}
    assert {frozenset(c) for c in components(made)} == {c for c in expected if len(c) > 1}


def test_the_shortest_cycle() -> None:
    made = graph((1, 2), (2, 3), (3, 4), (4, 1), (3, 5), (5, 2))
    cycle = shortest_cycle(made, [1, 2, 3, 4, 5])
    assert [edge.source for edge in cycle] == [2, 3, 5]
    assert shortest_cycle(made, [1, 2, 3, 4, 5], "wr") == []


def test_a_long_chain_needs_no_recursion() -> None:
    size = 5_000
    made = graph(*[(node, (node + 1) % size) for node in range(size)])
    (component,) = components(made)
    assert len(component) == size
    assert len(shortest_cycle(made, component)) == size


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32))
def test_a_log_that_keeps_its_promises_is_not_accused(seed: int) -> None:
    found = cycles.check(Analysis.of(simulate(seed).events))
    assert [anomaly for anomaly in found if Policy().is_fatal(anomaly)] == []


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
def test_a_send_that_begins_after_it_was_polled_is_found(seed: int) -> None:
    world = simulate(seed)
    sends = {event.op: place for place, event in enumerate(world.events) if event.f == "send"}
    place = world.random.choice([place for place in sends.values() if world.events[place].type == "ok"])
    ok = world.events[place]
    end = len(world.events)
    begun = next(n for n, event in enumerate(world.events) if event.op == ok.op and event.type == "invoke")
    world.events[begun] = world.events[begun]._replace(time=end)
    world.events[place] = ok._replace(time=end + 1)
    world.events.sort(key=lambda event: event.time)
    assert "G1c-realtime" in kinds(cycles.check(Analysis.of(world.events)))
