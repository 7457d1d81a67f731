"""What ends a run as invalid, what leaves it unknown, and that a run which did nothing proves nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from odradek.jepsen.checkers.anomaly import Anomaly
from odradek.jepsen.checkers.verdict import (
    GAVE_UP,
    LOST_ANSWERS,
    LOST_BYTES,
    MOST_ANOMALIES,
    MOST_EVENTS,
    Asked,
    Capability,
    Policy,
    Recovery,
    RunFacts,
    count_acknowledged,
    count_operations,
    judge,
    of_recoveries,
    promises_of,
    quantile,
)
from odradek.jepsen.history import Event, pair

FACTS = RunFacts(
    seed=7,
    command="python -m odradek.jepsen run --seed 7",
    acknowledged=2_000,
    faults={"kill": 2},
    duration_s=1.5,
)


def _verdict(*anomalies: Anomaly, policy: Policy | None = None, facts: RunFacts = FACTS) -> object:
    return judge({"queue": anomalies}, policy or Policy(), facts).valid


@pytest.mark.parametrize(
    "kind",
    [
        "inconsistent-offsets",
        "duplicate",
        "lost-write",
        "unseen",
        "G1a",
        "G1b",
        "G1c-process",
        "G1c-realtime",
        "precommitted-read",
        "int-poll-skip",
        "int-nonmonotonic-poll",
        "int-nonmonotonic-send",
        "nonmonotonic-send",
        "poll-skip",
        "nonmonotonic-poll",
        "replica-divergence",
        "server-crash",
        "a kind that nobody has heard of",
    ],
)
def test_what_is_not_allowed_by_name_is_fatal(kind: str) -> None:
    assert _verdict(Anomaly(kind, "")) is False


@pytest.mark.parametrize("kind", ["int-send-skip", "G0", "G0-process", "G0-realtime", "G1c", "realtime-lag"])
def test_what_kafka_does_by_design_and_metrics_are_not_fatal(kind: str) -> None:
    assert _verdict(Anomaly(kind, "")) is True


@pytest.mark.parametrize("kind", ["poll-skip", "nonmonotonic-poll"])
def test_a_reader_that_subscribes_may_skip_and_go_back(kind: str) -> None:
    subscribing = Policy(subscribe=True)
    assert _verdict(Anomaly(kind, ""), policy=subscribing) is True
    assert _verdict(Anomaly(kind, "", data={"via": "assign"}), policy=subscribing) is False
    assert _verdict(Anomaly(kind, "", data={"via": "subscribe"})) is True
    assert _verdict(Anomaly("int-" + kind, ""), policy=subscribing) is False


def test_a_cycle_of_reads_alone_is_fatal() -> None:
    assert _verdict(Anomaly("G1c", ""), policy=Policy(write_edges=False)) is False
    assert _verdict(Anomaly("G1c", "", data={"pure": True})) is False
    assert _verdict(Anomaly("G1c", "", data={"pure": False}), policy=Policy(write_edges=False)) is True


def test_a_checker_that_gave_up_leaves_it_open_unless_another_found_something() -> None:
    gave_up = Anomaly(GAVE_UP, "10,000,000 states")
    assert _verdict(gave_up) == "unknown"
    assert _verdict(gave_up, Anomaly("duplicate", "")) is False
    verdict = judge({"linearizability": [gave_up], "queue": []}, Policy(), FACTS)
    assert (verdict.status("linearizability"), verdict.status("queue")) == ("gave up", "passed")
    assert verdict.reasons == ["linearizability gave up: 10,000,000 states"]


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (Asked(acknowledged=2_001), "acknowledged records: 2,000 of at least 2,001"),
        (Asked(faults=3), "faults: 2 of at least 3"),
        (Asked(power_cuts=1), "power cuts: 0 of at least 1"),
        (Asked(power_cuts_of_all=2), "power cuts on all nodes: 0 of at least 2"),
        (Asked(faults_by_kind={"kill": 3, "pause": 1}), "planned faults: never injected: pause"),
    ],
)
def test_a_run_that_did_less_than_asked_proves_nothing(asked: Asked, reason: str) -> None:
    verdict = judge({}, Policy(), replace(FACTS, asked=asked))
    assert verdict.valid == "unknown"
    assert verdict.reasons == [reason]


def test_a_run_that_did_as_much_as_asked_is_valid() -> None:
    enough = Asked(acknowledged=2_000, faults=2, faults_by_kind={"kill": 2})
    assert judge({"queue": []}, Policy(), replace(FACTS, asked=enough)).valid is True


def test_a_run_without_a_single_acknowledged_record_proves_nothing() -> None:
    assert _verdict(facts=replace(FACTS, acknowledged=0)) == "unknown"


def test_a_key_without_its_final_read_leaves_it_open() -> None:
    verdict = judge({}, Policy(), replace(FACTS, unread_keys=["q0/1"]))
    assert verdict.reasons == ["final reads: 1 not read to the end: q0/1"]
    assert verdict.exit_code == 2


def test_json_has_all_counts_and_the_first_anomalies() -> None:
    event = Event(5, "kafka-1", 3, "ok", "send", [["send", "q0/0", [4, 9]]])
    lost = [
        Anomaly("lost-write", f"{n}", [event] * (MOST_EVENTS + 1), {"value": n})
        for n in range(MOST_ANOMALIES + 5)
    ]
    facts = replace(FACTS, recoveries={"kill": [0.5, 2.0], "pause": []}, operations={"send": {"ok": 3}})
    verdict = judge({"queue": lost, "order": []}, Policy(), facts)
    told = json.loads(json.dumps(verdict.to_json()))
    assert told["valid"] is False
    assert told["counts"] == {"lost-write": MOST_ANOMALIES + 5}
    assert len(told["anomalies"]) == MOST_ANOMALIES
    assert len(told["anomalies"][0]["evidence"]) == MOST_EVENTS
    assert told["anomalies"][0]["evidence"][0]["value"] == [["send", "q0/0", [4, 9]]]
    assert told["checkers"] == {"queue": "failed", "order": "passed"}
    assert told["recoveries"] == {"kill": {"times": 2, "p50": 0.5, "p99": 2.0, "max": 2.0}}
    assert (told["seed"], told["command"]) == (7, FACTS.command)


def test_the_last_lines_of_a_valid_run() -> None:
    facts = replace(
        FACTS,
        commit="abc",
        power_cuts=2,
        power_cuts_of_all=1,
        recoveries={"kill": [0.5, 2.0], "pause": [0.1]},
        availability=0.987,
        capabilities=[Capability("netem", False, "not in this kernel"), Capability("nft", True)],
    )
    assert judge({"order": [Anomaly("G0", "")]}, Policy(), facts).lines() == [
        "VALID: 2,000 acknowledged records, 2 faults, 2 power cuts (1 on all nodes): "
        "nothing lost, doubled or reordered",
        "  allowed: 1 G0",
        "  recovery from 3 faults: p50 0.50 s, p99 2.00 s, slowest kill 2.00 s, pause 0.10 s",
        "  availability: 98.70%",
        "  not possible on this machine: netem (not in this kernel)",
        "  again: python -m odradek.jepsen run --seed 7  # seed 7, commit abc",
    ]


def test_the_last_lines_of_an_invalid_run_show_some_of_each_kind() -> None:
    lost = [Anomaly("lost-write", f"value {n} of q0/0") for n in range(9)]
    lines = judge({"queue": [*lost, Anomaly("duplicate", "value 3 twice")]}, Policy(), FACTS).lines()
    assert lines[0] == "INVALID: 9 lost-write, 1 duplicate; 2,000 acknowledged records, 2 faults"
    assert [line.split(":")[0].strip() for line in lines[1:-1]] == ["lost-write (queue)"] * 3 + [
        "duplicate (queue)"
    ]


def test_what_a_checker_counted_and_did_not_keep_is_counted() -> None:
    verdict = judge(
        {
            "queue": [Anomaly("unseen", "", data={}), Anomaly("unseen", "", data={"of": 5_000})],
            "groups": [Anomaly("unseen", "")],
        },
        Policy(),
        FACTS,
    )
    assert verdict.counts == {"unseen": 5_001}
    assert verdict.lines()[0].startswith("INVALID: 5,001 unseen; ")


def test_operations_are_counted_by_what_became_of_them() -> None:
    operations = pair(
        [
            Event(1, "a", 0, "invoke", "send", [["send", "q/0", 1]]),
            Event(2, "a", 0, "ok", "send", [["send", "q/0", [0, 1]]]),
            Event(3, "a", 1, "invoke", "txn", [["send", "q/0", 2], ["poll"], ["send", "q/1", 3]]),
            Event(4, "a", 1, "ok", "txn", [["send", "q/0", [1, 2]], ["poll", {}], ["send", "q/1", [0, 3]]]),
            Event(5, "a", 2, "invoke", "send", [["send", "q/0", 4]]),
        ]
    )
    assert count_operations(operations) == {"send": {"info": 1, "ok": 1}, "txn": {"ok": 1}}
    assert count_acknowledged(operations) == 3


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([1.0], 0.5, 1.0), ([1.0, 2.0], 0.5, 1.0), ([1.0, 2.0, 3.0], 0.5, 2.0), (list(range(1, 101)), 0.99, 99)],
)
def test_quantiles_are_values_that_were_measured(values: list[float], share: float, expected: float) -> None:
    assert quantile(values, share) == expected


def test_recoveries_are_summarised_in_any_order() -> None:
    assert of_recoveries([3.0, 1.0, 2.0]) == Recovery(3, 2.0, 3.0, 3.0)


@pytest.mark.parametrize(
    ("more", "kept"),
    [
        ({"power_cuts": 2, "lost_bytes": 0}, False),
        ({"power_cuts": 2, "lost_bytes": 1}, True),
        ({"power_cuts": 1, "lost_bytes": 0}, None),
        ({"power_cuts": 2, "lost_bytes": 0, "flavour": "kafka"}, None),
        ({"power_cuts": 2}, None),
    ],
)
def test_power_cuts_that_lose_nothing_prove_nothing(more: Any, kept: bool | None) -> None:
    promises = promises_of(RunFacts(seed=1, command="run", acknowledged=1, **more))
    assert [promise.kept for promise in promises if promise.name == LOST_BYTES] == (
        [] if kept is None else [kept]
    )


def test_producers_that_lost_no_answer_tried_nothing_again() -> None:
    def kept(lost: int | None) -> list[bool]:
        promises = promises_of(RunFacts(seed=1, command="run", acknowledged=1, answers_lost=lost))
        return [promise.kept for promise in promises if promise.name == LOST_ANSWERS]

    assert (kept(None), kept(0), kept(1)) == ([], [False], [True])
