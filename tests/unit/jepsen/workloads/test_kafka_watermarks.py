"""From where to where partitions can be read."""

from __future__ import annotations

from tests.unit.jepsen.workloads.conftest import Bench, at_least, sent

from odradek.jepsen import history


def test_the_end_is_behind_the_last_record(bench: Bench) -> None:
    topics = bench.topic("marked")
    known = sent(bench.send(topics, 100))
    spec = bench.spec("kafka-watermarks", topics, 100.0)
    operations = history.pair(bench.run(spec, at_least(4, "watermarks")))
    ends = {key: sum(where == key for where, _, _ in known) for key in spec.keys}
    for operation in operations:
        (key,) = operation.invoke.value
        assert operation.completion.value == {key: [0, ends[key]]}


def test_no_answer_is_a_fail(bench: Bench) -> None:
    spec = bench.spec("kafka-watermarks", {"there-is-no-such-topic": 1}, 100.0)
    operations = history.pair(bench.run(spec, at_least(1, "watermarks", "fail")))
    assert operations[0].completion.error is not None
