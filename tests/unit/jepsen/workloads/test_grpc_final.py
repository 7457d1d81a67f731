"""The reads after the faults, through the grpc door."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from tests.unit.jepsen.workloads.conftest import Bench, polled, sent

from odradek.jepsen.history import Writer
from odradek.jepsen.workloads.grpc_final import run


def test_every_key_is_read_to_its_end_and_then_it_is_over(bench: Bench) -> None:
    topics = bench.topic("grpc-final")
    known = sent(bench.send(topics, 300))
    ends = {key: 1 + max(offset for where, offset, _ in known if where == key) for key, _, _ in known}
    spec = bench.spec("grpc-final", topics, until=ends)
    events = bench.run(spec, lambda events: False)
    assert set(polled(events)) == known
    assert all(event.more and event.more["final"] is True for event in events)
    assert events[0].f == "assign" and events[0].more["seek"] == "beginning"  # type: ignore[index]
    assert sorted(events[0].value) == sorted(ends)


def test_what_cannot_be_reached_in_time_is_left(bench: Bench) -> None:
    topics = bench.topic("grpc-final-late")
    known = sent(bench.send(topics, 20))
    spec = bench.spec("grpc-final", topics, until={"grpc-final-late/0": 10_000}, limit_s=1.5)
    events = bench.run(spec, lambda events: False)
    assert set(polled(events)) <= known


def test_where_there_is_nothing_to_read_it_is_over_at_once(bench: Bench) -> None:
    spec = bench.spec("grpc-final", {"t": 1}, until={"t/0": 0})
    assert polled(bench.run(spec, lambda events: False)) == []


def test_what_is_left_is_told_by_the_status(bench: Bench) -> None:
    topics = bench.topic("grpc-final-status")
    known = sent(bench.send(topics, 20))
    ends = {key: 1 + max(offset for where, offset, _ in known if where == key) for key, _, _ in known}

    def status(**options: Any) -> int | None:
        spec = bench.spec("grpc-final", topics, **options)
        return run(spec, Writer(Path(spec.history)), threading.Event())

    assert status(until=ends) == 0
    assert status(until={**ends, "grpc-final-status/0": 10_000}, limit_s=1.0) == 1
