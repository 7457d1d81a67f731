"""`python -m odradek.jepsen` is the command line."""

from __future__ import annotations

import subprocess
import sys


def test_it_is_started_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "odradek.jepsen", "--help"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert "canary" in done.stdout
