"""The command as a user meets it: arguments, exit codes, signals. Nodes here are small stand-ins in real
processes."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from odradek.node.cli import EXIT_CLEAN, EXIT_FAILED, EXIT_USAGE, announcement, main
from odradek.node.config import NodeConfig

_CHILD = """
import asyncio, sys
from odradek.node.cli import run_node
from odradek.node.config import ConfigError, NodeConfig

class Quiet:
    addresses = ["127.0.0.1:9092"]
    grpc_address = "127.0.0.1:50051"
    async def start(self): pass
    async def stop(self): print("flushed", flush=True)
    async def failed(self): return await asyncio.get_running_loop().create_future()

class Hanging(Quiet):
    async def stop(self):
        print("hanging", flush=True)
        await asyncio.get_running_loop().create_future()

class Failing(Quiet):
    async def failed(self): return RuntimeError("the disk is gone")

class Broken(Quiet):
    async def start(self): raise RuntimeError("no such luck")

class Misconfigured(Quiet):
    async def start(self): raise ConfigError("the directory data is in use by another process")

class Waiting(Quiet):
    async def start(self):
        print("waiting", flush=True)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            print("given up", flush=True)

class Doomed(Waiting):
    async def failed(self): return RuntimeError("the disk is gone")

nodes = {kind.__name__: kind for kind in (Quiet, Hanging, Failing, Broken, Misconfigured, Waiting, Doomed)}
sys.exit(run_node(NodeConfig(), lambda config: nodes[sys.argv[1]]())) """


def _child(kind: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _CHILD, kind], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def _read_until(child: subprocess.Popen[str], text: str) -> str:
    assert child.stdout is not None
    lines = []
    for line in child.stdout:
        lines.append(line)
        if text in line:
            return "".join(lines)
    raise AssertionError(f"{text!r} never came: {lines} {child.stderr.read() if child.stderr else ''}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_cleanly(number: signal.Signals) -> None:
    with _child("Quiet") as child:
        printed = _read_until(child, "p.flush()")
        assert "listening on 127.0.0.1:9092" in printed
        child.send_signal(number)
        _read_until(child, "flushed")
        assert child.wait(timeout=20) == EXIT_CLEAN


def test_a_node_that_waits_for_others_can_be_stopped() -> None:
    with _child("Waiting") as child:
        _read_until(child, "waiting")
        child.send_signal(signal.SIGTERM)
        _read_until(child, "given up")
        assert child.wait(timeout=20) == EXIT_CLEAN


def test_a_second_signal_ends_the_process_at_once() -> None:
    with _child("Hanging") as child:
        _read_until(child, "p.flush()")
        child.send_signal(signal.SIGTERM)
        _read_until(child, "hanging")
        child.send_signal(signal.SIGTERM)
        assert child.wait(timeout=20) == -signal.SIGTERM


@pytest.mark.parametrize(
    ("kind", "code", "said"),
    [
        ("Failing", EXIT_FAILED, "the disk is gone"),
        ("Doomed", EXIT_FAILED, "the disk is gone"),
        ("Broken", EXIT_FAILED, "no such luck"),
        ("Misconfigured", EXIT_USAGE, "odradek: the directory data is in use by another process"),
    ],
)
def test_a_failure_is_told_by_the_exit_code(kind: str, code: int, said: str) -> None:
    with _child(kind) as child:
        _, errors = child.communicate(timeout=20)
        assert child.returncode == code
        assert said in errors


def test_wrong_values_end_with_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["start", "--set", "num.partitions=many"]) == EXIT_USAGE
    error = capsys.readouterr().err
    assert error.strip().endswith(
        "odradek: num.partitions=many is not valid: expected a whole number of 32 bits, at least 1"
    )


def test_a_missing_file_is_usage(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["start", "--config", str(tmp_path / "none.properties")]) == EXIT_USAGE
    assert "No such file" in capsys.readouterr().err


def test_unknown_arguments_are_usage() -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["start", "--frobnicate"])
    assert stopped.value.code == EXIT_USAGE
    with pytest.raises(SystemExit) as without_command:
        main([])
    assert without_command.value.code == EXIT_USAGE


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == EXIT_CLEAN
    assert capsys.readouterr().out.startswith("odradek ")


def test_python_without_assertions_is_refused() -> None:
    command = [
        sys.executable,
        "-O",
        "-c",
        "import sys; from odradek.node.cli import main; sys.exit(main(['start']))",
    ]
    child = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert child.returncode == EXIT_USAGE
    assert "python -O" in child.stderr


def test_help_imports_nothing_of_the_node() -> None:
    script = (
        "import sys\nfrom odradek.node.cli import main\n"
        "try: main(['start', '--help'])\nexcept SystemExit: pass\n"
        "heavy = [m for m in ('asyncio', 'odradek.node.config', 'odradek.proto', 'uvloop') if m in"
        " sys.modules]\n"
        "sys.exit(1 if heavy else 0)"
    )
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=20, check=False)
    assert child.returncode == 0
    assert b"--listen" in child.stdout


def test_the_announcement_names_an_address_that_works_here() -> None:
    text = announcement(NodeConfig({"log.dirs": "/x/data"}), ["0.0.0.0:9092", "127.0.0.1:9095"])
    assert "listening on 0.0.0.0:9092, 127.0.0.1:9095, data in /x/data" in text
    assert "-b localhost:9092" in text
    assert text.count("\n") == 4


def test_the_announcement_says_where_grpc_is_spoken() -> None:
    config = NodeConfig({"log.dirs": "/x/data"})
    usual = announcement(config, ["127.0.0.1:9092"], "127.0.0.1:50051")
    assert "listening on 127.0.0.1:9092, for gRPC on 127.0.0.1:50051, data in" in usual
    assert "| odradek produce greetings; odradek consume greetings -e\n" in usual
    assert "produce greetings -s localhost:7000;" in announcement(config, ["a:9092"], "0.0.0.0:7000")
    assert "odradek produce" not in announcement(config, ["a:9092"])
