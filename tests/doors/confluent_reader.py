"""A Kafka consumer (librdkafka, range assignor) that polls in a thread of its own, beside the readers with streams."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from tests.doors.streams import Got

POLL_S = 0.05


class ConfluentReader:
    def __init__(self, address: str, group: str, *topics: str, client_id: str = "confluent") -> None:
        self.assigned: set[tuple[str, int]] = set()
        self.got: list[Got] = []
        self._is_over = threading.Event()
        self._consumer = Consumer(
            {
                "bootstrap.servers": address,
                "group.id": group,
                "client.id": client_id,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "session.timeout.ms": 6000,
                "heartbeat.interval.ms": 100,
                "fetch.wait.max.ms": 100,
                "partition.assignment.strategy": "range",
            }
        )
        self._consumer.subscribe(list(topics), on_assign=self._on_assign, on_revoke=self._on_revoke)
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._thread.start()

    def _on_assign(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        self.assigned = {(one.topic, one.partition) for one in partitions}

    def _on_revoke(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        self.assigned = set()

    def _poll(self) -> None:
        while not self._is_over.is_set():
            message = self._consumer.poll(POLL_S)
            if message is not None and message.error() is None:
                self.got.append(
                    Got(
                        message.topic() or "",
                        message.partition() or 0,
                        message.offset() or 0,
                        message.value(),
                    )
                )
        self._consumer.close()

    def commit(self, topic: str, partition: int, offset: int) -> None:
        self._consumer.commit(offsets=[TopicPartition(topic, partition, offset)], asynchronous=False)

    async def leave(self) -> None:
        self._is_over.set()
        await asyncio.to_thread(self._thread.join)
