"""The command alone: how it is called. The process is tested in test_controller."""

from __future__ import annotations

import pytest

from odradek.jepsen.proxy.__main__ import main


@pytest.mark.parametrize("arguments", [[], ["127.0.0.1", "more"]])
def test_a_wrong_call_is_told_how(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "usage:" in capsys.readouterr().err
