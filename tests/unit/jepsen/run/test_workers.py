"""Workers as processes, with a stand-in for what they do."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from odradek.jepsen.run.workers import WorkerFailed, Workers, worker_in
from odradek.jepsen.workloads.spec import WorkerSpec

#: Writes its name, and ends at the end of its input or at SIGTERM, as a worker does.
_STEADY = """
import os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
open(sys.argv[1], "a").write(sys.argv[2] + "\\n")
os.read(0, 1)
"""
_BOTH = ("kafka-send-0", "kafka-read-1")


def _spec(process: str, folder: Path, role: str = "kafka-send") -> WorkerSpec:
    history = str(folder / f"{process}.jsonl")
    return WorkerSpec("queue", role, process, 0, 1, "", "", {}, history, 1.0)


def _running(program: str, folder: Path) -> Callable[[WorkerSpec], Sequence[str]]:
    return lambda spec: [sys.executable, "-c", program, str(folder / "names"), spec.name]


def _await_names(folder: Path, *expected: str) -> list[str]:
    """Until these are at work; returns all that ever were."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (folder / "names").exists():
            names = (folder / "names").read_text().split()
            if set(names) >= set(expected):
                return names
        time.sleep(0.01)
    raise AssertionError("workers did not start")


@pytest.fixture
def steady(tmp_path: Path) -> Iterator[Workers]:
    workers = Workers(tmp_path / "log", _running(_STEADY, tmp_path))
    workers.start([_spec("kafka-send-0", tmp_path), _spec("kafka-read-1", tmp_path, "kafka-read")])
    yield workers
    workers.close()


def test_they_run_until_they_are_told_to_stop(steady: Workers, tmp_path: Path) -> None:
    assert sorted(_await_names(tmp_path, *_BOTH)) == sorted(_BOTH)
    assert steady.names() == ["kafka-read-1", "kafka-send-0"]
    assert steady.names(producers=True) == ["kafka-send-0"]
    steady.stop()
    assert steady.names() == []


def test_the_place_of_a_killed_one_is_taken_by_another_process(steady: Workers, tmp_path: Path) -> None:
    steady.kill("kafka-send-0")
    assert steady.ended() == ["kafka-send-0"]
    steady.respawn("kafka-send-0")
    _await_names(tmp_path, "kafka-send-0.1")  # the killed one may have had no time to write its name
    assert steady.ended() == []
    steady.stop()


def test_a_frozen_one_that_was_replaced_wakes_up_and_is_stopped_too(steady: Workers, tmp_path: Path) -> None:
    _await_names(tmp_path, *_BOTH)
    steady.pause("kafka-send-0")
    steady.respawn("kafka-send-0")
    _await_names(tmp_path, "kafka-send-0.1")
    steady.resume("kafka-send-0")
    steady.stop()


def _await_end_of(workers: Workers, name: str) -> None:
    workers._running[name].process.wait(60)


@pytest.mark.parametrize("then", ["stop", "kill", "respawn"])
def test_one_that_is_dead_by_itself_is_a_failure_whatever_is_done_to_it(tmp_path: Path, then: str) -> None:
    program = "import os, sys; sys.argv[2].endswith('.1') and os.read(0, 1); sys.exit('no such door')"
    workers = Workers(tmp_path / "log", _running(program, tmp_path))
    workers.start([_spec("kafka-send-0", tmp_path)])
    _await_end_of(workers, "kafka-send-0")
    if then != "stop":
        getattr(workers, then)("kafka-send-0")
    with pytest.raises(WorkerFailed, match=r"(?s)kafka-send-0 ended by itself with status 1.*no such door"):
        workers.stop()


def test_one_that_was_replaced_and_wakes_up_to_fail_is_a_failure(tmp_path: Path) -> None:
    program = _STEADY.replace("sys.exit(0)", "sys.exit(5 if sys.argv[2] == 'kafka-send-0' else 0)")
    workers = Workers(tmp_path / "log", _running(program, tmp_path))
    workers.start([_spec("kafka-send-0", tmp_path)])
    _await_names(tmp_path, "kafka-send-0")
    workers.pause("kafka-send-0")
    workers.respawn("kafka-send-0")
    _await_names(tmp_path, "kafka-send-0.1")
    with pytest.raises(WorkerFailed, match="kafka-send-0 ended with status 5"):
        workers.stop()


def test_a_second_incarnation_that_is_killed_does_not_excuse_the_first(tmp_path: Path) -> None:
    program = _STEADY.replace("sys.exit(0)", "sys.exit(5)")
    workers = Workers(tmp_path / "log", _running(program, tmp_path))
    workers.start([_spec("kafka-send-0", tmp_path)])
    _await_names(tmp_path, "kafka-send-0")
    workers.pause("kafka-send-0")
    workers.respawn("kafka-send-0")
    workers.kill("kafka-send-0")
    with pytest.raises(WorkerFailed, match=r"^kafka-send-0 ended with status 5"):
        workers.stop()


def test_one_that_was_killed_on_purpose_is_none(steady: Workers, tmp_path: Path) -> None:
    _await_names(tmp_path, *_BOTH)
    steady.kill("kafka-read-1")
    steady.kill("kafka-send-0")
    steady.respawn("kafka-send-0")
    steady.stop()


def test_one_that_ends_by_itself_is_a_failure_with_its_words(tmp_path: Path) -> None:
    workers = Workers(tmp_path / "log", _running("import sys; sys.exit('no such door')", tmp_path))
    workers.start([_spec("kafka-send-0", tmp_path)])
    with pytest.raises(WorkerFailed, match="no such door"):
        workers.await_end(60)
    workers.close()


def test_a_reader_that_does_not_come_to_an_end_is_a_failure(steady: Workers) -> None:
    with pytest.raises(WorkerFailed, match="did not end within"):
        steady.await_end(0.05)


def test_the_command_enters_the_namespace_with_the_whole_spec(tmp_path: Path) -> None:
    command = worker_in("odk-x-clients")(_spec("kafka-send-0", tmp_path))
    assert command[:2] == ["nsenter", "--net=/run/netns/odk-x-clients"]
    assert WorkerSpec.from_json(command[-1]) == _spec("kafka-send-0", tmp_path)
