"""Whom a fault strikes: the plan's nodes, or the leader or controller of the moment.

Decides: how an aim of the plan becomes node ids when the fault starts, and when a majority cannot serve.
Does not decide: which aim a fault has (`schedule`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from random import Random
from typing import NamedTuple

from odradek.jepsen.nemesis.kinds import Aim
from odradek.jepsen.ports import Cluster


class Target(NamedTuple):
    """Whom to strike, as the plan has it. `keys` ("topic/partition") are those whose leader may be looked for."""

    aim: Aim
    nodes: tuple[int, ...]
    keys: Sequence[str] = ()

    def found(self, cluster: Cluster, random: Random) -> tuple[int, ...]:
        """The nodes, now. Falls back to those of the plan when nobody says who leads."""
        node = None
        if self.aim == "leader" and self.keys:
            node = cluster.leader_of(random.choice(self.keys))
        elif self.aim == "controller":
            node = cluster.controller()
        return self.nodes if node is None else (node,)


def told(cluster: Cluster, down: Collection[int], **more: object) -> Mapping[str, object]:
    """What a start returns: the nodes struck, and whether those that cannot serve are so many that none can."""
    majority = {"majority": True} if 2 * len(down) >= len(cluster.nodes) else {}
    return {"nodes": sorted(down), **majority, **more}


def minority(nodes: int) -> int:
    """The most nodes that may be missing; at least one is struck in any cluster."""
    return max(1, (nodes - 1) // 2)
