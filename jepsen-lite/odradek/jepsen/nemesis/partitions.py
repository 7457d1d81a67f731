"""Partitions: packets between namespaces that are dropped, by nftables.

Decides: which pairs of hosts are cut for each kind, and the rules that cut them. Does not decide: whom (`targets`).
Invariants: every fault has a table of its own in each namespace that it touches, named by its number, so that
partitions overlap freely and healing one leaves the others; the rules outlive nodes, and need none alive.

A packet from one host to another is dropped where it leaves and where it arrives. Output is dropped before addresses
are translated (priority -300 is before conntrack and dstnat), input after they were translated back (which
is at 100): a connection that
a fault of `links` leads through the proxy is cut like any other. Nothing is refused: the other side just falls silent.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from random import Random
from typing import Final, NamedTuple

from odradek.jepsen.nemesis.diversions import Enter, removal
from odradek.jepsen.nemesis.targets import Target, told
from odradek.jepsen.ports import Cluster

#: A packet's way: from a host to a host. A node is named by its id, the clients by 0.
Cut = tuple[int, int]
CLIENTS: Final = 0
#: Listeners that only nodes dial.
BROKER_LISTENERS: Final = ("INTERNAL", "CONTROLLER")


class Place(NamedTuple):
    """Where a host is."""

    namespace: str
    address: str


# -- who is cut from whom (pure)


def both_ways(cuts: Iterable[Cut]) -> set[Cut]:
    return {way for one, other in cuts for way in ((one, other), (other, one))}


def apart(side: Collection[int], others: Collection[int]) -> set[Cut]:
    """Nothing passes between a side and the others."""
    return both_ways((one, other) for one in side for other in others if other not in side)


def ring(order: Sequence[int]) -> set[Cut]:
    """Majorities ring: every node hears a majority (itself included), and no two hear the same one.

    Nodes stand in a circle. With five each is left with its two neighbours. An odd number of places is left on
    neither side only when a majority is odd; otherwise (three nodes: two) a node hears one more on one side than it
    is heard by, so that over TCP three nodes lose each other altogether.
    """
    size = len(order)
    majority = size // 2 + 1
    cuts = set()
    for place, node in enumerate(order):
        reach = [order[(place + step - (majority - 1) // 2) % size] for step in range(majority)]
        cuts |= {(other, node) for other in order if other not in reach and other != node}
    return cuts


# -- the rules (pure)


def table_name(number: int) -> str:
    return f"fault{number}"


def scripts(
    table: str, cuts: Iterable[Cut], places: Mapping[int, Place], ports: Collection[int] = ()
) -> dict[str, str]:
    """For `nft -f -`, by namespace. With `ports` only TCP from or to those ports is dropped."""
    leaving: dict[int, list[str]] = {}
    coming: dict[int, list[str]] = {}
    for source, target in sorted(cuts):
        leaving.setdefault(source, []).append(places[target].address)
        coming.setdefault(target, []).append(places[source].address)
    found = {}
    for host in sorted({*leaving, *coming}):
        chains = [
            *_chain("leaving", "output priority -300", "daddr", leaving.get(host, []), ports),
            *_chain("coming", "input priority 200", "saddr", coming.get(host, []), ports),
        ]
        found[places[host].namespace] = f"table ip {table} {{\n" + "\n".join(chains) + "\n}\n"
    return found


def _chain(
    name: str, hook: str, side: str, addresses: Sequence[str], ports: Collection[int]
) -> Iterable[str]:
    if not addresses:
        return []
    whom = f"ip {side} {{ {', '.join(addresses)} }}"
    listed = ", ".join(map(str, sorted(ports)))
    which = [f"tcp {end} {{ {listed} }} " for end in ("sport", "dport")] if ports else [""]
    rules = [f"    {whom} {ends}drop" for ends in which]
    return [f"  chain {name} {{", f"    type filter hook {hook}; policy accept;", *rules, "  }"]


# -- the faults


class Partition:
    """One partition of a kind. `number` names its tables: it is the fault's own in the run."""

    def __init__(
        self, kind: str, number: int, cluster: Cluster, random: Random, target: Target, enter: Enter
    ) -> None:
        self._kind = kind
        self._table = table_name(number)
        self._cluster = cluster
        self._random = random
        self._target = target
        self._enter = enter
        self._touched: list[str] = []

    @property
    def name(self) -> str:
        return self._kind

    def start(self) -> Mapping[str, object]:
        struck = self._target.found(self._cluster, self._random)
        cuts = cuts_of(self._kind, struck, sorted(self._cluster.nodes), self._random)
        ports = self._broker_ports() if self._kind == "partition-brokers" else []
        rules = scripts(self._table, cuts, self._places(), ports)
        self._touched = list(rules)
        try:
            for namespace, script in rules.items():
                self._enter(namespace, ["nft", "-f", "-"], stdin=script)
        except Exception:
            self.stop()
            raise
        down = cut_off(cuts, sorted(self._cluster.nodes))
        did = told(self._cluster, down)
        return {**did, "nodes": sorted(struck), "cuts": [list(cut) for cut in sorted(cuts)]}

    def stop(self) -> Mapping[str, object]:
        touched, self._touched = self._touched, []
        failed: list[Exception] = []
        for namespace in touched:
            try:
                self._enter(namespace, ["nft", "-f", "-"], stdin=removal(self._table))
            except Exception as error:  # the others are healed all the same, and this one by the next stop
                failed.append(error)
                self._touched.append(namespace)
        if failed:
            raise ExceptionGroup(f"healing {self._kind} ({self._table})", failed)
        return {"nodes": sorted(self._cluster.nodes), "namespaces": touched}

    def _places(self) -> dict[int, Place]:
        nodes = {node.id: Place(node.namespace, node.address) for node in self._cluster.nodes.values()}
        clients = self._cluster.clients
        return {**nodes, CLIENTS: Place(clients.namespace, clients.address)}

    def _broker_ports(self) -> list[int]:
        return [self._cluster.ports[name] for name in BROKER_LISTENERS if name in self._cluster.ports]


def cuts_of(kind: str, struck: Sequence[int], nodes: Sequence[int], random: Random) -> set[Cut]:
    """What a kind cuts. Raises KeyError for a kind that is no partition."""
    if (
        kind == "partition-one"
    ):  # a node alone among nodes; every other time its clients do not reach it either
        return apart(struck, [*nodes, CLIENTS] if random.random() < 0.5 else nodes)
    if kind in ("partition-halves", "partition-brokers"):
        return apart(struck, nodes)
    if kind == "partition-ring":
        return ring(struck)
    if kind == "partition-one-way":
        cuts = {(one, other) for one in struck for other in nodes if other not in struck}
        return cuts if random.random() < 0.5 else {(other, one) for one, other in cuts}
    if kind == "partition-clients":
        return apart(struck, [CLIENTS])
    raise KeyError(kind)


def cut_off(cuts: Collection[Cut], nodes: Sequence[int]) -> set[int]:
    """Nodes that are not in a group that can serve: a majority whose members all reach each other and the clients."""

    def joined(one: int, other: int) -> bool:
        return (one, other) not in cuts and (other, one) not in cuts

    best: set[int] = set()
    for first in nodes:
        group = {first}
        for other in nodes:
            if all(joined(other, member) for member in group):
                group.add(other)
        if all(joined(first, other) for other in group) and len(group) > len(best):
            best = group
    served = {node for node in best if joined(node, CLIENTS)}
    return set(nodes) - (served if 2 * len(best) > len(nodes) else set())
