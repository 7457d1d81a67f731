from __future__ import annotations

import io
import sys

import pytest

from odradek.client.cli.progress import Progress


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_nothing_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("writing", 10) as progress:
        progress.update(5, "half")
    assert capsys.readouterr().err == ""


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with Progress("writing", 10) as progress:
        progress.update(5, "5 records/s")
    assert "writing" in terminal.getvalue() and "5 records/s" in terminal.getvalue()
