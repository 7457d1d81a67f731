"""What this machine can do of what was asked for.

Decides: which kinds of faults are left out, loudly, and which runs cannot take place. Does not decide: how a capability
is found out (`db.capabilities`), nor what a kind needs (`nemesis.kinds`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from odradek.jepsen.checkers import verdict
from odradek.jepsen.db.capabilities import Capabilities
from odradek.jepsen.nemesis.kinds import Kind, resolve
from odradek.jepsen.nemesis.registry import lacking
from odradek.jepsen.run.options import Options


class CannotRun(OSError):
    """There is no cluster to be had on this machine; the message says why."""


class Survey(NamedTuple):
    """`able` are the kinds of faults that can be done; `lines` say what there is and what is left out."""

    able: Sequence[str]
    capabilities: Sequence[verdict.Capability]
    lines: Sequence[str]


#: What only a cluster with one more node, or another cluster, can do.
_NEEDS_NODES = {
    "membership": 3,
    "pause-kill": 2,
    "pause-power-cut": 2,
    "partition-kill": 2,
    "partition-brokers": 2,
}
_ODRADEK_ALONE = frozenset({"membership"})


def survey(options: Options, found: Capabilities) -> Survey:
    """Raises CannotRun, UnknownKindError."""
    reason = found.unable()
    if reason is not None:
        raise CannotRun(f"no cluster can be run here: {reason}")
    if options.flavour == "kafka" and "kafka" not in found.names:
        raise CannotRun(f"Apache Kafka cannot be run here: {found.detail('kafka')}")
    kinds = resolve(options.nemeses)
    lacks = lacking(kinds, found.names)
    able = [kind.name for kind in kinds if kind.name not in lacks and _has_place(kind, options)]
    lines = found.lines(lacks)
    left_out = [kind.name for kind in kinds if kind.name not in able and kind.name not in lacks]
    if left_out:
        lines.append(f"left out with {options.nodes} nodes of {options.flavour}: {', '.join(left_out)}")
    told = [verdict.Capability(one.name, one.present, f"{one.use}: {one.detail}") for one in found.found]
    return Survey(able, told, lines)


def _has_place(kind: Kind, options: Options) -> bool:
    if options.flavour != "odradek" and kind.name in _ODRADEK_ALONE:
        return False
    return options.nodes >= _NEEDS_NODES.get(kind.name, 1)
