"""A cluster of fakes that notes what is done to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from odradek.jepsen.ports import Image


class FakeHost(NamedTuple):
    namespace: str
    address: str


class FakeNode:
    """Runs until it is killed; `notes` are the calls, over all nodes of its cluster, in their order."""

    def __init__(self, node: int, notes: list[str], folder: Path) -> None:
        self.id = node
        self.address = f"10.77.0.{10 + node}"
        self.namespace = f"n{node}"
        self.folder = folder
        self.data = folder / "data"
        self.pid: int | None = 1000 + node
        self.environment: dict[str, str | None] = {}
        self._notes = notes

    @property
    def image(self) -> Image:
        raise NotImplementedError

    def spawn(self) -> None:
        self._notes.append(f"spawn {self.id}")
        self.pid = 2000 + self.id

    def kill(self) -> None:
        self._notes.append(f"kill {self.id}")
        self.pid = None

    def pause(self) -> None:
        self._notes.append(f"pause {self.id}")

    def resume(self) -> None:
        self._notes.append(f"resume {self.id}")

    def stop(self, timeout_s: float = 30.0) -> None:
        self._notes.append(f"stop {self.id}")
        self.pid = None

    def set_environment(self, name: str, value: str | None) -> None:
        self.environment[name] = value

    def set_property(self, name: str, value: str | None) -> None:
        raise NotImplementedError


class FakeCluster:
    """`ports.Cluster` of nodes 1 to `size`; `leads` is what leader_of and controller say."""

    flavour = "odradek"
    ports: Mapping[str, int] = {"CLIENT": 9092, "INTERNAL": 9093, "CONTROLLER": 9094, "GRPC": 50051}
    clients = FakeHost("clients", "10.77.0.100")
    proxy = FakeHost("proxy", "10.77.0.200")
    bootstrap = ""
    grpc = ""

    def __init__(self, size: int = 3, leads: int | None = None, folder: Path = Path("/nowhere")) -> None:
        self.notes: list[str] = []
        self.fakes = {node: FakeNode(node, self.notes, folder / f"node{node}") for node in range(1, size + 1)}
        self.leads = leads
        self.asked: list[str] = []

    @property
    def nodes(self) -> Mapping[int, FakeNode]:
        return self.fakes

    def await_serving(self, nodes: Sequence[int] | None = None, timeout_s: float = 60.0) -> None:
        raise NotImplementedError

    def leader_of(self, key: str) -> int | None:
        self.asked.append(key)
        return self.leads

    def controller(self) -> int | None:
        self.asked.append("controller")
        return self.leads

    def in_sync(self, topics: Mapping[str, int], size: int) -> bool:
        return True
