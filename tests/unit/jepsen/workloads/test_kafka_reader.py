"""Reading through librdkafka: every record that was sent is told, where it is."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import Producer
from tests.unit.jepsen.workloads.conftest import Bench, at_least, polled, records_at_least, sent

from odradek.jepsen import history
from odradek.jepsen.payload import encode
from odradek.jepsen.workloads.kafka_reader import collect


@pytest.mark.parametrize("mode", ["assign", "subscribe"])
def test_everything_is_read_in_order(bench: Bench, mode: str) -> None:
    topics = bench.topic(f"kafka-read-{mode}")
    known = sent(bench.send(topics, 200))
    spec = bench.spec("kafka-read", topics, 100.0, mode=mode, group=f"kafka-{mode}")
    events = bench.run(spec, records_at_least(len(known)))
    assert set(polled(events)) == known
    assert {event.f for event in events} == {mode, "poll"}
    if mode == "subscribe":
        moved = [event for event in events if event.more and "rebalanced" in event.more]
        assert sorted(key for event in moved for key in event.more["rebalanced"]) == spec.keys  # type: ignore[index]
    for key in spec.keys:
        offsets = [offset for where, offset, _ in polled(events) if where == key]
        assert offsets == sorted(offsets)


def test_a_reader_that_takes_a_place_reads_what_is_new(bench: Bench) -> None:
    topics = bench.topic("kafka-read-end")
    bench.send(topics, 50)
    spec = bench.spec("kafka-read", topics, 50.0).again()
    events = bench.run(spec, at_least(3, "poll"))
    assert events[0].process == spec.name and polled(events) == []


def test_who_was_torn_down_is_followed_by_another_process(bench: Bench) -> None:
    topics = bench.topic("kafka-read-torn")
    spec = bench.spec("kafka-read", topics, 50.0, crash_mean_s=0.1)
    events = bench.run(spec, at_least(2, "assign"))
    assert {operation.type for operation in history.pair(events) if operation.invoke.f == "crash"} == {"info"}
    assert len({event.process for event in events}) >= 2


def test_records_that_nobody_sent_are_told_apart(bench: Bench) -> None:
    topics = bench.topic("kafka-read-corrupt", 1)
    producer = Producer({"bootstrap.servers": bench.broker.bootstrap_servers})
    name, data, headers = encode(5, "elsewhere/0")
    told: Any = headers
    producer.produce("kafka-read-corrupt", data, name, headers=told)
    producer.produce("kafka-read-corrupt", b"noise")
    producer.flush()
    bench.send(topics, 10)
    events = bench.run(bench.spec("kafka-read", topics, 50.0), records_at_least(10))
    corrupt = [one for event in events if event.more for one in event.more.get("corrupt", ())]
    assert [(one["key"], one["offset"]) for one in corrupt] == [
        ("kafka-read-corrupt/0", 0),
        ("kafka-read-corrupt/0", 1),
    ]
    assert "elsewhere" in corrupt[0]["reason"] and "noise" in corrupt[1]["reason"]
    assert min(offset for _, offset, _ in polled(events)) == 2


def test_nothing_is_nothing() -> None:
    assert collect([]).value() == [["poll", {}]]
