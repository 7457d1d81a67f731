"""Sending through librdkafka: what is told is what is in the log."""

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
    topics = bench.topic("kafka-sent")
    spec = bench.spec("kafka-send", topics, 2_000.0)
    operations = history.pair(bench.run(spec, at_least(300, "send")))
    assert {operation.type for operation in operations} == {"ok"}
    assert sent(operations) == set(_in_the_log(bench, "kafka-sent"))
    values = [operation.invoke.value[0][2] for operation in operations]
    assert values == list(range(spec.first_value, spec.first_value + len(values)))


def test_a_key_keeps_the_order_of_the_invocations(bench: Bench) -> None:
    bench.send(bench.topic("kafka-order"), 300)
    for partition in (0, 1):
        log = _in_the_log(bench, "kafka-order")
        values = [value for key, _, value in log if key == f"kafka-order/{partition}"]
        assert values == sorted(values)


def test_answers_that_are_lost_double_nothing(bench: Bench) -> None:
    topics = bench.topic("kafka-retried")
    bench.broker.faults.drop_connection("Produce", when="after", times=3)
    operations = history.pair(bench.run(bench.spec("kafka-send", topics, 500.0), at_least(200, "send")))
    assert bench.broker.faults.fired["Produce"] >= 3
    log = [value for _, _, value in _in_the_log(bench, "kafka-retried")]
    assert sorted(log) == sorted(operation.invoke.value[0][2] for operation in operations)


def test_what_is_refused_for_good_is_a_fail(bench: Bench) -> None:
    topics = bench.topic("kafka-refused")
    bench.broker.faults.fail("Produce", error="INVALID_RECORD", times=1)
    operations = history.pair(bench.run(bench.spec("kafka-send", topics, 500.0), at_least(100, "send")))
    failed = [operation for operation in operations if operation.type == "fail"]
    assert failed and {operation.completion.error for operation in failed} == {"INVALID_RECORD"}
    unwritten = {operation.invoke.value[0][2] for operation in failed}
    assert not unwritten & {value for _, _, value in _in_the_log(bench, "kafka-refused")}


def test_who_was_torn_down_is_followed_by_another_process(bench: Bench) -> None:
    spec = bench.spec("kafka-send", bench.topic("kafka-torn"), 500.0, crash_mean_s=0.1)
    events = bench.run(spec, at_least(2, "crash", "info"))
    names = dict.fromkeys(event.process for event in events)
    assert list(names)[:2] == [spec.name, f"{spec.name}+1"]
    operations = history.pair(events)
    values = [operation.invoke.value[0][2] for operation in operations if operation.invoke.f == "send"]
    assert len(values) == len(set(values))
    assert {operation.type for operation in operations if operation.invoke.f == "send"} <= {"ok", "info"}
