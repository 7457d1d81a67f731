"""Control groups for CPU time: where they can be made, how they are called, and how they go away.

Decides: the names of ours, which hold the id of the process that made them, and which of them belong to nobody. Does
not decide: what is in a group and with which limits (`nemesis.cpu`).
Invariants: a group of a living process is never touched by others; what is in a group that goes away lives on in its
parent.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from pathlib import Path

_OURS = re.compile(r"(?:odradek-jepsen|odk-probe)-(\d+)(?:-.*)?")
_REMOVAL_S = 2.0


def cgroup_folder(mounts: str) -> Path | None:
    """Where groups with a limit of CPU time can be made, from the text of /proc/mounts: v1 with cpu before v2."""
    mounted = [line.split(" ")[1:4] for line in mounts.splitlines()]
    first = [
        Path(point) for point, kind, options in mounted if kind == "cgroup" and "cpu" in options.split(",")
    ]
    second = [Path(point) for point, kind, _ in mounted if kind == "cgroup2"]
    return next(iter(first + second), None)


def group_name(purpose: str) -> str:
    """Of this process, so that runs beside each other have groups of their own."""
    return f"odradek-jepsen-{os.getpid()}-{purpose}"


def members(group: Path) -> list[str]:
    """The ids of the processes in it; none when there is no such group."""
    with contextlib.suppress(FileNotFoundError):
        return (group / "cgroup.procs").read_text().split()
    return []


def remove(group: Path) -> None:
    """What is in there (a process that a paused or dying node leaves) goes to the parent first. Raises OSError."""
    deadline = time.monotonic() + _REMOVAL_S
    while True:
        for pid in members(group):
            with contextlib.suppress(OSError):
                (group.parent / "cgroup.procs").write_text(pid)
        try:
            group.rmdir()
            return
        except FileNotFoundError:
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def sweep(root: Path | None = None) -> list[str]:
    """Take away the groups of processes that are dead; returns their names. `root` is where groups are made."""
    root = root or cgroup_folder(Path("/proc/mounts").read_text())
    swept = []
    for group in sorted(root.iterdir()) if root is not None else ():
        made = _OURS.fullmatch(group.name)
        if made and not Path("/proc", made[1]).exists():
            remove(group)
            swept.append(group.name)
    return swept
