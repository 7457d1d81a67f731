"""A steady load whose acknowledgements are timed: how long a cluster leaves a writer without one.

Decides: the client (librdkafka, acks=all), its pace and settings, what counts as a gap. Does not decide: what is
done to the cluster meanwhile. The settings are the same against every cluster. They keep the client's own pauses
below the effects that are measured: librdkafka would wait up to 10 s before it dials a broker again, and a minute
for an answer that does not come.
"""

from __future__ import annotations

import threading
import time
from functools import partial
from itertools import pairwise
from types import TracebackType
from typing import Any, Self

from confluent_kafka import Message, Producer

PAUSE_S = 0.005
SETTINGS: dict[str, object] = {
    "acks": "all",
    "linger.ms": 0,
    "message.timeout.ms": 300_000,
    "request.timeout.ms": 1000,
    "socket.timeout.ms": 1500,
    "retry.backoff.ms": 20,
    "retry.backoff.max.ms": 100,
    "reconnect.backoff.ms": 20,
    "reconnect.backoff.max.ms": 100,
    "topic.metadata.refresh.fast.interval.ms": 50,
    "topic.metadata.refresh.interval.ms": 1000,
}


class WriterStuck(Exception):
    """No acknowledgement came in time."""


class SteadyWriter:
    """A thread that sends a small record every 5 ms, round robin; as a context manager it ends with its block."""

    def __init__(self, bootstrap: str, topic: str, partitions: int = 1) -> None:
        self._topic = topic
        self._partitions = partitions
        self._acks: list[list[tuple[float, float]]] = [[] for _ in range(partitions)]
        self._client: Producer = Producer({"bootstrap.servers": bootstrap, **SETTINGS, "log_level": 0})
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.gap_since(time.monotonic())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._client.purge()

    def _run(self) -> None:
        number, due = 0, time.monotonic()
        while not self._over.is_set():
            index = number % self._partitions
            on_delivery = partial(self._on_delivery, index, time.monotonic())
            self._client.produce(self._topic, b"x" * 100, partition=index, on_delivery=on_delivery)
            number += 1
            due += PAUSE_S
            while not self._over.is_set():
                left = due - time.monotonic()
                self._client.poll(max(left, 0))
                if left <= 0:
                    break

    def _on_delivery(self, partition: int, sent: float, error: Any, message: Message) -> None:
        if error is None:
            self._acks[partition].append((sent, time.monotonic()))

    def gap_since(self, moment: float, timeout_s: float = 180.0) -> float:
        """Wait until every partition has acknowledged a record that was sent after `moment` (monotonic clock).

        Returns the longest time from one acknowledgement to the next in a partition, of those that end after
        `moment`. Raises WriterStuck.
        """
        deadline = time.monotonic() + timeout_s
        for partition, acks in enumerate(self._acks):
            while not acks or acks[-1][0] < moment:
                if time.monotonic() > deadline:
                    raise WriterStuck(f"{self._topic}-{partition}: no acknowledgement within {timeout_s} s")
                time.sleep(PAUSE_S)
        return max(self._longest(acks[:], moment) for acks in self._acks)

    @staticmethod
    def _longest(acks: list[tuple[float, float]], moment: float) -> float:
        times = [acked for _, acked in acks]
        return max([later - before for before, later in pairwise(times) if later > moment], default=0.0)
