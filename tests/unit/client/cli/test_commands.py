"""The command as a whole: what it imports, its errors and exit codes, pipes and Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from argparse import Namespace

import pytest
from tests.unit.client.cli.conftest import Command

from odradek.client.cli import commands, exits

HEAVY = (
    "asyncio",
    "grpc",
    "google.protobuf",
    "rich",
    "yaml",
    "odradek.v1",
    "odradek.proto",
    "tomllib",
    "json",
)
_CHILD = "import sys; from odradek.node.cli import main; sys.exit(main())"


@pytest.mark.parametrize(
    "arguments", [["--help"], ["topic", "--help"], ["topic", "create", "--help"], ["consume", "-h"]]
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys\nfrom odradek.node.cli import main\n"
        "before = set(sys.modules)\n"
        f"try: main({arguments!r})\nexcept SystemExit: pass\n"
        f"sys.exit(' '.join(name for name in {HEAVY!r} if name in sys.modules) or 0)"
    )
    child = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False
    )
    assert child.stderr.strip() == "" and child.returncode == 0
    assert "usage: odradek" in child.stdout


@pytest.mark.parametrize(("name", "_"), commands.COMMANDS)
def test_every_command_can_be_filled(alone: Command, name: str, _: str) -> None:
    outcome = alone(name, "--help")
    assert outcome.code == exits.OK and outcome.out.startswith(f"usage: odradek {name}")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["topik"], "invalid choice: 'topik' (choose from"),
        (["topic"], "required: VERB"),
        (["topic", "list", "--colour"], "odradek topic list: unrecognized arguments: --colour"),
        (["topic", "create", "a", "-p", "many"], "invalid int value: 'many'"),
        (["produce", "a", "-f", "%x"], "'%x' is not known in a format: allowed are"),
        (["consume", "a", "-o", "middle"], "write start, end"),
        (["consume", "a", "-g", "g", "-o", "7"], "odradek group seek"),
        (["config", "list", "orders"], "write topic:NAME, node:ID or cluster"),
        (["topic", "list", "-s", "nobody"], None),
    ],
)
def test_wrong_usage_is_one_line(alone: Command, arguments: list[str], said: str | None) -> None:
    outcome = alone(*arguments)
    assert outcome.err.count("\n") == 1 and outcome.out == ""
    if said is None:
        assert outcome.code == exits.UNREACHABLE and "nobody:50051" in outcome.err
    else:
        assert outcome.code == exits.USAGE and said in outcome.err


def test_a_cluster_that_is_not_there(alone: Command) -> None:
    for arguments in (
        ["topic", "list"],
        ["produce", "a"],
        ["consume", "a"],
        ["doctor"],
        ["bench", "produce", "a"],
    ):
        outcome = alone(*arguments, "-s", "127.0.0.1:1")
        assert outcome.code == exits.UNREACHABLE
        assert outcome.err.startswith("odradek: cannot reach the cluster at 127.0.0.1:1 (")


def test_a_server_that_is_not_there_is_left_out(odradek: Command, server: str) -> None:
    assert odradek("topic", "list", "-s", f"127.0.0.1:1,{server}").code == exits.OK


def test_a_fault_of_ours_is_one_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    def broken(_: object) -> int:
        raise RuntimeError("oh\nno")

    assert commands.guarded(broken, Namespace()) == exits.FAILED
    assert capsys.readouterr().err == (
        "odradek: RuntimeError: oh no (a fault of this program; ODRADEK_DEBUG=1 shows where)\n"
    )


def _child(server: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", _CHILD, *arguments, "-s", server],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_ctrl_c_is_clean(server: str) -> None:
    with _child(server, "produce", "interrupted", "-v") as child:
        assert child.stdin is not None and child.stdout is not None and child.stderr is not None
        child.stdin.write(b"hello\n")
        child.stdin.flush()
        # A record is written while the input is still open, and only then it is interrupted.
        child.send_signal(signal.SIGINT) if child.stdout.read(1) == b"i" else None
        assert child.wait(30) == exits.INTERRUPTED
        assert child.stderr.read() == b""


def test_a_reader_that_goes_is_no_error(server: str) -> None:
    with _child(server, "produce", "many") as child:
        assert child.communicate(b"x" * 100 + b"\n" + b"y" * 1000 + b"\n" * 20_000, timeout=60) == (b"", b"")
    with _child(server, "consume", "many") as child:
        assert child.stdout is not None and child.stderr is not None
        assert child.stdout.readline() in (b"x" * 100 + b"\n", b"y" * 1000 + b"\n", b"\n")
        child.stdout.close()
        assert child.wait(30) == exits.OK
        assert child.stderr.read() == b""


@pytest.mark.parametrize(
    "arguments", [["--help"], ["topic", "list", "--help"], ["topic", "list", "-o", "json"]]
)
def test_a_reader_that_was_never_there_is_no_error(server: str, arguments: list[str]) -> None:
    readable, writable = os.pipe()
    os.close(readable)
    environ = {**os.environ, "ODRADEK_SERVER": server}
    child = subprocess.run(
        [sys.executable, "-c", _CHILD, *arguments], stdout=writable, stderr=subprocess.PIPE, env=environ,
        timeout=30, check=False,
    )  # fmt: skip
    os.close(writable)
    assert (child.returncode, child.stderr) == (exits.OK, b"")
