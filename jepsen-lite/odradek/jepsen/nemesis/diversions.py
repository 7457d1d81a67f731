"""Links that lead through the proxy: how connections come to it, and leave it again.

Decides: which fault has which link, the rules that lead connections through the proxy, their order. Does not decide:
which links a fault takes and what they do (`links`), nor what a behaviour does to bytes and requests (`proxy`).
Invariants: a link (who dials, which node, which listener) belongs to one fault at a time; another fault leaves it out.
A standing behaviour is no fault: a fault may be laid over it, and leaves it as it was. Every fault has tables of its
own, named by its number, in the namespaces of those that dial.

Connections come to the proxy by dnat where they are dialled, so the dialling side still sees the address that it
wanted, and drops of a partition hold for it. Old connections are killed on both occasions: a fault strikes at once, and
nobody is led through the proxy afterwards.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from odradek.jepsen.ports import Cluster
from odradek.jepsen.proxy.behaviour import Behaviour

#: The clients, among the ids of nodes.
CLIENTS: Final = 0
_STANDING: Final = "standing"


class Link(NamedTuple):
    """One direction of dialling: a node (or CLIENTS) to a listener of a node."""

    dialler: int
    node: int
    listener: str

    def __str__(self) -> str:
        return f"{self.dialler or 'clients'}->{self.node}/{self.listener}"


class Divert(NamedTuple):
    """Connections to `address`:`port` go to `proxy`:`proxy_port` instead."""

    address: str
    port: int
    proxy: str
    proxy_port: int


class Enter(Protocol):
    """Runs a command in a network namespace. Raises subprocess.CalledProcessError and TimeoutExpired."""

    def __call__(self, namespace: str, argv: Sequence[str], *, stdin: str | None = None) -> object: ...


class ProxyControl(Protocol):
    """What is asked of `proxy.controller.Proxy`. Raises OSError when it does not answer."""

    @property
    def address(self) -> str: ...

    def open(self, link: str, target: tuple[str, int], behaviour: Behaviour) -> int: ...

    def change(self, link: str, behaviour: Behaviour) -> Mapping[str, int]: ...

    def reset(self, link: str, *, deliver: bool = True) -> Mapping[str, int]: ...

    def counts(self, link: str) -> Mapping[str, int]: ...

    def close(self, link: str, *, deliver: bool = True) -> Mapping[str, int]: ...


# -- rules and commands (pure)


def table_name(fault: int | str) -> str:
    return f"link_{fault}"


def divert_script(table: str, diverts: Iterable[Divert]) -> str:
    """For `nft -f -`, in the namespace where the connections are dialled."""
    rules = [
        f"    ip daddr {one.address} tcp dport {one.port} dnat to {one.proxy}:{one.proxy_port}\n"
        for one in diverts
    ]
    head = "    type nat hook output priority -100; policy accept;\n"
    return f"table ip {table} {{\n  chain divert {{\n{head}{''.join(rules)}  }}\n}}\n"


def removal(table: str) -> str:
    """Takes the table away, and is content when there is none."""
    return f"table ip {table} {{ }}\ndelete table ip {table}\n"


def kill_command(targets: Iterable[tuple[str, int]]) -> list[str]:
    """Ends the TCP connections that were dialled there, in the namespace where it runs."""
    chosen: list[str] = []
    for address, port in targets:
        chosen += [*(["or"] if chosen else []), "(", "dst", address, "and", "dport", "=", f":{port}", ")"]
    return ["ss", "-K", "-t", "-n", *chosen]


def links_to(
    cluster: Cluster, nodes: Iterable[int], listeners: Sequence[str] = (), dialler: int | None = None
) -> list[Link]:
    """All links to these nodes that there are, or those to these listeners, or from that dialler, in a fixed order."""
    found = []
    for node in sorted(nodes):
        for listener in ("CLIENT", "GRPC", "INTERNAL", "CONTROLLER"):
            if listener not in cluster.ports or (listeners and listener not in listeners):
                continue
            by_clients = listener in ("CLIENT", "GRPC")
            diallers = (
                [CLIENTS] if by_clients else [other for other in sorted(cluster.nodes) if other != node]
            )
            found += [Link(one, node, listener) for one in diallers if dialler in (None, one)]
    return found


# -- putting the proxy in, and taking it out


class Diversions:
    """All links of a run that lead through the proxy. One object, shared by all faults of links."""

    def __init__(self, cluster: Cluster, proxy: ProxyControl, enter: Enter) -> None:
        self._cluster = cluster
        self._proxy = proxy
        self._enter = enter
        self._lock = threading.RLock()
        self._taken: dict[Link, int] = {}
        self._standing: dict[Link, Behaviour] = {}
        self._open: set[Link] = set()
        #: Of links that stand: the counts when a fault was laid over them.
        self._before: dict[Link, Mapping[str, int]] = {}

    def free(self, links: Iterable[Link]) -> list[Link]:
        """Those that no fault has."""
        return [link for link in links if link not in self._taken]

    def divert(self, fault: int, wanted: Mapping[Link, Behaviour]) -> list[Link]:
        """Put those links that no other fault has under a behaviour, at once. Returns them.

        Raises OSError, CalledProcessError, or the ExceptionGroup of `heal`: nothing that can be undone is left then.
        """
        with self._lock:
            got = {link: behaviour for link, behaviour in wanted.items() if link not in self._taken}
            for link in got:
                self._taken[link] = fault
            try:
                over = [link for link in got if link in self._standing]
                for link in over:
                    self._before[link] = self._proxy.counts(str(link))
                    self._proxy.change(str(link), got[link].over(self._standing[link]))
                self._put_in(table_name(fault), {link: got[link] for link in got if link not in over})
            except Exception:
                self.heal(fault)
                raise
            return list(got)

    def heal(self, fault: int, *, deliver: bool = True) -> Mapping[str, int]:
        """Take out what `divert` of that fault put in. What was held back arrives now, or never. Returns the counts
        of all its links together. Raises ExceptionGroup after all was tried."""
        with self._lock:
            links = [link for link, owner in self._taken.items() if owner == fault]
            over = [link for link in links if link in self._standing]
            counts: Counter[str] = Counter()
            failed: list[Exception] = []
            failed += self._take_out(table_name(fault), [link for link in links if link not in over])
            for link in links:
                try:
                    counts.update(
                        self._restore(link, deliver) if link in over else self._close(link, deliver)
                    )
                except OSError as error:
                    failed.append(error)
                del self._taken[link]
            if failed:
                raise ExceptionGroup(f"healing links of fault {fault}", failed)
            return {name: count for name, count in sorted(counts.items()) if count and name != "open"}

    def stand(self, wanted: Mapping[Link, Behaviour]) -> None:
        """From now on and until `stand_no_more`, below all faults. Raises as `divert`; once in a run."""
        with self._lock:
            assert not self._standing and not self._taken, "what stands comes before faults, and once"
            self._standing = dict(wanted)
            try:
                self._put_in(table_name(_STANDING), wanted)
            except Exception:
                self.stand_no_more()
                raise

    def standing_counts(self) -> Mapping[str, int]:
        """Of all standing links together, since they stand."""
        counts: Counter[str] = Counter()
        for link in self._standing:
            counts.update(self._proxy.counts(str(link)))
        return dict(counts)

    def stand_no_more(self) -> Mapping[str, int]:
        """Returns the last counts. No fault may be left. Raises ExceptionGroup after all was tried."""
        with self._lock:
            links, self._standing = list(self._standing), {}
            failed = self._take_out(table_name(_STANDING), links)
            counts: Counter[str] = Counter()
            for link in links:
                try:
                    counts.update(self._close(link, deliver=True))
                except OSError as error:
                    failed.append(error)
            if failed:
                raise ExceptionGroup("healing standing links", failed)
            return dict(counts)

    def _put_in(self, table: str, wanted: Mapping[Link, Behaviour]) -> None:
        diverts: dict[str, list[Divert]] = {}
        for link, behaviour in wanted.items():
            address, port = self._target(link)
            proxy_port = self._proxy.open(str(link), (address, port), behaviour)
            self._open.add(link)
            divert = Divert(address, port, self._proxy.address, proxy_port)
            diverts.setdefault(self._namespace(link), []).append(divert)
        for namespace, rules in diverts.items():
            self._enter(namespace, ["nft", "-f", "-"], stdin=divert_script(table, rules))
            self._enter(namespace, kill_command((rule.address, rule.port) for rule in rules))

    def _take_out(self, table: str, links: Sequence[Link]) -> list[Exception]:
        """New connections are direct, and old ones end. Returns what went wrong."""
        failed: list[Exception] = []
        targets: dict[str, list[tuple[str, int]]] = {}
        for link in links:
            targets.setdefault(self._namespace(link), []).append(self._target(link))
        for namespace, found in targets.items():
            try:
                self._enter(namespace, ["nft", "-f", "-"], stdin=removal(table))
                self._enter(namespace, kill_command(found))
            except Exception as error:  # the others are healed all the same
                failed.append(error)
        return failed

    def _restore(self, link: Link, deliver: bool) -> Counter[str]:
        """A standing link as it was. Returns what happened in between."""
        before = self._before.pop(link, {})
        self._proxy.change(str(link), self._standing[link])
        counts = Counter(self._proxy.reset(str(link), deliver=deliver))
        counts.subtract(before)
        return counts

    def _close(self, link: Link, deliver: bool) -> Mapping[str, int]:
        if link not in self._open:
            return {}
        self._open.discard(link)
        return self._proxy.close(str(link), deliver=deliver)

    def _target(self, link: Link) -> tuple[str, int]:
        return self._cluster.nodes[link.node].address, self._cluster.ports[link.listener]

    def _namespace(self, link: Link) -> str:
        host = self._cluster.clients if link.dialler == CLIENTS else self._cluster.nodes[link.dialler]
        return host.namespace
