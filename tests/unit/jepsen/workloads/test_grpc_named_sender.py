"""Publish under producer names: answers that are lost double nothing."""

from __future__ import annotations

import pytest
from tests.unit.jepsen.workloads.conftest import Bench, at_least, sent

from odradek.jepsen import history
from odradek.jepsen.payload import decode
from odradek.jepsen.workloads import grpc_named_sender
from odradek.jepsen.workloads.grpc_named_sender import request_of
from odradek.jepsen.workloads.named import NamedRequest, Sent


def test_a_request_holds_its_records_in_order_under_its_number() -> None:
    message = request_of("n", NamedRequest(12, [Sent(1, "t/1", 100), Sent(2, "t/1", 101)]))
    assert (message.topic, message.producer_name, message.sequence) == ("t", "n", 12)
    assert [record.partition for record in message.records] == [1, 1]
    values = [
        decode(record.key, record.value, [(header.key, header.value) for header in record.headers], "t/1")
        for record in message.records
    ]
    assert values == [100, 101]


def test_answers_that_are_lost_double_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpc_named_sender, "_DELIVERY_S", 60.0)  # on a busy machine, too, nothing is given up
    topics = bench.topic("named")
    bench.broker.faults.drop_connection("RecordService/Publish", when="after", times=5)
    bench.broker.faults.drop_connection("RecordService/Publish", when="before", times=2)
    spec = bench.spec("grpc-named-send", topics, 1_000.0, answer_timeout_ms=2_000)
    events = bench.run(spec, at_least(120, "send"))
    operations = history.pair(events)
    assert bench.broker.faults.fired["RecordService/Publish"] == 7
    assert {operation.completion.error for operation in operations} == {None}
    log = [
        (f"named/{record.partition}", record.offset, decode(record.key, record.value, record.headers))
        for record in bench.broker.records("named")
    ]
    assert len(log) == len(set(log)) and set(log) == sent(operations)
    assert len({event.process for event in events}) == 4
