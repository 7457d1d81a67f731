from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.client.cli.conftest import Command

from odradek.client.cli.completion import SCRIPTS


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["pro"], ["produce", "profile"]),
        (["topic", "de"], ["delete", "describe"]),
        (["topic", "list", "--re"], ["--regex"]),
        (["topic", "list", "-o", ""], ["json", "table", "yaml"]),
        (["topic", "list", "--output", "j"], ["json"]),
        (["produce", "t", "-z", "g"], ["gzip"]),
        (["produce", "t", ""], ["<files>"]),
        (["completion", ""], ["bash", "fish", "zsh"]),
        (["topic", "create", ""], []),
        (["nonsense", ""], None),
        (["topic", "describe", "-s", "127.0.0.1:1", ""], []),
    ],
)
def test_words(alone: Command, words: list[str], found: list[str] | None) -> None:
    outcome = alone("completion", "words", "--", *words)
    assert (outcome.code, outcome.err) == (0, "")
    if found is not None:
        assert outcome.out.split() == found


def test_names_of_the_cluster(odradek: Command, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    odradek("topic", "create", "x-orders", "x-other")
    odradek("group", "seek", "x-group", "--to", "start", "-t", "x-orders")
    monkeypatch.delenv("ODRADEK_SERVER")

    def words(*typed: str) -> list[str]:
        return odradek("completion", "words", "--", *typed).out.split()

    at = ("-s", server)
    assert words("topic", "describe", *at, "x-or") == ["x-orders"]
    assert words("topic", "describe", *at, "x-orders", "x-ot") == ["x-other"]
    assert words("consume", "-g", "x", f"--server={server}", "x-o") == ["x-orders", "x-other"]
    assert words("consume", *at, "x", "-g", "x-") == ["x-group"]
    assert words("config", "get", *at, "topic:x-or") == ["topic:x-orders"]
    assert words("cluster", "logdirs", *at, "") == ["1"]


def test_names_of_profiles(alone: Command) -> None:
    alone("profile", "create", "staging")
    assert alone("completion", "words", "--", "topic", "list", "--profile", "").out == "staging\n"


@pytest.mark.parametrize("shell", sorted(SCRIPTS))
def test_scripts_are_understood_by_their_shells(alone: Command, shell: str, tmp_path: Path) -> None:
    script = alone("completion", shell).out
    assert "odradek completion words --" in script
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    (tmp_path / "script").write_text(script)
    checked = subprocess.run(
        [shell, "-n", str(tmp_path / "script")], capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")


def test_bash_completes(alone: Command, tmp_path: Path) -> None:
    if shutil.which("bash") is None:
        pytest.skip("there is no bash here")
    command = tmp_path / "odradek"
    command.write_text(
        f"#!{sys.executable}\nimport sys\nfrom odradek.node.cli import main\nsys.exit(main())\n"
    )
    command.chmod(0o755)
    script = f"""
    PATH={tmp_path}:$PATH
    {alone("completion", "bash").out}
    COMP_WORDS=(odradek topic des); COMP_CWORD=2
    _odradek 2>/dev/null
    echo "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "describe\n"
