"""Network namespaces on a bridge: one for each node, one for the clients, one for the proxy.

Decides: names, addresses, and how a namespace is entered. Does not decide: what runs in there (`node`), what is cut
(`nemesis`), or how leftovers of dead runs are found (`leftovers`).

The bridge has a namespace of its own, so that nothing of a run is seen in the namespace of the machine, and runs with
different tags share nothing: all of them use the same addresses. Namespaces are entered by setns alone, never by
`ip netns exec`: that gives a process mounts of its own, in which the file systems of the nodes would stay mounted
after they were taken away.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

PREFIX = "odk-"
NAMED = Path("/run/netns")
SUBNET_BITS = 24
_SUBNET = "10.77.0."
_NODES_FROM, _CLIENTS, _PROXY = 10, 100, 200
NODES_MAX = _CLIENTS - _NODES_FROM - 1
#: What a tag may be: it is part of names of namespaces and files.
TAG = re.compile(r"[a-z0-9]{1,16}")
_CLONE_NEWNET = 0x40000000
_IP_TIMEOUT_S = 30


class NetworkError(OSError):
    """The network could not be made; the message holds what `ip` said."""


class Host(NamedTuple):
    """A namespace on the bridge (ports.Host)."""

    namespace: str
    address: str


class Network(NamedTuple):
    """The names of one run."""

    tag: str
    nodes: Mapping[int, Host]
    clients: Host
    proxy: Host

    @property
    def bridge(self) -> str:
        """The namespace of the bridge."""
        return f"{PREFIX}{self.tag}-net"

    @property
    def hosts(self) -> Mapping[str, Host]:
        """By the name of their port on the bridge."""
        named = {f"n{node}": host for node, host in self.nodes.items()}
        return named | {"clients": self.clients, "proxy": self.proxy}

    @property
    def namespaces(self) -> list[str]:
        return [self.bridge, *(host.namespace for host in self.hosts.values())]


def plan(tag: str, nodes: int) -> Network:
    """The network for nodes 1..nodes. Raises ValueError for a tag or a number that has no place in it."""
    if not TAG.fullmatch(tag):
        raise ValueError(f"tag {tag!r}: 1 to 16 of a-z and 0-9")
    if not 1 <= nodes <= NODES_MAX:
        raise ValueError(f"{nodes} nodes: 1 to {NODES_MAX}")

    def host(name: str, number: int) -> Host:
        return Host(f"{PREFIX}{tag}-{name}", f"{_SUBNET}{number}")

    return Network(
        tag,
        {node: host(f"n{node}", _NODES_FROM + node) for node in range(1, nodes + 1)},
        host("clients", _CLIENTS),
        host("proxy", _PROXY),
    )


def tag_of(namespace: str) -> str | None:
    """The tag in the name of a namespace of ours, None for the name of another."""
    tag, dash, name = namespace.removeprefix(PREFIX).partition("-")
    return tag if namespace.startswith(PREFIX) and dash and name and TAG.fullmatch(tag) else None


def batches(network: Network) -> list[tuple[str | None, list[str]]]:
    """Lines for `ip -batch`, by the namespace where `ip` runs (None: that of the machine), in order."""
    outside = [f"netns add {namespace}" for namespace in network.namespaces]
    bridge = ["link set lo up", "link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0"]
    inside: list[tuple[str | None, list[str]]] = []
    for port, host in network.hosts.items():
        outside.append(
            f"link add {port} netns {network.bridge} type veth peer name eth0 netns {host.namespace}"
        )
        bridge += [f"link set {port} master br0", f"link set {port} up"]
        own = [f"addr add {host.address}/{SUBNET_BITS} dev eth0", "link set lo up", "link set eth0 up"]
        inside.append((host.namespace, own))
    return [(None, outside), (network.bridge, [*bridge, "link set br0 up"]), *inside]


def removal(namespaces: Sequence[str]) -> list[str]:
    """Lines for `ip -force -batch`: interfaces and rules go with their namespaces."""
    return [f"netns delete {namespace}" for namespace in namespaces]


def set_up(network: Network) -> None:
    """Raises NetworkError; what was made until then is for `tear_down`."""
    for namespace, lines in batches(network):
        _batch(lines, [] if namespace is None else ["-n", namespace])


def tear_down(namespaces: Sequence[str]) -> None:
    """Delete those that exist. One that processes still use goes when the last of them ends."""
    present = set(existing())
    left = [namespace for namespace in namespaces if namespace in present]
    if left:
        _batch(removal(left), ["-force"])


def existing() -> list[str]:
    """The named namespaces of this machine, ours and others."""
    with contextlib.suppress(FileNotFoundError):
        return sorted(entry.name for entry in NAMED.iterdir())
    return []


def _batch(lines: Sequence[str], options: Sequence[str]) -> None:
    done = subprocess.run(
        ["ip", *options, "-batch", "-"],
        input="".join(f"{line}\n" for line in lines),
        capture_output=True,
        text=True,
        timeout=_IP_TIMEOUT_S,
    )
    if done.returncode != 0:
        raise NetworkError(f"ip {' '.join(options)}: {done.stderr.strip()}\n" + "\n".join(lines))


def entering(namespace: str, argv: Sequence[str]) -> list[str]:
    """The command line that runs `argv` in a namespace, in the process that is started: it executes, no fork."""
    return ["nsenter", f"--net={NAMED / namespace}", "--", *argv]


def run_in(
    namespace: str,
    argv: Sequence[str],
    *,
    stdin: str | None = None,
    timeout_s: float = 30.0,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run a command there and wait for it. Raises CalledProcessError (with `check`), TimeoutExpired."""
    return subprocess.run(
        entering(namespace, argv), input=stdin, capture_output=True, text=True, timeout=timeout_s, check=check
    )


@contextlib.contextmanager
def sockets_in(namespace: str) -> Iterator[None]:
    """Within it, the calling thread is in that network namespace, alone of all threads of the process.

    Sockets that it creates belong to the namespace for as long as they live, wherever they are used later. Threads
    and processes that it starts begin there too, and stay: a client of confluent-kafka that is created in here has
    its threads, and so all its connections, in the namespace. Not for coroutines: another one could run in between.
    Raises OSError when there is no such namespace.
    """
    with open("/proc/thread-self/ns/net", "rb") as before, open(NAMED / namespace, "rb") as wanted:
        _set_namespace(wanted.fileno())
        try:
            yield
        finally:
            _set_namespace(before.fileno())


_libc = ctypes.CDLL(None, use_errno=True)


def _set_namespace(descriptor: int) -> None:
    # os.setns came with Python 3.12.
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")
