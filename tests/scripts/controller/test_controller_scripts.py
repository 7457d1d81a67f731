"""Every story in this folder, told again: `ODRADEK_REWRITE=1` writes down what happens now, for a reviewer to
read.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.scripts.controller.interpreter import play

SCRIPTS = sorted(Path(__file__).parent.glob("*.txt"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_script(path: Path) -> None:
    script = path.read_text()
    played = play(script)
    if os.environ.get("ODRADEK_REWRITE"):
        path.write_text(played)
    assert played == script
