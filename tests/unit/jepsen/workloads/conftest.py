"""A broker in memory with both doors, and workers in this thread whose histories say when they have done enough."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from odradek.jepsen import history
from odradek.jepsen.history import Event, Operation, Writer
from odradek.jepsen.workloads.spec import WorkerSpec
from odradek.jepsen.workloads.worker import executor
from odradek.testing.broker_thread import BrokerThread


class Enough(threading.Event):
    """An order to stop that comes when the history shows what was waited for."""

    def __init__(self, path: Path, enough: Callable[[list[Event]], bool]) -> None:
        super().__init__()
        self._path = path
        self._enough = enough

    def is_set(self) -> bool:
        if not super().is_set() and self._path.exists() and self._enough(list(history.read(self._path))):
            self.set()
        return super().is_set()

    def wait(self, timeout: float | None = None) -> bool:
        super().wait(timeout)
        return self.is_set()


class Bench:
    """Runs workers against the broker."""

    def __init__(self, broker: BrokerThread, folder: Path) -> None:
        self.broker = broker
        self.folder = folder
        self._numbers = iter(range(1, 100))

    def topic(self, name: str, partitions: int = 2) -> dict[str, int]:
        return {self.broker.create_topic(name, partitions): partitions}

    def spec(self, role: str, topics: Mapping[str, int], rate: float = 200.0, **options: Any) -> WorkerSpec:
        number = next(self._numbers)
        return WorkerSpec(
            workload="test",
            role=role,
            process=f"{role}-{number}",
            number=number,
            seed=number,
            bootstrap=self.broker.bootstrap_servers,
            grpc=self.broker.grpc_servers,
            topics=topics,
            history=str(self.folder / f"{role}-{number}.jsonl"),
            rate=rate,
            options={"crash_mean_s": 0, **options},
        )

    def run(self, spec: WorkerSpec, enough: Callable[[list[Event]], bool]) -> list[Event]:
        """Until the history of the worker is enough; returns all of it."""
        path = Path(spec.history)
        writer = Writer(path)
        executor(spec.role)(spec, writer, Enough(path, enough))
        writer.close()
        return list(history.read(path))

    def send(self, topics: Mapping[str, int], count: int, role: str = "kafka-send") -> list[Operation]:
        """At least that many acknowledged records."""
        events = self.run(self.spec(role, topics, 2_000.0), at_least(count, "send"))
        return [operation for operation in history.pair(events) if operation.type == "ok"]


def at_least(count: int, f: str, type_: str = "ok") -> Callable[[list[Event]], bool]:
    return lambda events: sum(event.f == f and event.type == type_ for event in events) >= count


def records_at_least(count: int) -> Callable[[list[Event]], bool]:
    """So many different records have been polled."""
    return lambda events: len(set(polled(events))) >= count


def polled(events: list[Event]) -> list[tuple[str, int, int]]:
    """Key, offset and value of everything that polls told, in their order."""
    return [
        (key, offset, value)
        for event in events
        if event.f == "poll" and event.type == "ok"
        for key, records in event.value[0][1].items()
        for offset, value in records
    ]


def sent(operations: list[Operation]) -> set[tuple[str, int, int]]:
    """Key, offset and value of acknowledged sends."""
    found = set()
    for operation in operations:
        if operation.type == "ok":
            ((_, key, (offset, value)),) = operation.completion.value
            found.add((key, offset, value))
    return found


@pytest.fixture(scope="session")
def _broker() -> Iterator[BrokerThread]:
    with BrokerThread(grpc=True, settings={"group.initial.rebalance.delay.ms": 0}) as broker:
        yield broker


@pytest.fixture
def bench(_broker: BrokerThread, tmp_path: Path) -> Iterator[Bench]:
    yield Bench(_broker, tmp_path)
    _broker.faults.clear()
