"""What all clients of librdkafka have in common."""

from __future__ import annotations

from tests.unit.jepsen.workloads.conftest import Bench

from odradek.jepsen.workloads import kafka_client


def test_producers_are_idempotent_and_wait_for_all_replicas(bench: Bench) -> None:
    properties = kafka_client.producer(bench.spec("kafka-send", {}))
    assert properties["acks"] == "all" and properties["enable.idempotence"] is True
    assert properties["message.timeout.ms"] == 120_000
    assert properties["socket.timeout.ms"] == 5_000


def test_forced_retries_are_a_matter_of_the_spec(bench: Bench) -> None:
    spec = bench.spec("kafka-send", {}, answer_timeout_ms=150, delivery_timeout_ms=15_000)
    properties = kafka_client.producer(spec)
    assert properties["socket.timeout.ms"] == properties["request.timeout.ms"] == 150
    assert properties["message.timeout.ms"] == 15_000


def test_consumers_commit_nothing_by_themselves(bench: Bench) -> None:
    spec = bench.spec("kafka-read", {}).again()
    properties = kafka_client.consumer(spec, "g")
    assert properties["group.id"] == "g" and properties["enable.auto.commit"] is False
    assert properties["client.id"] == spec.name and properties["bootstrap.servers"] == spec.bootstrap
    assert properties["session.timeout.ms"] == 6_000
