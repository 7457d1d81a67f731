"""The keys of a run are those of all its workloads."""

from __future__ import annotations

from pathlib import Path

import pytest

from odradek.jepsen.checkers.anomaly import Anomaly
from odradek.jepsen.history import Event
from odradek.jepsen.run.record import FILE, FinalReader, Recorded, load, save


def test_keys_of_all_workloads() -> None:
    recorded = Recorded(topics={"queue": {"q0": 2}, "groups": {"g0": 1}, "metadata": {}})
    assert recorded.keys == ["q0/0", "q0/1", "g0/0"]


def test_all_but_the_replicas_outlives_the_run(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    evidence = [Event(3, "a", 1, "info", "send", None, "x", {"y": 1})]
    recorded = Recorded(
        history=[run / "history" / "a.jsonl"],
        topics={"queue": {"q": 1}},
        ends={"q/0": 7},
        readers=[FinalReader("queue-kafka-final-0", "kafka", ["q/0"])],
        answers_lost=4,
        in_sync={"q/0": [1, 3]},
        troubles=[Anomaly("gave-up", "why", evidence, {"key": "q/0"}), Anomaly("no-convergence", "late")],
        logs={1: run / "node1" / "server.log", 2: Path("/elsewhere/server.log")},
    )
    save(run, recorded)
    moved = run.rename(tmp_path / "moved")
    loaded = load(moved)
    assert loaded.history == [moved / "history" / "a.jsonl"]
    assert loaded.logs == {1: moved / "node1" / "server.log", 2: Path("/elsewhere/server.log")}
    same = ("topics", "ends", "readers", "answers_lost", "in_sync", "replicas")
    assert [getattr(loaded, name) for name in same] == [getattr(recorded, name) for name in same]
    assert [(one.kind, one.detail, list(one.evidence), one.data) for one in loaded.troubles] == [
        ("gave-up", "why", evidence, {"key": "q/0"}),
        ("no-convergence", "late", [], None),
    ]


def test_what_is_not_there_or_damaged_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load(tmp_path)
    for text in ("{}", "[]", "{"):
        (tmp_path / FILE).write_text(text)
        with pytest.raises(ValueError):
            load(tmp_path)
