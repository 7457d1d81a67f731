"""A load of numbered records, of each of which it is known what became of it.

Decides: what is sent, how far the sender runs ahead, what is kept. Does not decide: what happens to the servers
meanwhile, and what a test concludes.
"""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import Any

from confluent_kafka import KafkaException, Message, Producer
from tests.compat import confluent
from tests.compat.clusters import Cluster, until
from tests.compat.servers import Server

PARTITIONS = 3


class Load:
    """A thread that produces numbered values round robin until told to stop; keeps what was acknowledged."""

    def __init__(
        self, server: Server | Cluster, topic: str, per_s: int = 1_000_000, **settings: object
    ) -> None:
        self.acknowledged: dict[int, tuple[int, int]] = {}
        """Number -> (partition, offset). -1: librdkafka knows that it is written, by a later answer, but not where."""
        self.failed: dict[int, str] = {}
        self.sent = 0
        self.fatal = ""  # why the client cannot go on
        self._topic = topic
        self._per_s = per_s
        self._over = threading.Event()
        self._client: Producer = confluent.producer(
            server, reconnect_backoff_ms=20, reconnect_backoff_max_ms=100, retry_backoff_ms=20, **settings
        )
        self._thread = threading.Thread(target=self._send)
        self._thread.start()

    def _send(self) -> None:
        try:
            self._send_until_over()
        except KafkaException as error:
            self.fatal = str(error)

    def _send_until_over(self) -> None:
        started = time.monotonic()
        while not self._over.is_set():
            if self.sent - len(self.acknowledged) - len(self.failed) >= 5000:
                self._client.poll(0.01)
                continue
            if self.sent > (time.monotonic() - started) * self._per_s:
                self._client.poll(0.001)
                continue
            number = self.sent
            self._client.produce(
                self._topic,
                value=str(number).encode(),
                partition=number % PARTITIONS,
                on_delivery=partial(self._on_delivery, number),
            )
            self.sent += 1
            self._client.poll(0)

    def _on_delivery(self, number: int, error: Any, message: Message) -> None:
        if error is None:
            offset = message.offset()
            self.acknowledged[number] = (message.partition() or 0, -1 if offset is None else offset)
        else:
            self.failed[number] = str(error)

    def reach(self, acknowledged: int, timeout_s: float = 30) -> None:
        """Wait until that many records are acknowledged."""

        def look() -> bool:
            assert not self.fatal, self.fatal
            return len(self.acknowledged) >= acknowledged

        until(
            look,
            timeout_s,
            lambda: (
                f"{acknowledged} acknowledged, only {len(self.acknowledged)}; failed: {[*self.failed.items()][:3]}"
            ),
        )

    def finish(self, timeout_s: float = 30) -> None:
        """No more new records; wait until the fate of each is known."""
        self.abandon()
        assert not self.fatal, self.fatal
        left = self._client.flush(timeout_s)
        assert left == 0, f"{left} records without an answer"

    def abandon(self) -> None:
        """No more new records, and never mind the rest."""
        self._over.set()
        self._thread.join()
