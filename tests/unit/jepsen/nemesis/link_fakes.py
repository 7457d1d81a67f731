"""A cluster that is only names, a proxy that only notes what it is told, and namespaces that note what is run there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

from odradek.jepsen.ports import Cluster
from odradek.jepsen.proxy.behaviour import Behaviour

PORTS = {"CLIENT": 9092, "INTERNAL": 9093, "CONTROLLER": 9094, "GRPC": 50051}


class Host(NamedTuple):
    id: int
    namespace: str
    address: str


class NamedCluster:
    """Nodes 1 to 3, clients and proxy; node 2 leads everything."""

    def __init__(self, ports: Mapping[str, int] = PORTS) -> None:
        self.ports = dict(ports)
        self.nodes = {node: Host(node, f"n{node}", f"10.77.0.{10 + node}") for node in (1, 2, 3)}
        self.clients = Host(0, "clients", "10.77.0.100")
        self.proxy = Host(0, "proxy", "10.77.0.200")

    def leader_of(self, key: str) -> int | None:
        return 2

    def controller(self) -> int | None:
        return 3


def named_cluster(ports: Mapping[str, int] = PORTS) -> Cluster:
    return cast(Cluster, NamedCluster(ports))


class NotedProxy:
    """Links by name. `broken` names links that it refuses to open or to close."""

    address = "10.77.0.200"

    def __init__(self, journal: list[Any]) -> None:
        self.links: dict[str, Behaviour] = {}
        self.tally: dict[str, dict[str, int]] = {}
        self.broken: set[str] = set()
        self._journal = journal

    def open(self, link: str, target: tuple[str, int], behaviour: Behaviour) -> int:
        self._journal.append(("open", link, target))
        if link in self.broken:
            raise OSError(f"no {link}")
        assert link not in self.links
        self.links[link] = behaviour
        self.tally[link] = {"connections": 1, "open": 1}
        return 40_000 + len(self.links)

    def change(self, link: str, behaviour: Behaviour) -> Mapping[str, int]:
        self._journal.append(("change", link))
        self.links[link] = behaviour
        return dict(self.tally[link])

    def reset(self, link: str, *, deliver: bool = True) -> Mapping[str, int]:
        self._journal.append(("reset", link, deliver))
        return dict(self.tally[link])

    def counts(self, link: str) -> Mapping[str, int]:
        return dict(self.tally[link])

    def close(self, link: str, *, deliver: bool = True) -> Mapping[str, int]:
        self._journal.append(("close", link, deliver))
        if link in self.broken:
            raise OSError(f"no {link}")
        del self.links[link]
        return self.tally.pop(link)


class NotedNamespaces:
    """`tables` are the nft tables that there are, with their text, by namespace."""

    def __init__(self, journal: list[Any]) -> None:
        self.tables: dict[tuple[str, str], str] = {}
        self.broken: set[str] = set()
        self._journal = journal

    def __call__(self, namespace: str, argv: Sequence[str], *, stdin: str | None = None) -> None:
        self._journal.append((argv[0], namespace))
        if namespace in self.broken:
            raise OSError(f"no {namespace}")
        if argv[0] == "nft":
            assert stdin is not None
            name = stdin.split()[2]
            if f"delete table ip {name}" in stdin:
                self.tables.pop((namespace, name), None)
            else:
                assert (namespace, name) not in self.tables, "the rules of two faults would mix"
                self.tables[namespace, name] = stdin
