"""A plan of what the machine is able to do, and the files that a run leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from odradek.jepsen.checkers.analysis import Analysis
from odradek.jepsen.checkers.verdict import Policy, RunFacts, judge
from odradek.jepsen.history import Event
from odradek.jepsen.run.options import Options
from odradek.jepsen.run.session import asked_of, steps_of, write


def _options(**more: Any) -> Options:
    return Options(seed=5, folder=Path("x"), seconds=60, **more)


def test_the_plan_holds_what_must_be_there() -> None:
    steps = steps_of(_options(at_least={"power-all": 2, "all": 8}), ["kill", "power-all"])
    names = [step.name for step in steps]
    assert names.count("power-all") >= 2
    assert sum(name in ("kill", "power-all") for name in names) >= 8


def test_what_the_machine_cannot_do_is_not_insisted_on() -> None:
    assert {step.name for step in steps_of(_options(at_least={"power-all": 2}), ["kill"])} == {"kill"}


def test_without_faults_there_is_no_plan() -> None:
    assert steps_of(_options(), []) == []


def test_a_run_leaves_its_verdict_three_times(tmp_path: Path) -> None:
    analysis = Analysis.of(
        [
            Event(1, "a", 0, "invoke", "send", [["send", "q/0", 10]]),
            Event(2, "a", 0, "ok", "send", [["send", "q/0", [0, 10]]]),
        ]
    )
    write(tmp_path, judge({"queue": []}, Policy(), RunFacts(seed=5, command="run", acknowledged=1)), analysis)
    assert json.loads((tmp_path / "verdict.json").read_text())["seed"] == 5
    assert ElementTree.parse(tmp_path / "junit.xml").getroot().tag == "testsuites"
    assert "<html" in (tmp_path / "report.html").read_text()


def test_records_are_promised_where_a_workload_sends_some() -> None:
    def asked(*workloads: str) -> int:
        return asked_of(_options(workloads=workloads, acknowledged=7), []).acknowledged

    assert (asked("queue"), asked("metadata", "queue"), asked("metadata")) == (7, 7, 0)
