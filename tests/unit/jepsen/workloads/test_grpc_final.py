"""The reads after the faults, through the grpc door."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from tests.unit.jepsen.workloads.conftest import Bench, polled, sent

from odradek.client.consumer import Consumer
from odradek.client.errors import OdradekError
from odradek.jepsen.history import Writer
from odradek.jepsen.workloads import grpc_final
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


def test_after_an_error_it_goes_on_from_where_it_was(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(Consumer):
        """Every second poll of all of them fails."""

        polls = 0

        async def poll(self, *asked: Any, **more: Any) -> Any:
            Failing.polls += 1
            if Failing.polls % 2 == 0:
                raise OdradekError("UNKNOWN_SERVER_ERROR")
            return await super().poll(*asked, **more)

    topics = bench.topic("grpc-final-failing")
    known = sent(bench.send(topics, 300))
    ends = {key: 1 + max(offset for where, offset, _ in known if where == key) for key, _, _ in known}
    monkeypatch.setattr(grpc_final, "Consumer", Failing)
    monkeypatch.setattr(grpc_final, "_MAX_RECORDS", 100)
    events = bench.run(bench.spec("grpc-final", topics, until=ends), lambda events: False)
    assert "fail" in {event.type for event in events}
    read = polled(events)
    assert len(read) == len(set(read)) and set(read) == known
