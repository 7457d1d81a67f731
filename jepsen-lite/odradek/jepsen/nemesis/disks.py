"""Disks that answer with errors, are full, stand still for a while, or are lost.

Decides: what is done to the file system of a node, and how an operator brings the node back. Does not decide: whom and
when (`targets`, `schedule`).
Invariants: after `stop` the image is mounted, sound and without our ballast, and the node was started if it was down,
whatever else struck it meanwhile.
Source: reliability.md 4.4, and 7.3 N7 and N9.
"""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random

from odradek.jepsen.nemesis.power import power_on
from odradek.jepsen.nemesis.targets import Target, told
from odradek.jepsen.ports import Cluster, Image, Node

BALLAST = "ballast"


class FsyncError:
    """The disk answers every call with EIO from now on; a node that goes on acknowledging would be lying.

    `stop` ends the node if it still runs, mounts the image again (without what was not synced) and starts the node.
    """

    name = "fsync-error"

    def __init__(self, cluster: Cluster, random: Random, target: Target) -> None:
        self._cluster = cluster
        self._random = random
        self._target = target
        self._struck: tuple[int, ...] = ()

    def start(self) -> Mapping[str, object]:
        self._struck = self._target.found(self._cluster, self._random)
        for node in self._struck:
            self._cluster.nodes[node].image.fail()
        return told(self._cluster, self._struck, aim=self._target.aim)

    def stop(self) -> Mapping[str, object]:
        """`ended`: the nodes that had ended by themselves."""
        nodes = [self._cluster.nodes[node] for node in self._struck]
        ended = [node.id for node in nodes if node.pid is None]
        for node in nodes:
            remount(node)
            node.spawn()
        return {"nodes": sorted(self._struck), "ended": ended}


class DiskFull:
    """A file takes all room but some KiB; `stop` removes it, and starts the node if the lack of room ended it."""

    name = "disk-full"

    def __init__(self, cluster: Cluster, random: Random, target: Target, most_left_kib: int = 256) -> None:
        self._cluster = cluster
        self._random = random
        self._target = target
        self._most_left_kib = most_left_kib
        self._struck: tuple[int, ...] = ()

    def start(self) -> Mapping[str, object]:
        """`filled`: KiB that were taken, by node."""
        self._struck = self._target.found(self._cluster, self._random)
        filled = {}
        for node in self._struck:
            left = self._random.randint(0, self._most_left_kib) << 10
            filled[str(node)] = fill(self._cluster.nodes[node].image, left) >> 10
        return told(self._cluster, self._struck, aim=self._target.aim, filled_kib=filled)

    def stop(self) -> Mapping[str, object]:
        started = []
        for number in self._struck:
            node = self._cluster.nodes[number]
            node.image.mount()
            try:
                (node.image.mount_point / BALLAST).unlink(missing_ok=True)
            except OSError:  # the disk has failed since: as a new mount it has not
                remount(node)
                (node.image.mount_point / BALLAST).unlink(missing_ok=True)
            if power_on(node):
                started.append(number)
        return {"nodes": sorted(self._struck), "started": started}


class LostDisk:
    """The node dies and its disk with it; `stop` starts it under its old id with an empty one."""

    name = "lost-disk"

    def __init__(self, cluster: Cluster, random: Random, target: Target) -> None:
        self._cluster = cluster
        self._random = random
        self._target = target
        self._struck: tuple[int, ...] = ()

    def start(self) -> Mapping[str, object]:
        self._struck = self._target.found(self._cluster, self._random)
        for node in self._struck:
            wipe(self._cluster.nodes[node])
        return told(self._cluster, self._struck, aim=self._target.aim)

    def stop(self) -> Mapping[str, object]:
        return {"nodes": [node for node in self._struck if power_on(self._cluster.nodes[node])]}


class SlowDisk:
    """The disk takes no writes for 50 to 2,000 ms at a time, again and again until `stop`; syncs wait for it.

    Each time the file system is frozen, by a process of its own that thaws it even when the run has died. A freeze
    syncs everything: nothing is lost by it.
    """

    name = "slow-disk"

    def __init__(
        self,
        cluster: Cluster,
        random: Random,
        target: Target,
        freeze: Callable[[Path, float], object] | None = None,
    ) -> None:
        self._cluster = cluster
        self._random = random
        self._target = target
        self._freeze = freeze or freeze_for
        self._struck: tuple[int, ...] = ()
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._stalls: dict[str, int] = {}

    def start(self) -> Mapping[str, object]:
        self._struck = self._target.found(self._cluster, self._random)
        for node in self._struck:
            drawn = Random(self._random.getrandbits(64))
            thread = threading.Thread(target=self._stall, args=(node, drawn), daemon=True)
            self._threads.append(thread)
            thread.start()
        return {"nodes": sorted(self._struck), "aim": self._target.aim}

    def stop(self) -> Mapping[str, object]:
        """`stalls`: how many there were, by node."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        return {"nodes": sorted(self._struck), "stalls": self._stalls}

    def _stall(self, number: int, drawn: Random) -> None:
        image = self._cluster.nodes[number].image
        while True:
            stall_s = min(2.0, 0.05 * 40 ** drawn.random())
            if image.mounted:
                self._freeze(image.mount_point, stall_s)
                self._stalls[str(number)] = self._stalls.get(str(number), 0) + 1
            if self._over.wait(drawn.uniform(0.01, 0.3)):
                return


def freeze_for(mount_point: Path, seconds: float) -> None:
    """Returns when it is thawed. A file system that cannot be frozen now (failed, gone) is left as it is."""
    script = 'fsfreeze -f "$0" && { sleep "$1"; fsfreeze -u "$0"; }'
    command = ["sh", "-c", script, str(mount_point), f"{seconds:.3f}"]
    subprocess.run(command, capture_output=True, check=False, start_new_session=True)


def remount(node: Node) -> None:
    """End the node, and mount its image again: what was not synced is lost if the disk had failed."""
    node.kill()
    node.image.unmount()
    node.image.mount()


def wipe(node: Node) -> None:
    """End the node and give it an empty disk, with the folder that its settings name."""
    node.kill()
    node.image.fail()
    node.image.unmount()
    node.image.make_anew()
    node.image.mount()
    node.data.mkdir(parents=True, exist_ok=True)


def fill(image: Image, left: int) -> int:
    """Take all room of a file system but `left` bytes; returns how many were taken. Nothing when it has failed."""
    taken = 0
    with contextlib.suppress(OSError):
        descriptor = os.open(image.mount_point / BALLAST, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            taken = os.fstat(descriptor).st_size
            step = _free(descriptor) - left
            while step >= 4096:
                if _allocate(descriptor, taken, step):
                    taken += step
                    step = _free(descriptor) - left
                else:
                    step //= 2
        finally:
            os.close(descriptor)
    return taken


def _free(descriptor: int) -> int:
    room = os.fstatvfs(descriptor)
    return room.f_bavail * room.f_frsize


def _allocate(descriptor: int, start: int, size: int) -> bool:
    try:
        os.posix_fallocate(descriptor, start, size)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            return False
        raise
    return True
