"""Power cuts: what was not synced is gone, or there in part, as if the machine had lost its current.

Decides: in which order the node, its image and its bytes are treated so that the cut is one instant. Does not decide:
which unsynced bytes survive (`torn_tails`), whom and when (`targets`, `schedule`).
Invariants: all nodes of one cut stand still before the first image is copied, and none goes on afterwards, so what any
of them acknowledged before was synced before; a node that cannot be brought to a stand is killed and keeps its disk.
The run has to hold `db.image.quiet_writeback` meanwhile: otherwise the kernel saves much of what should be lost.

    SIGSTOP -> copy of the image -> torn tails, put into the copy -> SIGKILL -> unmount -> the copy instead -> mount

Source: reliability.md 4.2 and 7.3 N3.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

from odradek.jepsen.db.image import LoopImage
from odradek.jepsen.nemesis import torn_tails
from odradek.jepsen.nemesis.targets import Target, told
from odradek.jepsen.nemesis.torn_tails import TornFile
from odradek.jepsen.ports import Cluster, Image, Node

#: The most files that are named in the history, of each node.
NAMED = 20
SPREAD_S = 5.0

#: How the copy of an image becomes a file system: (file, mount point).
OpenCopy = Callable[[Path, Path], Image]
Torn = Mapping[str, object]


class PowerCut:
    """All targets lose power at one moment; `stop` starts those that do not run. `name`: power-one, power-all."""

    def __init__(
        self,
        cluster: Cluster,
        random: Random,
        target: Target,
        name: str = "power-one",
        open_copy: OpenCopy = LoopImage,
        identity: torn_tails.Identity = torn_tails.inode,
    ) -> None:
        self._cluster = cluster
        self._random = random
        self._target = target
        self._name = name
        self._supply = Supply(open_copy, identity)
        self._struck: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        return self._name

    def start(self) -> Mapping[str, object]:
        """More than the nodes: "disks" {node: {"lost": bytes, "restored": bytes, "files": ...}}, "took_ms"."""
        self._struck = self._target.found(self._cluster, self._random)
        began = time.monotonic()
        disks = self._supply.cut([self._cluster.nodes[node] for node in self._struck], self._random)
        took_ms = round((time.monotonic() - began) * 1000)
        return told(self._cluster, self._struck, aim=self._target.aim, disks=disks, took_ms=took_ms)

    def stop(self) -> Mapping[str, object]:
        return {"nodes": [node for node in self._struck if power_on(self._cluster.nodes[node])]}


class RollingPowerCut:
    """The targets lose power one after the other, within 5 s; it returns to each when the next one goes.

    In one of two cuts, drawn: in the other it stays away until `stop`, so that all are down in the end.
    """

    name = "power-rolling"

    def __init__(
        self,
        cluster: Cluster,
        random: Random,
        target: Target,
        open_copy: OpenCopy = LoopImage,
        identity: torn_tails.Identity = torn_tails.inode,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        self._cluster = cluster
        self._random = random
        self._target = target
        self._supply = Supply(open_copy, identity)
        self._wait = wait
        self._struck: list[int] = []

    def start(self) -> Mapping[str, object]:
        order = self._target.found(self._cluster, self._random)
        returns = self._random.random() < 0.5
        gap_s = self._random.uniform(0.2, 1.0) * SPREAD_S / max(1, len(order))
        disks: dict[str, Torn] = {}
        for place, node in enumerate(order):
            if place:
                self._wait(gap_s)
            self._struck.append(node)
            disks |= self._supply.cut([self._cluster.nodes[node]], self._random)
            if returns and place:
                power_on(self._cluster.nodes[order[place - 1]])
        down = [node for node in order if self._cluster.nodes[node].pid is None]
        more = {"disks": disks, "returns": returns, "gap_s": round(gap_s, 3)}
        return {**told(self._cluster, down, **more), "nodes": sorted(order)}

    def stop(self) -> Mapping[str, object]:
        return {"nodes": [node for node in self._struck if power_on(self._cluster.nodes[node])]}


def power_on(node: Node) -> bool:
    """Mount its image and start it; False when it runs."""
    if node.pid is not None:
        return False
    node.image.mount()
    node.spawn()
    return True


class Supply:
    """Cuts power. Without torn tails if `identity` is None: then all that was not synced is gone."""

    def __init__(
        self, open_copy: OpenCopy = LoopImage, identity: torn_tails.Identity | None = torn_tails.inode
    ) -> None:
        self._open_copy = open_copy
        self._identity = identity

    def cut(self, nodes: Sequence[Node], random: Random) -> dict[str, Torn]:
        """Cut the power of all these nodes at one instant. They are down and their images mounted afterwards.

        What became of each disk, by the node's id as a text. Raises OSError when an image cannot be swapped.
        """
        if not nodes:
            return {}
        drawn = [Random(random.getrandbits(64)) for _ in nodes]  # the threads must not share one
        with ThreadPoolExecutor(len(nodes)) as threads:
            stands = list(threads.map(_stand, nodes))
            copies = list(threads.map(_copy, nodes, stands))
            ends = list(threads.map(self._end, nodes, copies, drawn))
        return {str(node.id): end for node, end in zip(nodes, ends)}

    def _end(self, node: Node, copy: Path | str, random: Random) -> Torn:
        if isinstance(copy, str):
            node.kill()
            return {"kept": copy}
        try:
            with self._opened(node.image, copy) as kept:
                torn = self._tear(node, kept, random)
            node.kill()
            node.image.fail()  # so that the unmount does not write what the cut has lost
            node.image.unmount()
            node.image.replace_by(copy)
        finally:
            node.kill()
            copy.unlink(missing_ok=True)
            node.image.mount()
        return torn

    @contextlib.contextmanager
    def _opened(self, image: Image, copy: Path) -> Iterator[Path]:
        """The copy as a file system, mounted beside the image; whole on its file again at the end."""
        mount_point = image.mount_point.with_name(f"{image.mount_point.name}-cut")
        mount_point.mkdir(exist_ok=True)
        opened = self._open_copy(copy, mount_point)
        opened.mount()
        try:
            yield mount_point
        finally:
            opened.unmount()
            mount_point.rmdir()

    def _tear(self, node: Node, kept: Path, random: Random) -> Torn:
        if self._identity is None:
            return {}
        data = node.data.relative_to(node.image.mount_point)
        try:
            return summary(torn_tails.tear(random, node.data, kept / data, self._identity))
        except OSError as error:  # the disk had failed before: there is nothing more to be had from it
            return {"torn": str(error)}


def summary(torn: Sequence[TornFile]) -> Torn:
    """For the history: sums, and the files of the largest losses."""
    files = sorted(torn, key=lambda file: -file.lost)[:NAMED]
    return {
        "lost": sum(file.lost for file in torn),
        "restored": sum(file.restored for file in torn),
        "torn": len(torn),
        "files": {file.path: [file.how, file.lost, file.restored] for file in files},
    }


def _stand(node: Node) -> str:
    """Empty when the node stands still or does not run; otherwise why not."""
    try:
        node.pause()
    except TimeoutError as error:
        return str(error)
    return "" if node.image.mounted else "the image was not mounted"


def _copy(node: Node, trouble: str) -> Path | str:
    """The copy's file, or why there is none."""
    copy = node.image.file.with_name(f"{node.image.file.name}.cut")
    if trouble:
        return trouble
    try:
        node.image.copy_to(copy)
    except OSError as error:
        copy.unlink(missing_ok=True)
        return str(error)
    return copy
