"""Faults that are sharpest together: a minority sleeps or is cut off while one of the rest dies, then roles change.

Decides: the order of the parts and of their healing. Does not decide: what the parts do.
Invariants: a part that cannot start leaves none of the parts before it; every part that was started is stopped, also
when the healing of another one fails.
Source: the pause-kill and partition-kill faults of the NATS suite: what was acknowledged without the minority must
outlive the death of a node of the majority, also when the minority is what it comes back to.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from odradek.jepsen.nemesis.targets import told
from odradek.jepsen.ports import Cluster, Nemesis


class Composite:
    """`parts` start in their order, `apart_s` seconds between them. They heal last first, or first first."""

    def __init__(
        self,
        name: str,
        cluster: Cluster,
        parts: Sequence[Nemesis],
        apart_s: float,
        first_heals_first: bool,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        self._name = name
        self._cluster = cluster
        self._parts = parts
        self._apart_s = apart_s
        self._first_heals_first = first_heals_first
        self._wait = wait
        self._started: list[Nemesis] = []

    @property
    def name(self) -> str:
        return self._name

    def start(self) -> Mapping[str, object]:
        did: dict[str, object] = {}
        nodes: set[int] = set()
        try:
            for part in self._parts:
                if self._started:
                    self._wait(self._apart_s)
                self._started.append(part)  # before it starts: what fails half way is healed too
                did[part.name] = done = part.start()
                nodes |= struck(done)
        except Exception:
            self.stop()
            raise
        return told(self._cluster, nodes, parts=did, apart_s=self._apart_s)

    def stop(self) -> Mapping[str, object]:
        order = self._started if self._first_heals_first else self._started[::-1]
        self._started = []
        did: dict[str, object] = {}
        failed: list[Exception] = []
        for place, part in enumerate(order):
            if place:
                self._wait(self._apart_s)
            try:
                did[part.name] = part.stop()
            except Exception as error:  # the others are healed all the same, and this one by the next stop
                failed.append(error)
                self._started.append(part)
        if failed:
            if not self._first_heals_first:
                self._started.reverse()
            raise ExceptionGroup(f"healing {self._name}", failed)
        nodes: set[int] = set()
        for done in did.values():
            nodes |= struck(done)
        return {"nodes": sorted(nodes), "parts": did}


def struck(done: object) -> set[int]:
    """The nodes of what a fault returned."""
    nodes = done.get("nodes", ()) if isinstance(done, Mapping) else ()
    return {node for node in nodes if isinstance(node, int)} if isinstance(nodes, list | tuple) else set()
