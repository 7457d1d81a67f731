"""Options as they are spelt, wrong ones refused with what is allowed, and histories checked again."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from odradek.jepsen.checkers.analysis import Analysis
from odradek.jepsen.checkers.anomaly import Anomaly
from odradek.jepsen.cli import EXIT_NOT_RUN, EXIT_USAGE, _command, _parser, main, options_of, pairs
from odradek.jepsen.db import capabilities, control_groups, image, leftovers
from odradek.jepsen.db.capabilities import Capabilities
from odradek.jepsen.history import Event, Writer
from odradek.jepsen.nemesis import clocks
from odradek.jepsen.run import record
from odradek.jepsen.run.options import OptionsError


def _options(*arguments: str) -> object:
    return options_of(_parser().parse_args(["run", *arguments]))


def test_a_run_is_what_was_asked_for(tmp_path: Path) -> None:
    given = ["--nodes", "5", "--workload", "queue,groups", "--nemesis", "kill, power", "--seconds", "90"]
    given += ["--at-least", "all=30,power-all=2", "--interval", "10-20", "--spacing", "2", "--seed", "7"]
    given += ["--set", "num.io.threads=2", "--command", "python -m x 'y z'", "--folder", str(tmp_path / "r")]
    options = options_of(_parser().parse_args(["run", *given]))
    assert (options.nodes, options.seconds, options.seed) == (5, 90, 7)
    assert (options.workloads, options.nemeses) == (("queue", "groups"), ("kill", "power"))
    assert options.at_least == {"all": 30, "power-all": 2}
    assert (options.interval_s, options.spacing_s) == ((10.0, 20.0), (2.0, 2.0))
    assert options.properties == {"num.io.threads": "2"}
    assert options.command == ("python", "-m", "x", "y z")


def test_all_workloads_can_be_asked_for_at_once(tmp_path: Path) -> None:
    options = options_of(_parser().parse_args(["run", "--workload", "all", "--folder", str(tmp_path / "r")]))
    assert {"queue", "groups", "idempotent", "metadata"} <= set(options.workloads)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (["--workload", "stack"], "queue"),
        (["--at-least", "kill"], "--at-least kill"),
        (["--at-least", "kill=many"], "--at-least kill=many"),
        (["--interval", "soon"], "LO-HI"),
        (["--nodes", "0"], "1 to 7"),
        (["--set", "=3"], "--set =3"),
        (["--cluster", "zookeeper"], "odradek, kafka"),
        (["--command", "python 'x"], "--command python 'x"),
    ],
)
def test_wrong_options_say_what_is_allowed(
    wrong: list[str], named: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["run", *wrong, "--folder", str(tmp_path / "r")]) == EXIT_USAGE
    assert named in capsys.readouterr().err


@pytest.mark.parametrize("error", [KeyError("q/0"), ValueError("broken"), AssertionError("broken")])
def test_an_error_of_the_harness_is_no_verdict_and_no_wrong_option(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise error

    _history(tmp_path, 1)
    monkeypatch.setattr(Analysis, "of", broken)
    assert main(["check", str(tmp_path)]) == EXIT_NOT_RUN
    assert "Traceback" in capsys.readouterr().err


def test_what_cannot_be_done_here_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(capabilities, "probe", lambda: Capabilities([]))
    monkeypatch.setattr(Capabilities, "unable", lambda self: "no root")
    assert main(["run", "--folder", str(tmp_path / "r")]) == EXIT_NOT_RUN
    told = capsys.readouterr().err
    assert "no root" in told and "Traceback" not in told
    monkeypatch.setattr(Capabilities, "unable", lambda self: None)
    assert main(["run", "--nemesis", "kil", "--folder", str(tmp_path / "r")]) == EXIT_USAGE
    assert "perhaps kill" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def test_a_folder_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match="there already"):
        _options("--folder", str(tmp_path))


def test_the_command_that_repeats_a_run_has_its_seed() -> None:
    assert _command(["run", "--seconds", "9"], 4) == "python -m odradek.jepsen run --seconds 9 --seed 4"
    assert _command(["run", "--seed", "4"], 4) == "python -m odradek.jepsen run --seed 4"


def test_pairs_keep_what_stands_behind_the_first_equals_sign() -> None:
    assert pairs("--set", ["a=b=c"], str) == {"a": "b=c"}


def _history(folder: Path, value: int) -> None:
    """One record is sent, and another one is read in its place."""
    writer = Writer(folder / "a.jsonl")
    writer.write(
        Event(1, "a", 0, "invoke", "send", [["send", "q/0", 1]]),
        Event(2, "a", 0, "ok", "send", [["send", "q/0", [0, 1]]]),
        Event(3, "a", 1, "invoke", "poll", [["poll"]], None, {"final": True}),
        Event(4, "a", 1, "ok", "poll", [["poll", {"q/0": [[0, value]]}]], None, {"final": True}),
    )
    writer.close()


@pytest.mark.parametrize(("value", "status"), [(2, 1)])
def test_a_history_is_checked_again(
    tmp_path: Path, value: int, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    _history(tmp_path, value)
    assert main(["check", str(tmp_path)]) == status
    assert "inconsistent-offsets" in capsys.readouterr().out


@pytest.mark.parametrize(("valid", "status"), [(True, 0), (False, 1), ("unknown", 2)])
def test_a_check_that_finds_nothing_does_not_overrule_the_verdict(
    tmp_path: Path, valid: object, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    _history(tmp_path, 1)
    (tmp_path / "verdict.json").write_text(json.dumps({"valid": valid}))
    assert main(["check", str(tmp_path)]) == status
    assert ("verdict.json says valid" in capsys.readouterr().out) is bool(status)


def test_what_the_nodes_said_is_checked_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _history(tmp_path, 1)
    assert main(["check", str(tmp_path)]) == 0
    (tmp_path / "node2").mkdir()
    (tmp_path / "node2" / "server.log").write_text("-- start 1\nAssertionError: 3 > 2\n")
    assert main(["check", str(tmp_path)]) == 1
    assert "server-crash" in capsys.readouterr().out


def test_what_the_run_recorded_is_checked_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _history(tmp_path, 1)
    record.save(tmp_path, record.Recorded(troubles=[Anomaly("server-ended", "node 2 ended")]))
    assert main(["check", str(tmp_path)]) == 1
    assert "node 2 ended" in capsys.readouterr().out
    (tmp_path / record.FILE).write_text("{}")
    assert main(["check", str(tmp_path)]) == EXIT_NOT_RUN
    assert "recorded.json" in capsys.readouterr().err


def test_a_folder_without_a_history_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path)]) == EXIT_USAGE
    assert "no *.jsonl" in capsys.readouterr().err


def test_the_table_of_outcomes_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["outcomes"]) == 0
    assert "| kafka | send |" in capsys.readouterr().out


def test_a_sweep_says_what_it_took_away(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for module, left in (
        (leftovers, "s7x1"),
        (control_groups, "odradek-jepsen-9-1-2"),
        (clocks, "faketime_shm_9"),
    ):
        monkeypatch.setattr(module, "sweep", lambda left=left: [left])
    monkeypatch.setattr(image, "restore_writeback", lambda: True)
    assert main(["sweep"]) == 0
    told = capsys.readouterr().out
    assert all(what in told for what in ("s7x1", "odradek-jepsen-9-1-2", "faketime_shm_9", "restored"))
    for module in (leftovers, control_groups, clocks):
        monkeypatch.setattr(module, "sweep", list)
    monkeypatch.setattr(image, "restore_writeback", lambda: False)
    assert main(["sweep"]) == 0
    assert capsys.readouterr().out == "nothing was left\n"


def test_a_sweep_is_for_root(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main(["sweep"]) == EXIT_NOT_RUN
    assert "root" in capsys.readouterr().err
