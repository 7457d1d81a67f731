"""Whole clusters under random faults: no seed breaks an invariant, and a seed is the same run every time.

In processes of their own, because a run needs string hashes that do not change. `make sim SEEDS=n` runs more.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SEEDS = 40


def simulate(*arguments: str) -> str:
    """The output of `python -m tests.sim`, which must find nothing."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.sim", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(1800)
def test_no_seed_breaks_an_invariant() -> None:
    told = simulate("--seeds", str(SEEDS), "--chaos", "6")
    for what in ("fault kill", "fault isolate", "partition leaders", "records acknowledged", "commits"):
        assert what in told, f"no {what} in {SEEDS} seeds: the runs test nothing\n{told}"


@pytest.mark.timeout(600)
def test_a_seed_is_the_same_run_every_time() -> None:
    traces = [simulate("5", "--chaos", "5").rpartition("trace ")[2].split()[0] for _ in range(2)]
    assert traces[0] == traces[1]
    simulate("--seeds", "4", "--first", "11", "--chaos", "4", "--twice")
