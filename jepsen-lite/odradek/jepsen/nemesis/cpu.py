"""Too little CPU: a quota for a node's process, or busy processes beside all of them.

Decides: the control group of a fault, its quota, and how many processes burn. Does not decide: whom (`targets`).
Invariants: a throttled process goes back where it was, and its group goes away, also when the process has died since;
burners end by themselves when nobody stops them.

Both versions of control groups are handled: version 1 has a hierarchy for cpu with cfs quotas, version 2 has cpu.max
in one hierarchy. Threads that a process starts later are in the group of the process.
Source: the kernel's Documentation/scheduler/sched-bwc.rst and admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

from odradek.jepsen.db.control_groups import cgroup_folder, group_name, members, remove
from odradek.jepsen.nemesis.targets import Target, told
from odradek.jepsen.ports import Cluster

_PERIOD_US = 100_000
_SHARES: Final = (0.1, 0.2, 0.3, 0.5)
_BURNS_S = 60
_BURNER = (
    "import sys, time\nend = time.monotonic() + float(sys.argv[1])\nwhile time.monotonic() < end: pass\n"
)


class Hierarchy(NamedTuple):
    """Where groups for cpu are made. `unified` is version 2."""

    root: Path
    unified: bool

    def quota(self, share: float) -> dict[str, str]:
        """The files of a group, and what is written to them, for that share of one CPU; in their order."""
        used = int(_PERIOD_US * share)
        if self.unified:
            return {"cpu.max": f"{used} {_PERIOD_US}"}
        return {"cpu.cfs_period_us": str(_PERIOD_US), "cpu.cfs_quota_us": str(used)}

    def group_of(self, text: str) -> Path:
        """The group of a process, from its /proc/PID/cgroup."""
        for line in text.splitlines():
            _, controllers, path = line.split(":", 2)
            if "cpu" in controllers.split(",") or (self.unified and not controllers):
                return self.root / path.lstrip("/")
        return self.root


def hierarchy(mounts: Path = Path("/proc/mounts")) -> Hierarchy | None:
    """The one of this machine, None when there is none."""
    root = cgroup_folder(mounts.read_text())
    return None if root is None else Hierarchy(root, (root / "cgroup.controllers").exists())


class Cpu:
    """A tenth to a half of one CPU for each target; or, every third time, two burners for each CPU of the machine."""

    name = "cpu"

    def __init__(
        self,
        number: int,
        cluster: Cluster,
        random: Random,
        target: Target,
        where: Hierarchy | None = None,
    ) -> None:
        self._number = number
        self._cluster = cluster
        self._random = random
        self._target = target
        self._where = where or hierarchy()
        self._throttled: list[tuple[int, Path, Path]] = []  # pid, its group, the group where it was
        self._burners: list[subprocess.Popen[bytes]] = []

    def start(self) -> Mapping[str, object]:
        burns = self._random.random() < 1 / 3
        share = self._random.choice(_SHARES)
        if burns or self._where is None:
            count = 2 * (os.cpu_count() or 1)
            command = [sys.executable, "-c", _BURNER, str(_BURNS_S)]
            self._burners = [subprocess.Popen(command, process_group=0) for _ in range(count)]
            return {"nodes": sorted(self._cluster.nodes), "burners": count}
        struck = self._target.found(self._cluster, self._random)
        try:
            slowed = [node for node in struck if self._throttle(node, self._where, share)]
        except OSError:
            self.stop()
            raise
        return {**told(self._cluster, []), "nodes": slowed, "share": share}

    def _throttle(self, node: int, where: Hierarchy, share: float) -> bool:
        pid = self._cluster.nodes[node].pid
        if pid is None:
            return False
        before = where.group_of(Path(f"/proc/{pid}/cgroup").read_text())
        if where.unified:
            with contextlib.suppress(OSError):  # it is on already where it may not be changed
                (where.root / "cgroup.subtree_control").write_text("+cpu")
        group = where.root / group_name(f"{self._number}-{node}")
        group.mkdir(exist_ok=True)
        self._throttled.append((pid, group, before))
        for name, value in where.quota(share).items():
            (group / name).write_text(value)
        try:
            (group / "cgroup.procs").write_text(str(pid))
        except ProcessLookupError:  # killed just now
            return False
        return True

    def stop(self) -> Mapping[str, object]:
        nodes = sorted(self._target.nodes) if self._throttled else sorted(self._cluster.nodes)
        for burner in self._burners:
            burner.kill()
        for burner in self._burners:
            burner.wait()
        self._burners = []
        for pid, group, before in self._throttled:
            if str(pid) in members(group):
                with contextlib.suppress(ProcessLookupError):
                    (before / "cgroup.procs").write_text(str(pid))
        while self._throttled:  # what is not done yet is done by the next stop
            remove(self._throttled[-1][1])
            self._throttled.pop()
        return {"nodes": nodes}
