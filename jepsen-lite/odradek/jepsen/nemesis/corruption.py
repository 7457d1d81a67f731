"""Stored bytes of a node go bad while it is down; and what an operator does with a node that refuses to start then.

Decides: that the node is down before its bytes change, and how long a start is watched. Does not decide: which bytes
(`damage`), whom and when (`targets`, `schedule`).
Invariants: a node that ends at its start gets an empty disk and is started once more, with the end of its log in the
history: refusing to start is a legal answer to damage, and serving wrong bytes is not.
Source: reliability.md 7.3 N8.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from random import Random

from odradek.jepsen.nemesis.damage import PARTS, STALE_CHUNK, candidates, damage, drawn
from odradek.jepsen.nemesis.disks import wipe
from odradek.jepsen.nemesis.power import power_on
from odradek.jepsen.nemesis.targets import Target, told
from odradek.jepsen.ports import Cluster, Node

MOST_FILES = 3
STALE_S = 1.0
#: A start with a whole check of what is stored, on a busy machine.
WATCH_S = 60.0
#: Lines of the log that tell why a node refused.
_LINES = 6

Wait = Callable[[float], object]


class Corruption:
    """One to three files of one kind are damaged. `name` is one of `damage.DAMAGES`, `parts` some of `damage.PARTS`."""

    def __init__(
        self,
        cluster: Cluster,
        random: Random,
        target: Target,
        name: str,
        parts: Collection[str] = PARTS,
        wait: Wait = time.sleep,
    ) -> None:
        self._cluster = cluster
        self._random = random
        self._target = target
        self._name = name
        self._parts = parts
        self._wait = wait
        self._struck: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        return self._name

    def start(self) -> Mapping[str, object]:
        """`files`: {node: [[path, how, place, size, size of the file], ...]}."""
        self._struck = self._target.found(self._cluster, self._random)
        files: dict[str, object] = {}
        for number in self._struck:
            node = self._cluster.nodes[number]
            before = self._remembered(node) if self._name == STALE_CHUNK else {}
            node.kill()
            files[str(number)] = self._hit(node, before)
        return told(self._cluster, self._struck, aim=self._target.aim, files=files)

    def stop(self) -> Mapping[str, object]:
        """`refused`: {node: end of its log} of those that did not start, and have an empty disk now."""
        refused = revive(self._cluster, self._struck)
        return {"nodes": sorted(self._struck), **({"refused": refused} if refused else {})}

    def _remembered(self, node: Node) -> dict[Path, bytes]:
        """What the files hold now; then time passes in which they may change."""
        before = {}
        for paths in candidates(node.data, self._parts).values():
            for path in paths:
                try:
                    before[path] = path.read_bytes()
                except OSError:  # removed by the node meanwhile
                    continue
        self._wait(STALE_S)
        return before

    def _hit(self, node: Node, before: Mapping[Path, bytes]) -> list[object]:
        files = candidates(node.data, self._parts)
        if before:
            # Rather files that have changed since: only those can be stale.
            changed = {
                part: [path for path in paths if path in before and path.read_bytes() != before[path]]
                for part, paths in files.items()
            }
            files = {part: paths for part, paths in changed.items() if paths} or files
        hit: list[object] = []
        for path in drawn(self._random, files, MOST_FILES):
            content = path.read_bytes()
            done = damage(self._random, self._name, content, before.get(path))
            _overwrite(path, done.content)
            hit.append([str(path.relative_to(node.data)), done.how, done.place, done.size, len(content)])
        return hit


def revive(cluster: Cluster, numbers: Collection[int], watch_s: float = WATCH_S) -> dict[str, str]:
    """Start those nodes that do not run, until they serve; one that ends first gets an empty disk and starts once more.

    Returns the ends of the logs of those, by the node's id as a text. Watches each until it serves or has ended, for
    `watch_s` at most: an end after that would be nobody's, and would be told as the server's own.
    """
    started = [number for number in numbers if power_on(cluster.nodes[number])]
    refused: dict[str, str] = {}
    for number in started:
        node = cluster.nodes[number]
        try:
            cluster.await_serving([number], watch_s)
        except TimeoutError:
            if node.pid is None:
                refused[str(number)] = last_words(node)
                wipe(node)
                power_on(node)
    return refused


def _overwrite(path: Path, content: bytes) -> None:
    """In place and on the disk: a later power cut must find this damage, and no more than it."""
    with path.open("r+b", buffering=0) as file:
        file.write(content)
        file.truncate()
        os.fsync(file.fileno())


def last_words(node: Node) -> str:
    """The last lines of its log."""
    try:
        lines = (node.folder / "server.log").read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-_LINES:])
