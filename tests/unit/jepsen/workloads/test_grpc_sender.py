"""Sending through the gRPC door: what is told is what is in the log."""

from __future__ import annotations

from tests.unit.jepsen.workloads.conftest import Bench, at_least, sent

from odradek.jepsen import history
from odradek.jepsen.payload import decode


def _in_the_log(bench: Bench, topic: str) -> list[tuple[str, int, int]]:
    return [
        (key, record.offset, decode(record.key, record.value, record.headers, key))
        for record in bench.broker.records(topic)
        for key in [f"{record.topic}/{record.partition}"]
    ]


def test_what_is_acknowledged_is_in_the_log_where_it_was_told(bench: Bench) -> None:
    topics = bench.topic("grpc-sent")
    operations = history.pair(bench.run(bench.spec("grpc-send", topics, 2_000.0), at_least(300, "send")))
    assert {operation.type for operation in operations} == {"ok"}
    assert sent(operations) == set(_in_the_log(bench, "grpc-sent"))


def test_who_was_torn_down_is_followed_by_another_process(bench: Bench) -> None:
    spec = bench.spec("grpc-send", bench.topic("grpc-torn"), 500.0, crash_mean_s=0.1)
    events = bench.run(spec, at_least(2, "crash", "info"))
    names = dict.fromkeys(event.process for event in events)
    assert list(names)[:2] == [spec.name, f"{spec.name}+1"]
    operations = history.pair(events)
    acknowledged = sent([operation for operation in operations if operation.invoke.f == "send"])
    assert acknowledged <= set(_in_the_log(bench, "grpc-torn"))
