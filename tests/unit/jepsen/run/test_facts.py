"""What is counted of a history."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from odradek.jepsen.history import NEMESIS, Event, Writer, pair
from odradek.jepsen.run import facts
from odradek.jepsen.run.record import FinalReader


def _fault(number: int, name: str, phase: str, **told: Any) -> Event:
    value = {"fault": number, "name": name, "phase": phase, **told}
    return Event(number, NEMESIS, number, "info", "fault", value)


_FAULTS = [
    _fault(1, "kill", "start"),
    _fault(1, "kill", "stop"),
    _fault(2, "power-all", "start", disks={"1": {"lost": 5}, "2": {"lost": 6}}),
    _fault(3, "power-one", "start", disks={"1": {"torn": "Input/output error"}}),
    _fault(4, "power-one", "failed"),
    Event(9, NEMESIS, 9, "info", "phase", "healing"),
]


def test_faults_that_began_are_counted_and_failed_ones_are_not() -> None:
    assert facts.count_faults(_FAULTS) == {"kill": 1, "power-all": 1, "power-one": 1}


def test_faults_that_did_nothing_are_not_counted() -> None:
    assert facts.count_faults([_fault(1, "link-slow", "start", did=False)]) == {}


def test_power_cuts_are_counted_and_those_of_all_nodes_apart() -> None:
    assert facts.count_power_cuts(_FAULTS) == (2, 1)
    assert facts.lost_in_power_cuts(_FAULTS) == 11


def test_a_power_cut_that_left_a_disk_as_it_was_is_none() -> None:
    kept = {"1": {"lost": 5}, "2": {"kept": "does not stand still"}}
    faults = [_fault(1, "power-all", "start", disks=kept), _fault(2, "power-one", "start", disks={})]
    assert facts.count_power_cuts(faults) == (0, 0)
    assert facts.lost_in_power_cuts(faults) == 0


def test_disks_of_the_parts_of_a_fault_count() -> None:
    def cut(**disk: Any) -> Event:
        parts = {"pause": {"nodes": [2]}, "power-one": {"nodes": [1], "disks": {"1": disk}}}
        return _fault(1, "pause-power-cut", "start", parts=parts)

    assert facts.count_power_cuts([cut(lost=7)]) == (1, 0)
    assert facts.lost_in_power_cuts([cut(lost=7)]) == 7
    assert facts.count_power_cuts([cut(kept="no copy")]) == (0, 0)


def _final_poll(op: int, key: str, last: int, process: str = "final") -> list[Event]:
    invoke = Event(op, process, op, "invoke", "poll", [["poll"]], None, {"final": True})
    told = [["poll", {key: [[last - 1, 7], [last, 8]]}]]
    return [invoke, invoke._replace(type="ok", value=told)]


def test_keys_whose_end_the_final_reader_of_a_door_did_not_reach_are_named() -> None:
    operations = pair([*_final_poll(1, "a/0", 9), *_final_poll(2, "b/0", 9)])
    ends, keys = {"a/0": 10, "b/0": 11, "empty/0": 0}, ["a/0", "b/0", "empty/0"]
    reader = FinalReader("final", "kafka", keys)
    assert facts.unread(ends, [*keys, "silent/0"], [reader], operations) == ["b/0 (kafka)", "silent/0"]


def test_every_door_has_to_reach_every_end() -> None:
    readers = [FinalReader("k", "kafka", ["a/0"]), FinalReader("g", "grpc", ["a/0"])]
    kafka = _final_poll(1, "a/0", 9, "k")
    assert facts.unread({"a/0": 10}, ["a/0"], readers, pair(kafka)) == ["a/0 (grpc)"]
    both = pair([*kafka, *_final_poll(2, "a/0", 9, "g")])
    assert facts.unread({"a/0": 10}, ["a/0"], readers, both) == []


def test_what_nobody_was_to_read_is_not_read() -> None:
    assert facts.unread({"a/0": 10, "empty/0": 0}, ["a/0", "empty/0"], [], []) == ["a/0"]


def test_a_poll_before_the_end_is_no_final_read() -> None:
    invoke, told = _final_poll(1, "a/0", 9)
    operations = pair([invoke._replace(more=None), told])
    reader = FinalReader("final", "kafka", ["a/0"])
    assert facts.unread({"a/0": 10}, ["a/0"], [reader], operations) == ["a/0 (kafka)"]


def test_keys_that_acknowledged_are_found_while_histories_grow(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "a-send-0.jsonl")
    writer.write(Event(1, "a", 0, "invoke", "send", [["send", "a/0", 1]]), Event(1, "a", 1, "invoke", "send"))
    assert facts.acknowledged_keys(tmp_path.glob("*-send-*.jsonl")) == set()
    writer.write(Event(2, "a", 0, "ok", "send", [["send", "a/0", [0, 1]]]))
    assert facts.acknowledged_keys(tmp_path.glob("*-send-*.jsonl")) == {"a/0"}


def test_outside_of_a_checkout_the_commit_is_unknown(tmp_path: Path) -> None:
    assert facts.commit_of(tmp_path) == "unknown"
