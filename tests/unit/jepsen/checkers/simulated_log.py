"""A log that does what it promises, and clients with a hard life: histories in which nothing is wrong.

Senders pipeline and die, requests land late or never, transactions commit, abort or are left open, readers seek and
subscribe. What goes wrong is the choice of a `Random`. `World.spoil` is called between the main phase and the reads
after it, so that a test can break a promise.

    python -m tests.unit.jepsen.checkers.simulated_log 1000000    how long the checkers take for so many records
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from time import process_time
from typing import Any

from odradek.jepsen.checkers import cycles, order, queue
from odradek.jepsen.checkers.analysis import Analysis
from odradek.jepsen.history import Event, Type

KEYS = ("q0/0", "q0/1", "q1/0")


@dataclass
class Txn:
    state: str = "open"


@dataclass
class Entry:
    """`value` is None for a control record."""

    value: int | None
    txn: Txn | None = None


class Partition:
    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def append(self, value: int | None, txn: Txn | None = None) -> int:
        self.entries.append(Entry(value, txn))
        return len(self.entries) - 1

    def read(self, position: int, most: int) -> tuple[list[list[int]], int]:
        """What a committed read from there sees, and where it stands then."""
        pairs: list[list[int]] = []
        while position < len(self.entries) and len(pairs) < most:
            entry = self.entries[position]
            if entry.txn is not None and entry.txn.state == "open":
                break
            if entry.value is not None and (entry.txn is None or entry.txn.state == "committed"):
                pairs.append([position, entry.value])
            position += 1
        return pairs, position


@dataclass
class World:
    """`step` gives the turn to one client; the history is in `events`."""

    random: Random
    events: list[Event] = field(default_factory=list)
    logs: dict[str, Partition] = field(default_factory=lambda: {key: Partition() for key in KEYS})
    late: list[tuple[str, int]] = field(default_factory=list)
    values: int = 0
    ops: int = 0

    def say(self, process: str, op: int, kind: Type, f: str, value: Any, **more: Any) -> None:
        error = "TIMED_OUT" if kind in ("info", "fail") else None
        self.events.append(Event(len(self.events), process, op, kind, f, value, error, more or None))

    def invoke(self, process: str, f: str, value: Any, **more: Any) -> int:
        self.ops += 1
        self.say(process, self.ops, "invoke", f, value, **more)
        return self.ops

    def new_value(self) -> int:
        self.values += 1
        return self.values

    def key(self) -> str:
        return self.random.choice(KEYS)

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def run(self, clients: list[Iterator[None]]) -> None:
        while clients:
            client = self.random.choice(clients)
            if next(client, "done") == "done":
                clients.remove(client)
            if self.late and self.chance(0.1):
                key, value = self.late.pop(0)
                self.logs[key].append(value)


def sender(world: World, process: str, count: int) -> Iterator[None]:
    """Pipelined: records land in the order of their invocations, and are acknowledged whenever."""
    waiting: list[tuple[int, str, int]] = []
    landed: list[tuple[int, str, int, int]] = []
    for _ in range(count):
        key, value = world.key(), world.new_value()
        waiting.append((world.invoke(process, "send", [["send", key, value]]), key, value))
        yield
        while waiting and world.chance(0.6):
            _land(world, process, *waiting.pop(0), landed)
            yield
        while landed and world.chance(0.6):
            op, key, value, offset = landed.pop(world.random.randrange(len(landed)))
            world.say(process, op, "ok", "send", [["send", key, [offset, value]]])
    for _, key, value in waiting:  # it dies: a part of what it asked for may still land
        if world.chance(0.5):
            world.logs[key].append(value)
            yield


def _land(
    world: World, process: str, op: int, key: str, value: int, landed: list[tuple[int, str, int, int]]
) -> None:
    fate = world.random.random()
    told = [["send", key, [None, value]]]
    if fate < 0.8:
        landed.append((op, key, value, world.logs[key].append(value)))
    elif fate < 0.85:
        world.logs[key].append(value)
        world.say(process, op, "info", "send", told)
    elif fate < 0.9:
        world.say(process, op, "info", "send", told)
    elif fate < 0.95:
        world.say(process, op, "info", "send", told)
        world.late.append((key, value))
    else:
        world.say(process, op, "fail", "send", told)


def reader(world: World, process: str, count: int) -> Iterator[None]:
    """Assigns, seeks and polls."""
    positions: dict[str, int] = {}
    for turn in range(count):
        if turn == 0 or world.chance(0.05):
            keys = world.random.sample(KEYS, world.random.randint(1, len(KEYS)))
            seek = {
                key: world.random.randint(0, 20) for key in keys if key not in positions or world.chance(0.3)
            }
            op = world.invoke(process, "assign", keys, seek=seek)
            positions = {key: seek.get(key, positions.get(key, 0)) for key in keys}
            world.say(process, op, "ok", "assign", keys, seek=seek)
        op = world.invoke(process, "poll", [["poll"]])
        yield
        told: dict[str, list[list[int]]] = {}
        for key in positions:
            told[key], positions[key] = world.logs[key].read(positions[key], world.random.randint(0, 5))
        yield
        world.say(process, op, "ok", "poll", [["poll", told]])


def subscriber(world: World, process: str, count: int) -> Iterator[None]:
    """A member of a group that gives it other partitions now and then, anywhere in them."""
    op = world.invoke(process, "subscribe", ["q0", "q1"], group="g")
    world.say(process, op, "ok", "subscribe", ["q0", "q1"], group="g")
    positions: dict[str, int] = {}
    for _ in range(count):
        moved = {}
        if world.chance(0.2):
            moved = {key: world.random.randint(0, 10) for key in world.random.sample(KEYS, 2)}
            positions.update(moved)
        op = world.invoke(process, "poll", [["poll"]])
        yield
        told: dict[str, list[list[int]]] = {}
        for key in positions:
            told[key], positions[key] = world.logs[key].read(positions[key], 3)
        world.say(process, op, "ok", "poll", [["poll", told]], rebalanced=sorted(moved))


def transactor(world: World, process: str, count: int) -> Iterator[None]:
    """Transactions of up to four sends and polls, with a consumer of its own that goes back after an abort."""
    positions = dict.fromkeys(KEYS, 0)
    op = world.invoke(process, "assign", list(KEYS), seek="beginning")
    world.say(process, op, "ok", "assign", list(KEYS), seek="beginning")
    for _ in range(count):
        asked: list[list[Any]] = [
            ["poll"] if world.chance(0.4) else ["send", world.key(), world.new_value()]
            for _ in range(world.random.randint(1, 4))
        ]
        op = world.invoke(process, "txn", asked)
        yield
        txn, before, told = Txn(), dict(positions), []
        for micro in asked:
            if micro[0] == "send":
                _, key, value = micro
                told.append(["send", key, [world.logs[key].append(value, txn), value]])
            else:
                seen: dict[str, list[list[int]]] = {}
                for key in KEYS:
                    seen[key], positions[key] = world.logs[key].read(positions[key], 3)
                told.append(["poll", seen])
            yield
        fate = world.random.random()
        txn.state = "committed" if fate < 0.75 else "aborted"
        for key in {micro[1] for micro in asked if micro[0] == "send"}:
            world.logs[key].append(None, txn)
        yield
        if fate < 0.65:
            world.say(process, op, "ok", "txn", told)
        elif fate > 0.85:
            world.say(process, op, "fail", "txn", told)
            positions = before
        else:  # it does not know: committed below 0.75
            if world.chance(0.5):
                world.say(process, op, "info", "txn", told)
            return


def final_reader(world: World, process: str) -> None:
    """Everything, from the beginning."""
    op = world.invoke(process, "assign", list(KEYS), seek="beginning", final=True)
    world.say(process, op, "ok", "assign", list(KEYS), seek="beginning", final=True)
    positions = dict.fromkeys(KEYS, 0)
    while any(positions[key] < len(world.logs[key].entries) for key in KEYS):
        op = world.invoke(process, "poll", [["poll"]], final=True)
        told: dict[str, list[list[int]]] = {}
        for key in KEYS:
            told[key], positions[key] = world.logs[key].read(positions[key], 7)
        world.say(process, op, "ok", "poll", [["poll", told]], final=True)


def simulate(seed: int, spoil: Callable[[World], None] | None = None, size: int = 30) -> World:
    """A whole run: main phase, `spoil`, final reads."""
    world = World(Random(seed))
    world.run(
        [
            sender(world, "send-1", size),
            sender(world, "send-2", size),
            reader(world, "read-1", size // 2),
            reader(world, "read-2", size // 2),
            subscriber(world, "group-1", size // 2),
            transactor(world, "txn-1", size // 3),
            transactor(world, "txn-2", size // 3),
        ]
    )
    while world.late:
        key, value = world.late.pop()
        world.logs[key].append(value)
    if spoil is not None:
        spoil(world)
    final_reader(world, "final-1")
    final_reader(world, "final-2")
    return world


def acknowledged(records: int, keys: int = 8, batch: int = 500) -> list[Event]:
    """So many acknowledged sends, read once while they come and once in the end, in polls of `batch`."""
    events: list[Event] = []
    offsets = [0] * keys
    names = [f"q/{number}" for number in range(keys)]
    pending: list[list[list[int]]] = [[] for _ in names]
    everything: list[list[list[list[int]]]] = [[] for _ in names]
    assigned = {"seek": "beginning", "final": True}
    for process in ("read", "final"):
        more = assigned if process == "final" else {"seek": "beginning"}
        events.append(Event(0, process, 0, "invoke", "assign", names, None, more))
        events.append(Event(0, process, 0, "ok", "assign", names, None, more))

    def poll(process: str, key: int, pairs: list[list[int]], more: dict[str, Any] | None) -> None:
        op = len(events)
        events.append(Event(op, process, op, "invoke", "poll", [["poll"]], None, more))
        events.append(Event(op + 1, process, op, "ok", "poll", [["poll", {names[key]: pairs}]], None, more))

    for value in range(records):
        key = value % keys
        process, op = f"send-{key % 4}", len(events)
        events.append(Event(op, process, op, "invoke", "send", [["send", names[key], value]]))
        events.append(Event(op + 1, process, op, "ok", "send", [["send", names[key], [offsets[key], value]]]))
        pending[key].append([offsets[key], value])
        offsets[key] += 1
        if len(pending[key]) == batch:
            poll("read", key, pending[key], None)
            everything[key].append(pending[key])
            pending[key] = []
    for key in range(keys):
        for pairs in [*everything[key], pending[key]]:
            poll("final", key, pairs, {"final": True})
    return events


def main() -> None:
    records = int(sys.argv[1])
    events = acknowledged(records)
    started = process_time()
    analysis = Analysis.of(events)
    sys.stdout.write(f"{len(events):,} events; analysis {process_time() - started:.2f} s\n")
    for checker in (queue, order, cycles):
        began = process_time()
        found = checker.check(analysis)
        sys.stdout.write(f"{checker.__name__}: {process_time() - began:.2f} s, {len(found)} anomalies\n")
    sys.stdout.write(f"all: {process_time() - started:.2f} s\n")


if __name__ == "__main__":
    main()
