"""How the tests use confluent-kafka: settings that keep waits short, and loops with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import confluent_kafka.admin
from confluent_kafka import Consumer, KafkaException, Message, Producer
from tests.compat.clusters import Cluster
from tests.compat.servers import Server

DEADLINE_S = 30.0
api: Any = confluent_kafka.admin
"""The admin classes (NewTopic, ConfigResource, ...): the package does not type their export."""


def producer(server: Server | Cluster, **settings: object) -> Producer:
    """A producer; settings are librdkafka's names with `_` for `.`."""
    return Producer({"bootstrap.servers": server.bootstrap, "linger.ms": 2} | dotted(settings))


def consumer(server: Server | Cluster, group: str, **settings: object) -> Consumer:
    """A consumer from the earliest offset, without auto commit, that notices a rebalance soon."""
    defaults: dict[str, object] = {
        "bootstrap.servers": server.bootstrap,
        "group.id": group,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "session.timeout.ms": 6000,
        "heartbeat.interval.ms": 200,
        "fetch.wait.max.ms": 100,
    }
    return Consumer(defaults | dotted(settings))


def admin(server: Server | Cluster) -> Any:
    """An AdminClient. Keep it in a variable while a result is awaited: it ends with its last reference."""
    return api.AdminClient({"bootstrap.servers": server.bootstrap})


def dotted(settings: dict[str, object]) -> dict[str, object]:
    return {name.replace("_", "."): value for name, value in settings.items()}


def send(
    server: Server | Cluster, topic: str, values: Sequence[bytes], partition: int = 0, **settings: object
) -> list[int]:
    """Produce the values to one partition and return their offsets; a failed delivery raises."""
    offsets: list[int] = []

    def on_delivery(error: Any, message: Message) -> None:
        if error is not None:
            raise KafkaException(error)
        offsets.append(int(message.offset() or 0))

    client = producer(server, **settings)
    for value in values:
        client.produce(topic, value=value, partition=partition, on_delivery=on_delivery)
    assert client.flush(DEADLINE_S) == 0
    return offsets


def poll(client: Consumer, count: int, timeout_s: float = DEADLINE_S) -> list[Message]:
    """Exactly the next `count` messages, or fewer when the time is up; a consumer error raises."""
    messages: list[Message] = []
    deadline = time.monotonic() + timeout_s
    while len(messages) < count and time.monotonic() < deadline:
        for message in client.consume(min(count - len(messages), 10_000), 0.1):
            error = message.error()
            if error is not None:
                raise KafkaException(error)
            messages.append(message)
    return messages


def poll_until(clients: Sequence[Consumer], done: Callable[[], bool], timeout_s: float = DEADLINE_S) -> None:
    """Serve the clients in turn until `done()`; fails when the time is up. Messages are dropped."""
    deadline = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline, "not done in time"
        for client in clients:
            client.poll(0.02)
