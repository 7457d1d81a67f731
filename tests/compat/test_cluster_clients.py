"""Clients as they come, with their defaults: each goes on when the leader that it talks to is killed."""

from __future__ import annotations

import asyncio

import aiokafka
import pytest
from kafka import KafkaConsumer, KafkaProducer
from tests.compat import confluent
from tests.compat.clusters import Cluster
from tests.compat.conftest import replicated_topic

pytestmark = pytest.mark.timeout(180)
BEFORE = [str(number).encode() for number in range(50)]
AFTER = [str(number).encode() for number in range(50, 100)]


def test_confluent(cluster: Cluster) -> None:
    topic = replicated_topic(cluster)
    consumer = confluent.consumer(cluster, f"group-{topic}")
    consumer.subscribe([topic])
    confluent.send(cluster, topic, BEFORE, enable_idempotence=True)
    assert [message.value() for message in confluent.poll(consumer, 50)] == BEFORE
    consumer.commit(asynchronous=False)
    killed = cluster.leader_of(topic)
    cluster.kill(killed)
    confluent.send(cluster, topic, AFTER, enable_idempotence=True)
    assert [message.value() for message in confluent.poll(consumer, 50)] == AFTER
    consumer.close()


def test_kafka_python(cluster: Cluster) -> None:
    topic = replicated_topic(cluster)
    servers = cluster.bootstrap.split(",")
    producer = KafkaProducer(bootstrap_servers=servers, acks="all")
    consumer = KafkaConsumer(
        topic, bootstrap_servers=servers, group_id=f"group-{topic}", auto_offset_reset="earliest"
    )
    consumer.config["consumer_timeout_ms"] = 60_000
    for value in BEFORE:
        producer.send(topic, value)
    producer.flush(60)
    assert [next(consumer).value for _ in BEFORE] == BEFORE
    consumer.commit()
    cluster.kill(cluster.leader_of(topic))
    sent = [producer.send(topic, value) for value in AFTER]
    producer.flush(60)
    assert [future.get(10).offset for future in sent] == list(range(50, 100))
    assert [next(consumer).value for _ in AFTER] == AFTER
    consumer.close()
    producer.close()


async def test_aiokafka(cluster: Cluster) -> None:
    topic = replicated_topic(cluster)
    async with (
        aiokafka.AIOKafkaProducer(
            bootstrap_servers=cluster.bootstrap, enable_idempotence=True, metadata_max_age_ms=5000
        ) as producer,
        aiokafka.AIOKafkaConsumer(
            topic,
            bootstrap_servers=cluster.bootstrap,
            group_id=f"group-{topic}",
            auto_offset_reset="earliest",
            enable_auto_commit=False,  # with it, a consumer that is closed while it has no coordinator never ends
            metadata_max_age_ms=5000,
        ) as consumer,
    ):
        async with asyncio.timeout(90):
            for value in BEFORE:
                await producer.send_and_wait(topic, value)
            assert [(await consumer.getone()).value for _ in BEFORE] == BEFORE
            await consumer.commit()
            leader = await asyncio.to_thread(cluster.leader_of, topic)
            cluster.kill(leader)
            for value in AFTER:
                await producer.send_and_wait(topic, value)
            assert [(await consumer.getone()).value for _ in AFTER] == AFTER
