"""Workers as processes: how they begin, and how they end."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.jepsen.workloads.conftest import Bench

from odradek.jepsen import history
from odradek.jepsen.workloads.spec import WorkerSpec
from odradek.jepsen.workloads.worker import executor, load, main

SPEC = WorkerSpec("queue", "kafka-send", "kafka-send-0", 0, 1, "h:1", "", {"q": 1}, "/h.jsonl", 10.0)


def test_a_spec_is_json_or_a_file_of_it(tmp_path: Path) -> None:
    path = tmp_path / "spec.json"
    path.write_text(SPEC.to_json())
    assert load(SPEC.to_json()) == SPEC == load(str(path))


@pytest.mark.parametrize("text", ["{}", "{", "/no/such/file", SPEC.to_json().replace("kafka-send", "dance")])
def test_what_is_no_spec_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--spec", text]) == 2
    assert capsys.readouterr().err


def test_an_unknown_role_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="no role 'dance': there are kafka-send, "):
        executor("dance")


def _start(bench: Bench, name: str) -> tuple[WorkerSpec, subprocess.Popen[bytes]]:
    """A sender that has sent something."""
    spec = bench.spec("kafka-send", bench.topic(name), 500.0)
    command = [sys.executable, "-m", "odradek.jepsen.workloads.worker", "--spec", spec.to_json()]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    path = Path(spec.history)
    while not (path.exists() and any(event.type == "ok" for event in history.read(path))):
        assert process.poll() is None
    return spec, process


@pytest.mark.parametrize("how", ["sigterm", "stdin"])
def test_a_worker_finishes_what_is_under_way(bench: Bench, how: str) -> None:
    spec, process = _start(bench, f"worker-{how}")
    assert process.stdin is not None
    if how == "sigterm":
        process.send_signal(signal.SIGTERM)
    else:
        process.stdin.close()
    assert process.wait(60) == 0
    assert {operation.type for operation in history.pair(history.read(Path(spec.history)))} == {"ok"}


def test_a_worker_that_is_killed_leaves_a_history_that_can_be_read(bench: Bench) -> None:
    spec, process = _start(bench, "worker-killed")
    process.kill()
    process.wait(60)
    operations = history.pair(history.read(Path(spec.history)))
    sent = {operation.invoke.value[0][2] for operation in operations}
    assert {int(record.key or b"") for record in bench.broker.records("worker-killed")} <= sent
