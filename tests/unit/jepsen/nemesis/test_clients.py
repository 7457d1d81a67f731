"""A crash is followed by a fresh worker, a zombie wakes up beside its successor."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from odradek.jepsen.nemesis.clients import ClientCrash, ZombieProducer


class FakeWorkers:
    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self.notes: list[str] = []

    def names(self, producers: bool = False) -> Sequence[str]:
        return [name for name in self._names if not producers or "send" in name]

    def kill(self, name: str) -> None:
        self.notes.append(f"kill {name}")

    def pause(self, name: str) -> None:
        self.notes.append(f"pause {name}")

    def resume(self, name: str) -> None:
        self.notes.append(f"resume {name}")

    def respawn(self, name: str) -> None:
        self.notes.append(f"respawn {name}")


def test_a_crash() -> None:
    workers = FakeWorkers(["send-1", "poll-1"])
    fault = ClientCrash(workers, Random(2))
    struck = fault.start()["worker"]
    assert fault.stop() == {"nodes": [], "worker": struck}
    assert workers.notes == [f"kill {struck}", f"respawn {struck}"]


def test_a_zombie() -> None:
    workers = FakeWorkers(["poll-1", "send-1"])
    fault = ZombieProducer(workers, Random(1))
    assert fault.start() == {"nodes": [], "worker": "send-1"}
    assert workers.notes == ["pause send-1", "respawn send-1"]
    fault.stop()
    assert workers.notes[2:] == ["resume send-1"]


def test_nobody_to_strike() -> None:
    workers = FakeWorkers(["poll-1"])
    zombie, crash = ZombieProducer(workers, Random(1)), ClientCrash(FakeWorkers([]), Random(1))
    assert zombie.start() == crash.start() == {"nodes": [], "worker": None, "did": False}
    assert zombie.stop() == crash.stop() == {"nodes": [], "worker": None}
    assert workers.notes == []
