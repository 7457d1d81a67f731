"""From a step of the plan to the fault itself.

Decides: which class does which kind, and with what parts; which kinds a machine or a run cannot do. Does not decide:
when (`schedule`), what kinds there are and whom they may strike (`kinds`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, NamedTuple

from odradek.jepsen.db import network
from odradek.jepsen.nemesis import disks, links, partitions, power
from odradek.jepsen.nemesis.administration import Administration
from odradek.jepsen.nemesis.clients import ClientCrash, Workers, ZombieProducer
from odradek.jepsen.nemesis.clocks import ClockStep, ClockStrobe
from odradek.jepsen.nemesis.composites import Composite
from odradek.jepsen.nemesis.corruption import Corruption
from odradek.jepsen.nemesis.cpu import Cpu
from odradek.jepsen.nemesis.diversions import Diversions, Enter
from odradek.jepsen.nemesis.kinds import GROUPS, KINDS, Kind, UnknownKindError, resolve
from odradek.jepsen.nemesis.membership import LeaderMove, Membership, Reassign
from odradek.jepsen.nemesis.processes import Kill, Pause
from odradek.jepsen.nemesis.schedule import Step
from odradek.jepsen.nemesis.targets import Target, minority
from odradek.jepsen.ports import Cluster, Nemesis

__all__ = ["GROUPS", "KINDS", "Scene", "UnknownKindError", "build", "lacking", "resolve"]

_APART_S: Final = (0.05, 3.0)


@dataclass(frozen=True)
class Scene:
    """What faults are made of. `keys` are "topic/partition" of the workloads; `workers` and `diversions` may be
    missing: then the run has no faults of clients, or of links."""

    cluster: Cluster
    keys: Sequence[str]
    workers: Workers | None = None
    diversions: Diversions | None = None
    enter: Enter = network.run_in
    wait: Callable[[float], object] = time.sleep


class _Order(NamedTuple):
    """One fault to be made."""

    step: Step
    scene: Scene
    random: Random
    target: Target

    @property
    def cluster(self) -> Cluster:
        return self.scene.cluster

    @property
    def administration(self) -> Administration:
        return Administration(self.cluster)

    @property
    def workers(self) -> Workers:
        if self.scene.workers is None:
            raise LookupError(f"{self.step.name} needs workers")
        return self.scene.workers

    @property
    def diversions(self) -> Diversions:
        if self.scene.diversions is None:
            raise LookupError(f"{self.step.name} needs the proxy")
        return self.scene.diversions

    def split(self) -> tuple[Target, Target]:
        """A minority, and one of the others: from all nodes in their order."""
        few = minority(len(self.cluster.nodes))
        nodes = self.target.nodes
        return Target("minority", nodes[:few]), Target("one", nodes[few : few + 1])


def build(step: Step, scene: Scene) -> Nemesis:
    """The fault of a step. Raises UnknownKindError, and LookupError when the scene lacks what it needs."""
    if step.name not in KINDS:
        resolve([step.name])  # says what there is
        raise UnknownKindError(f"{step.name} is a group, and a step is one fault")
    target = Target(step.aim, step.targets, scene.keys)
    return _FACTORIES[step.name](_Order(step, scene, Random(step.seed), target))


def lacking(kinds: Iterable[Kind], capabilities: Collection[str]) -> Mapping[str, Sequence[str]]:
    """Kinds that cannot be done here, and what each lacks, to be said aloud and left out of the plan."""
    found = {}
    for kind in kinds:
        lacks = sorted(kind.needs - set(capabilities))
        if lacks:
            found[kind.name] = lacks
    return found


def _partition(order: _Order) -> Nemesis:
    return partitions.Partition(
        order.step.name, order.step.number, order.cluster, order.random, order.target, order.scene.enter
    )


def _link(fault: Callable[..., Nemesis]) -> Callable[[_Order], Nemesis]:
    def made(order: _Order) -> Nemesis:
        return fault(order.step.number, order.cluster, order.random, order.target, order.diversions)

    return made


def _power(order: _Order, target: Target | None = None) -> Nemesis:
    name = order.step.name if target is None else "power-one"
    return power.PowerCut(order.cluster, order.random, target or order.target, name)


def _corruption(order: _Order) -> Nemesis:
    return Corruption(order.cluster, order.random, order.target, order.step.name)


def _composite(order: _Order, first: Nemesis, second: Nemesis) -> Nemesis:
    apart_s = round(order.random.uniform(*_APART_S), 3)
    first_heals_first = order.random.random() < 0.5
    parts = [first, second]
    return Composite(order.step.name, order.cluster, parts, apart_s, first_heals_first, order.scene.wait)


def _pause_kill(order: _Order) -> Nemesis:
    few, one = order.split()
    return _composite(order, Pause(order.cluster, order.random, few), Kill(order.cluster, order.random, one))


def _pause_power_cut(order: _Order) -> Nemesis:
    few, one = order.split()
    return _composite(order, Pause(order.cluster, order.random, few), _power(order, one))


def _partition_kill(order: _Order) -> Nemesis:
    few, one = order.split()
    cut = partitions.Partition(
        "partition-one", order.step.number, order.cluster, order.random, few, order.scene.enter
    )
    return _composite(order, cut, _power(order, one))


_FACTORIES: Final[dict[str, Callable[[_Order], Nemesis]]] = {
    "kill": lambda order: Kill(order.cluster, order.random, order.target),
    "pause": lambda order: Pause(order.cluster, order.random, order.target),
    "pause-kill": _pause_kill,
    "pause-power-cut": _pause_power_cut,
    "partition-kill": _partition_kill,
    **dict.fromkeys(GROUPS["partition"], _partition),
    "link-slow": _link(links.LinkSlow),
    "link-lossy": _link(links.LinkLossy),
    "link-silent": _link(links.LinkSilent),
    "acks-dropped": _link(links.AcksDropped),
    "request-delayed": _link(links.RequestDelayed),
    "connection-reset": _link(links.ConnectionReset),
    "power-one": _power,
    "power-all": _power,
    "power-rolling": lambda order: power.RollingPowerCut(order.cluster, order.random, order.target),
    "fsync-error": lambda order: disks.FsyncError(order.cluster, order.random, order.target),
    "slow-disk": lambda order: disks.SlowDisk(order.cluster, order.random, order.target),
    "disk-full": lambda order: disks.DiskFull(order.cluster, order.random, order.target),
    "lost-disk": lambda order: disks.LostDisk(order.cluster, order.random, order.target),
    **dict.fromkeys(GROUPS["corruption"], _corruption),
    "clock-step": lambda order: ClockStep(order.cluster, order.random, order.target),
    "clock-strobe": lambda order: ClockStrobe(order.cluster, order.random, order.target),
    "cpu": lambda order: Cpu(order.step.number, order.cluster, order.random, order.target),
    "membership": lambda order: Membership(order.administration, order.target),
    "reassign": lambda order: Reassign(
        order.administration, order.random, order.scene.keys, sorted(order.cluster.nodes)
    ),
    "leader-move": lambda order: LeaderMove(order.administration, order.random, order.scene.keys),
    "client-crash": lambda order: ClientCrash(order.workers, order.random),
    "zombie-producer": lambda order: ZombieProducer(order.workers, order.random),
}
