"""Every checker sees a history, under its own name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from odradek.jepsen.checkers import cycles
from odradek.jepsen.checkers.analysis import Analysis
from odradek.jepsen.checkers.anomaly import Anomaly
from odradek.jepsen.checkers.replicas import Replica
from odradek.jepsen.checkers.verdict import GAVE_UP, Policy, RunFacts, judge
from odradek.jepsen.history import NEMESIS, Event
from odradek.jepsen.run.checking import check, check_again, check_history, check_logs, nodes_with_struck_disks
from odradek.jepsen.run.record import Recorded


def _lost() -> Analysis:
    """0 and 1 are acknowledged; the reads after the faults find 1 alone."""
    final = {"final": True}
    return Analysis.of(
        [
            Event(1, "a", 0, "invoke", "send", [["send", "q/0", 10]]),
            Event(2, "a", 0, "ok", "send", [["send", "q/0", [0, 10]]]),
            Event(3, "a", 1, "invoke", "send", [["send", "q/0", 11]]),
            Event(4, "a", 1, "ok", "send", [["send", "q/0", [1, 11]]]),
            Event(5, "f", 0, "invoke", "poll", [["poll"]], None, final),
            Event(6, "f", 0, "ok", "poll", [["poll", {"q/0": [[1, 11]]}]], None, final),
        ]
    )


def test_checkers_report_under_their_names() -> None:
    results = check_history(_lost(), {"q/0": 2})
    assert [anomaly.kind for anomaly in results["queue"]] == ["lost-write", "unseen"]
    assert {"order", "cycles", "watermarks", "groups", "metadata", "transactions", "recovery"} <= set(results)


def test_an_end_below_what_was_acknowledged_is_found() -> None:
    results = check_history(_lost(), {"q/0": 1})
    assert "acknowledged-above-watermark" in {anomaly.kind for anomaly in results["watermarks"]}


def test_replicas_are_compared_with_what_was_acknowledged() -> None:
    recorded = Recorded(topics={"queue": {"q": 1}}, replicas={1: {"q/0": Replica()}, 2: {"q/0": Replica()}})
    assert check(_lost(), recorded)["replicas"]


def test_a_replica_that_was_in_sync_and_is_not_there_is_found() -> None:
    held = Replica(end=2)
    held.offsets.extend([0, 1])
    held.values.extend([10, 11])
    recorded = Recorded(topics={"queue": {"q": 1}}, replicas={1: {"q/0": held}, 2: {}})
    assert check(_lost(), recorded)["replicas"] == []
    recorded.in_sync = {"q/0": [1, 2]}
    assert [anomaly.kind for anomaly in check(_lost(), recorded)["replicas"]] == ["replica-behind"]
    recorded.in_sync = {"q/0": [1, 3]}  # which could not be read: the run says so
    assert check(_lost(), recorded)["replicas"] == []


def test_without_any_replica_nothing_is_proved() -> None:
    recorded = Recorded(topics={"queue": {"q": 1}})
    assert [anomaly.kind for anomaly in check(_lost(), recorded)["replicas"]] == [GAVE_UP]
    assert "replicas" not in check(_lost(), Recorded(topics={"metadata": {}}))


def test_troubles_of_the_run_are_reported_too() -> None:
    trouble = Anomaly("no-convergence", "not in sync within 90 s")
    assert check(_lost(), Recorded(troubles=[trouble]))["run"] == [trouble]


def test_logs_are_searched_for_crashes_but_not_for_disks_that_were_taken(tmp_path: Path) -> None:
    crash = "Traceback (most recent call last):\n  File\nAssertionError: 3\n"
    disk = "Traceback (most recent call last):\n  File\nOSError: [Errno 5] Input/output error\n"
    (tmp_path / "1.log").write_text(disk)
    (tmp_path / "2.log").write_text(crash)
    logs = {node: tmp_path / f"{node}.log" for node in (1, 2, 3)}
    assert [anomaly.data["node"] for anomaly in check_logs(logs, {1, 2})] == [2]
    assert [anomaly.data["node"] for anomaly in check_logs(logs, {2})] == [1, 2]
    (tmp_path / "1.log").write_text(crash.replace("File", "File, for an Input/output error"))
    assert [anomaly.data["node"] for anomaly in check_logs(logs, {1})] == [1, 2]


def test_all_crashes_of_all_nodes_are_counted(tmp_path: Path) -> None:
    crash = "Traceback (most recent call last):\n  File\nAssertionError: 3\n"
    for node, times in ((1, 50), (2, 30), (3, 1)):
        (tmp_path / f"{node}.log").write_text(crash * times)
    found = check_logs({node: tmp_path / f"{node}.log" for node in (1, 2, 3)})
    assert len(found) == 41
    judged = judge({"server-log": found}, Policy(), RunFacts(seed=1, command="run"))
    assert judged.counts == {"server-crash": 81}


def test_disks_that_were_struck_are_those_of_the_faults_of_this_run() -> None:
    def fault(name: str, nodes: list[int]) -> Event:
        value = {"fault": 1, "name": name, "phase": "start", "nodes": nodes}
        return Event(1, NEMESIS, 1, "info", "fault", value)

    faults = [fault("kill", [1]), fault("bit-flip", [2]), fault("disk-full", [3]), fault("power-all", [4])]
    assert nodes_with_struck_disks(faults) == {2, 3}


def test_a_checker_that_fails_gives_up_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(analysis: Analysis) -> list[Anomaly]:
        raise RecursionError("too deep")

    monkeypatch.setattr(cycles, "check", fail)
    results = check_history(_lost(), {"q/0": 2})
    (gave_up,) = results["cycles"]
    assert gave_up.kind == GAVE_UP and "too deep" in gave_up.detail
    assert gave_up.data["traceback"][-1] == "RecursionError: too deep"
    assert [anomaly.kind for anomaly in results["queue"]] == ["lost-write", "unseen"]


def test_a_run_is_checked_again_without_its_replicas() -> None:
    trouble = Anomaly("no-convergence", "late")
    recorded = Recorded(topics={"queue": {"q": 1}}, ends={"q/0": 1}, troubles=[trouble])
    results = check_again(_lost(), recorded)
    assert "replicas" not in results and results["run"] == [trouble]
    assert "acknowledged-above-watermark" in {anomaly.kind for anomaly in results["watermarks"]}


def test_a_key_is_told_that_acknowledges_nothing_after_the_last_heal() -> None:
    def remark(second: int, f: str, value: Any) -> Event:
        return Event(second * 10**9, NEMESIS, second, "info", f, value)

    sent = [["send", "q/0", 10]]
    events = [
        remark(10, "fault", {"fault": 1, "name": "kill", "phase": "start", "nodes": [1]}),
        Event(11 * 10**9, "a", 0, "invoke", "send", sent),
        Event(12 * 10**9, "a", 0, "ok", "send", [["send", "q/0", [0, 10]]]),
        Event(13 * 10**9, "a", 1, "invoke", "send", [["send", "q/0", 11]]),
        remark(14, "fault", {"fault": 1, "name": "kill", "phase": "stop", "nodes": [1]}),
        remark(30, "phase", "stopping"),
    ]
    (found,) = check_history(Analysis.of(events), {})["recovery"]
    assert (found.kind, found.data) == ("unrecovered", "q/0")
