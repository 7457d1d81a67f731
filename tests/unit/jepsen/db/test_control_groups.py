"""Groups that are ours, on a folder that stands in for the kernel's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from odradek.jepsen.db import control_groups


def _dead() -> int:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


def test_groups_of_dead_runs_go_and_those_of_others_stay(tmp_path: Path) -> None:
    dead = _dead()
    gone = [f"odk-probe-{dead}", f"odradek-jepsen-{dead}-4-2"]
    stay = [
        control_groups.group_name("4-2"),
        "user.slice",
        "odradek-jepsen-other",
        f"x-odradek-jepsen-{dead}",
    ]
    for name in gone + stay:
        (tmp_path / name).mkdir()
    assert control_groups.sweep(tmp_path) == gone
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(stay)
    assert control_groups.sweep(tmp_path) == []


def test_a_group_that_is_not_there_is_removed_already(tmp_path: Path) -> None:
    control_groups.remove(tmp_path / "none")
    assert control_groups.members(tmp_path / "none") == []


def test_the_name_of_a_group_holds_the_process() -> None:
    assert control_groups.group_name("7-1") == f"odradek-jepsen-{os.getpid()}-7-1"
