"""Reading through the gRPC door: every record that was sent is told, where it is."""

from __future__ import annotations

import pytest
from tests.unit.jepsen.workloads.conftest import Bench, at_least, polled, records_at_least, sent

from odradek.client.records import ConsumerRecord
from odradek.jepsen import history
from odradek.jepsen.payload import encode
from odradek.jepsen.workloads.grpc_reader import collect


@pytest.mark.parametrize("mode", ["assign", "subscribe"])
def test_everything_is_read_in_order(bench: Bench, mode: str) -> None:
    topics = bench.topic(f"grpc-read-{mode}")
    known = sent(bench.send(topics, 200))
    spec = bench.spec("grpc-read", topics, 100.0, mode=mode, group=f"grpc-{mode}")
    events = bench.run(spec, records_at_least(len(known)))
    assert set(polled(events)) == known
    assert {event.f for event in events} == {mode, "poll"}
    for key in spec.keys:
        offsets = [offset for where, offset, _ in polled(events) if where == key]
        assert offsets == sorted(offsets)


def test_who_was_torn_down_is_followed_by_another_process(bench: Bench) -> None:
    topics = bench.topic("grpc-read-torn")
    spec = bench.spec("grpc-read", topics, 50.0, crash_mean_s=0.1)
    events = bench.run(spec, at_least(2, "assign"))
    assert {operation.type for operation in history.pair(events) if operation.invoke.f == "crash"} == {"info"}
    assert len({event.process for event in events}) >= 2


def test_a_stream_that_is_refused_is_a_poll_that_failed_and_another_beginning(bench: Bench) -> None:
    spec = bench.spec("grpc-read", {"there-is-no-such-topic": 1}, 50.0)
    events = bench.run(spec, at_least(2, "assign"))
    failed = [operation for operation in history.pair(events) if operation.type == "fail"]
    assert failed and failed[0].invoke.f == "poll"
    assert failed[0].completion.error == "UNKNOWN_TOPIC_OR_PARTITION"


def test_records_that_nobody_sent_are_told_apart() -> None:
    name, data, headers = encode(5, "t/0")
    good = ConsumerRecord("t", 0, 7, 0, name, data, tuple(headers))
    polled_ = collect([good, good._replace(partition=1), good._replace(offset=8, value=b"noise")])
    assert polled_.value() == [["poll", {"t/0": [[7, 5]]}]]
    assert [(one["key"], one["offset"]) for one in polled_.corrupt] == [("t/1", 7), ("t/0", 8)]
