"""Processes that end or stand still: SIGKILL and SIGSTOP.

Decides: what is sent to whom, and that it is undone. Does not decide: whom and when (`targets`, `schedule`).
Nothing here waits for a node to serve: the time until it does is what the run measures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from random import Random

from odradek.jepsen.nemesis.targets import Target, told
from odradek.jepsen.ports import Cluster, Node


class Kill:
    """SIGKILL to all targets at once; `stop` starts those that do not run."""

    name = "kill"

    def __init__(self, cluster: Cluster, random: Random, target: Target) -> None:
        self._cluster = cluster
        self._random = random
        self._target = target
        self._struck: tuple[int, ...] = ()

    def start(self) -> Mapping[str, object]:
        self._struck = self._target.found(self._cluster, self._random)
        kill([self._cluster.nodes[node] for node in self._struck])
        return told(self._cluster, self._struck, aim=self._target.aim)

    def stop(self) -> Mapping[str, object]:
        started = [node for node in self._struck if spawn_if_down(self._cluster.nodes[node])]
        return {"nodes": started}


class Pause:
    """SIGSTOP; `stop` lets those go on that still stand. A node that was killed meanwhile is not started."""

    name = "pause"

    def __init__(self, cluster: Cluster, random: Random, target: Target) -> None:
        self._cluster = cluster
        self._random = random
        self._target = target
        self._struck: tuple[int, ...] = ()

    def start(self) -> Mapping[str, object]:
        self._struck = self._target.found(self._cluster, self._random)
        for node in self._struck:
            self._cluster.nodes[node].pause()
        return told(self._cluster, self._struck, aim=self._target.aim)

    def stop(self) -> Mapping[str, object]:
        for node in self._struck:
            self._cluster.nodes[node].resume()
        return {"nodes": sorted(self._struck)}


def kill(nodes: Sequence[Node]) -> None:
    """Kill them as nearly together as threads can."""
    if nodes:
        with ThreadPoolExecutor(len(nodes)) as threads:
            list(threads.map(lambda node: node.kill(), nodes))


def spawn_if_down(node: Node) -> bool:
    """Start the node if it does not run; False when it does."""
    if node.pid is not None:
        return False
    node.spawn()
    return True
