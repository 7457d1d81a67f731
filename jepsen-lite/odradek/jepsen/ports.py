"""What the parts of the harness know of each other: a node, its file system, the network, the cluster.

Decides: the ports that `nemesis`, `workloads` and the run use. Does not decide: how they are kept (`db`).
Invariants: a node keeps its address, its ports and its file system for the whole run; every method here may be called
whatever the node's state is, and one that has nothing to do does nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol


class Image(Protocol):
    """A file system of a node's own, on a loop device over one file."""

    @property
    def file(self) -> Path: ...

    @property
    def mount_point(self) -> Path: ...

    @property
    def mounted(self) -> bool: ...

    def mount(self) -> None: ...

    def unmount(self) -> None:
        """Raises OSError when somebody still uses it."""

    def copy_to(self, target: Path) -> None:
        """The bytes that the device holds now, whatever the kernel still has in its cache."""

    def replace_by(self, source: Path) -> None:
        """The file system becomes that copy; it must not be mounted."""

    def fail(self) -> None:
        """From now on every read, write and sync of it fails with EIO, until it is unmounted and mounted again."""

    def make_anew(self) -> None:
        """An empty file system in its place; it must not be mounted."""


class Node(Protocol):
    """One node: a process in a network namespace, with its data on an image."""

    @property
    def id(self) -> int: ...

    @property
    def address(self) -> str:
        """Its IPv4 address on the bridge."""

    @property
    def namespace(self) -> str: ...

    @property
    def folder(self) -> Path:
        """What outlives its disk: configuration, `server.log`."""

    @property
    def data(self) -> Path:
        """log.dirs: a folder on the image."""

    @property
    def image(self) -> Image: ...

    @property
    def pid(self) -> int | None:
        """Of the server process; None when it does not run."""

    def spawn(self) -> None:
        """Start the process and do not wait for it."""

    def kill(self) -> None:
        """SIGKILL, and wait for the end; a paused process too."""

    def pause(self) -> None:
        """SIGSTOP; all its threads stand when this returns."""

    def resume(self) -> None: ...

    def stop(self, timeout_s: float = 30.0) -> None:
        """SIGTERM and wait; SIGKILL when the time is up."""

    def set_environment(self, name: str, value: str | None) -> None:
        """For the next `spawn`; None takes the variable away."""

    def set_property(self, name: str, value: str | None) -> None:
        """A line of server.properties, for the next `spawn`; None takes it away."""


class Host(Protocol):
    """A network namespace on the bridge that is not a node: clients, or the proxy."""

    @property
    def namespace(self) -> str: ...

    @property
    def address(self) -> str: ...


class Cluster(Protocol):
    """All nodes, and the hosts of clients and proxy."""

    @property
    def nodes(self) -> Mapping[int, Node]: ...

    @property
    def clients(self) -> Host: ...

    @property
    def proxy(self) -> Host: ...

    @property
    def flavour(self) -> str:
        """odradek or kafka."""

    @property
    def ports(self) -> Mapping[str, int]:
        """By listener, the same at every node: CLIENT, INTERNAL, CONTROLLER, and GRPC if there is one."""

    @property
    def bootstrap(self) -> str:
        """HOST:PORT,... of the CLIENT listeners of all nodes."""

    @property
    def grpc(self) -> str:
        """HOST:PORT,... of the gRPC listeners; empty when there are none."""

    def await_serving(self, nodes: Sequence[int] | None = None, timeout_s: float = 60.0) -> None:
        """Those nodes (or all) answer, and know each other as live. Raises TimeoutError with their logs' ends."""

    def leader_of(self, key: str) -> int | None:
        """The node that leads a "topic/partition", as any node says that answers; None when none does."""

    def controller(self) -> int | None:
        """The leader of the metadata quorum, or None when nobody says."""

    def in_sync(self, topics: Mapping[str, int], size: int) -> bool:
        """Every partition of the topics (name: number of partitions) has a leader and an ISR of that size."""


class Nemesis(Protocol):
    """One kind of fault. `start` breaks, `stop` heals what that start broke; both return what they did.

    An instance is one fault: it is started once and stopped once, and keeps between the two what healing needs.
    """

    @property
    def name(self) -> str: ...

    def start(self) -> Mapping[str, object]: ...

    def stop(self) -> Mapping[str, object]: ...
