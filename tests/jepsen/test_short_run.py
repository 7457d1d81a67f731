"""A short run against three nodes, from the command line, as anybody would start it: 90 seconds in all.

Needs root and what `capabilities.ESSENTIAL` names; skipped, saying what is missing, where that is not there. What a run
of six minutes proves is in jepsen-lite/README.md; this one shows that the harness and the cluster still fit together.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from odradek.jepsen.db.capabilities import probe

_RUN = (
    "run --workload all --nemesis default --seconds 55 --interval 12-16 --spacing 3-6 --quiet 0 "
    "--at-least all=6,power=2,power-all=1 --acknowledged 2000 --seed 20"
)


@pytest.mark.timeout(400)
def test_a_short_run_is_valid(tmp_path: Path) -> None:
    unable = probe().unable()
    if unable is not None:
        pytest.skip(f"no fault injection here: {unable}")
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "odradek.jepsen", *_RUN.split(), "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=380)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    verdict = json.loads((folder / "verdict.json").read_text())
    assert verdict["valid"] is True
    assert verdict["power_cuts_of_all"] >= 1
    assert "</html>" in (folder / "report.html").read_text()
    assert (folder / "junit.xml").exists()
