"""The kinds of faults by name: whom each may strike, how long it lasts, what it needs, what else may run beside it.

Decides: names and groups, and the rules that `schedule` keeps when it draws. Does not decide: when a fault comes
(`schedule`), nor how it is done (`registry` and the modules of the faults).
Source: the list of nemeses of Jepsen (jepsen.nemesis.combined) and what the suites for Redpanda, Bufstream and
NATS use.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

#: How the nodes of a fault are chosen. `leader` and `controller` are found when the fault starts; the plan names a node
#: to strike when there is none. `order` is all nodes in a random order, `half` the smaller half, `some` one or more.
Aim = Literal["one", "leader", "controller", "minority", "half", "some", "all", "order", "none"]

#: Aims that may turn out to be any node.
FOUND_LATER: Final = frozenset({"leader", "controller"})


class Kind(NamedTuple):
    """Rules of a kind. The first of its `groups` is its family; `hold` is (least, most) seconds between start and stop;
    `needs` are capabilities of the machine.

    `takes`: it ends or starts processes or changes disks, so that two such faults do not have the same node at once.
    `damages`: bytes that were synced are lost or wrong on its nodes, until a full recovery.
    `empties`: its node may come back with an empty disk. A voter that has forgotten its votes is as dangerous as two
    that are lost, so that nothing else runs from there to the full recovery.
    `alone`: nothing else runs while it runs.
    """

    name: str
    groups: tuple[str, ...]
    aims: tuple[Aim, ...]
    hold: tuple[float, float]
    needs: frozenset[str] = frozenset()
    takes: bool = False
    damages: bool = False
    empties: bool = False
    alone: bool = False


class UnknownKindError(ValueError):
    """No kind and no group has that name; the message lists the allowed ones and the nearest."""


_NETWORK = frozenset({"netns", "nft"})
_PROXY = _NETWORK | {"ss-kill"}
_LOOP = frozenset({"loop"})
_FAILING = frozenset({"ext4-shutdown"})
_ONE_OR_FOUND: tuple[Aim, ...] = ("one", "leader", "controller")


def _corrupting(name: str) -> Kind:
    return Kind(name, ("disk", "corruption"), ("one",), (0.2, 5), takes=True, damages=True, empties=True)


KINDS: Final[dict[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind("kill", ("process",), (*_ONE_OR_FOUND, "minority", "all"), (0.2, 10), takes=True),
        Kind("pause", ("process",), (*_ONE_OR_FOUND, "minority"), (0.1, 15)),
        Kind("pause-kill", ("process", "composite"), ("order",), (1, 8), takes=True),
        Kind("partition-one", ("partition",), _ONE_OR_FOUND, (1, 20), _NETWORK),
        Kind("partition-halves", ("partition",), ("half",), (1, 20), _NETWORK),
        Kind("partition-ring", ("partition",), ("order",), (1, 20), _NETWORK),
        Kind("partition-one-way", ("partition",), _ONE_OR_FOUND, (1, 20), _NETWORK),
        Kind("partition-clients", ("partition",), (*_ONE_OR_FOUND, "some"), (1, 20), _NETWORK),
        Kind("partition-brokers", ("partition",), (*_ONE_OR_FOUND, "half"), (1, 20), _NETWORK),
        Kind("partition-kill", ("power", "composite"), ("order",), (2, 10), _NETWORK | _LOOP, takes=True),
        Kind("link-slow", ("link",), ("some", "leader"), (3, 15), _PROXY),
        Kind("link-lossy", ("link",), ("some", "leader"), (3, 15), _PROXY),
        Kind("link-silent", ("link",), ("some", "leader"), (3, 15), _PROXY),
        Kind("acks-dropped", ("link",), ("some", "leader"), (3, 15), _PROXY),
        Kind("request-delayed", ("link",), ("all",), (3, 15), _PROXY),
        Kind("connection-reset", ("link",), ("some", "leader"), (2, 10), _PROXY),
        Kind("power-one", ("power",), _ONE_OR_FOUND, (0.2, 5), _LOOP, takes=True),
        Kind("power-all", ("power",), ("all",), (0.2, 3), _LOOP, takes=True),
        Kind("power-rolling", ("power",), ("order",), (0.2, 3), _LOOP, takes=True),
        Kind("pause-power-cut", ("power", "composite"), ("order",), (1, 8), _LOOP, takes=True),
        Kind("fsync-error", ("disk",), ("one",), (1, 8), _FAILING, takes=True, damages=True),
        Kind("slow-disk", ("disk",), _ONE_OR_FOUND, (2, 10), _LOOP, takes=True),
        Kind("disk-full", ("disk",), ("one",), (2, 8), _LOOP, takes=True),
        _corrupting("bit-flip"),
        _corrupting("zero-sector"),
        _corrupting("truncate"),
        _corrupting("stale-chunk"),
        Kind("lost-disk", ("disk",), ("one",), (0.2, 5), _LOOP, takes=True, damages=True, empties=True),
        Kind("clock-step", ("clock",), ("some",), (1, 15), frozenset({"faketime"})),
        Kind("clock-strobe", ("clock",), ("some",), (2, 10), frozenset({"faketime"})),
        Kind(
            "cpu", ("resource",), ("one", "leader", "controller", "all"), (3, 15), frozenset({"cgroup-cpu"})
        ),
        Kind("membership", ("topology",), ("one",), (3, 10), alone=True),
        Kind("reassign", ("topology",), ("none",), (2, 10)),
        Kind("leader-move", ("topology",), ("none",), (0.1, 1)),
        Kind("client-crash", ("client",), ("none",), (0.1, 2)),
        Kind("zombie-producer", ("client",), ("none",), (6, 12)),
    )
}

#: How likely a family is to be drawn for a period: those that find most come most often, however many kinds they have.
WEIGHTS: Final = {"process": 3, "partition": 3, "power": 3, "link": 2, "disk": 2}

GROUPS: Final[dict[str, tuple[str, ...]]] = {
    **{
        group: tuple(kind.name for kind in KINDS.values() if group in kind.groups)
        for kind in KINDS.values()
        for group in kind.groups
    },
    "all": tuple(KINDS),
    "default": tuple(KINDS),
}


def resolve(names: Iterable[str]) -> tuple[Kind, ...]:
    """The kinds that are meant, in the order of the table; a name may be a kind or a group. `none` is no kind.

    Raises UnknownKindError.
    """
    wanted: set[str] = set()
    for name in names:
        if name in KINDS:
            wanted.add(name)
        elif name in GROUPS:
            wanted.update(GROUPS[name])
        elif name != "none":
            raise UnknownKindError(_unknown(name))
    return tuple(kind for kind in KINDS.values() if kind.name in wanted)


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, [*KINDS, *GROUPS], 1, 0.5)
    guess = f" (perhaps {near[0]}?)" if near else ""
    kinds, groups = ", ".join(KINDS), ", ".join(sorted(GROUPS))
    return f"no nemesis is called {name!r}{guess}; kinds: {kinds}; groups: {groups}"
