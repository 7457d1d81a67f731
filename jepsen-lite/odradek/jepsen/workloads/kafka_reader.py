"""Reads records through librdkafka, with partitions of its own choice or those that a group gives it.

Decides: how an operation of `generator.Reads` is carried out, and what the history says of it.
Invariant: a poll tells every record that it took from the client, in the order in which it came.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from random import Random
from time import monotonic_ns
from typing import Any, Final

from confluent_kafka import OFFSET_END, Consumer, KafkaException, TopicPartition

from odradek.jepsen import payload
from odradek.jepsen.history import Writer
from odradek.jepsen.workloads import kafka_client
from odradek.jepsen.workloads.generator import Assign, Crash, Habits, Reads, Subscribe
from odradek.jepsen.workloads.pace import Pace
from odradek.jepsen.workloads.polled import Polled
from odradek.jepsen.workloads.recorder import Recorder
from odradek.jepsen.workloads.spec import WorkerSpec, split_key

_MAX_RECORDS: Final = 500
_WAIT_S: Final = 0.2
_CLOSE_S: Final = 3.0


def keys(partitions: Sequence[TopicPartition]) -> list[str]:
    """ "topic/partition" of each."""
    return [f"{place.topic}/{place.partition}" for place in partitions]


def collect(messages: Sequence[Any]) -> Polled:
    """What a poll brought, out of confluent_kafka.Message."""
    polled = Polled()
    for message in messages:
        error = message.error()
        if error is not None:
            polled.errors.append(error.name())
            continue
        key = f"{message.topic()}/{message.partition()}"
        offset = message.offset()
        try:
            value = payload.decode(message.key(), message.value(), message.headers(), key)
        except payload.Corrupt as corrupt:
            polled.corrupt.append({"key": key, "offset": offset, "reason": corrupt.reason})
        else:
            polled.add(key, offset, value)
    return polled


class KafkaReader:
    """One Jepsen process: one consumer, until it is torn down."""

    def __init__(self, properties: dict[str, Any], recorder: Recorder, reads: Reads) -> None:
        self._recorder = recorder
        self._reads = reads
        self._moved: set[str] = set()
        self._consumer = Consumer(properties)

    def _on_moved(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._moved.update(keys(partitions))

    def assign(self, operation: Assign) -> None:
        listed = list(operation.starts)
        op = self._recorder.invoke("assign", listed, _seek(operation))
        places = [
            TopicPartition(*split_key(key), OFFSET_END if start is None else start)
            for key, start in operation.starts.items()
        ]
        self._consumer.assign(places)
        self._recorder.complete(op, "ok", "assign", listed, more=_seek(operation))

    def subscribe(self, operation: Subscribe, group: str) -> None:
        topics = list(operation.topics)
        op = self._recorder.invoke("subscribe", topics, {"group": group})
        self._consumer.subscribe(
            topics, on_assign=self._on_moved, on_revoke=self._on_moved, on_lost=self._on_moved
        )
        self._recorder.complete(op, "ok", "subscribe", topics, more={"group": group})

    def poll(self) -> int:
        """Returns the number of records."""
        op = self._recorder.invoke("poll", [["poll"]])
        try:
            polled = collect(self._consumer.consume(_MAX_RECORDS, _WAIT_S))
        except KafkaException as error:
            self._recorder.complete(op, "fail", "poll", [["poll"]], error.args[0].name())
            return 0
        moved, self._moved = sorted(self._moved), set()
        self._recorder.complete(op, "ok", "poll", polled.value(), more=polled.more(moved))
        for key, last in polled.last_offsets().items():
            self._reads.was_read(key, last)
        return polled.count

    def crash(self) -> Recorder:
        op = self._recorder.invoke("crash")
        self.close()
        self._recorder.complete(op, "info", "crash", error="torn-down")
        return self._recorder.successor()

    def close(self) -> None:
        """Leave the group, if that can be done soon."""
        closing = threading.Thread(target=self._consumer.close, daemon=True)
        closing.start()
        closing.join(_CLOSE_S)


def _seek(operation: Assign) -> dict[str, Any] | None:
    return {"seek": dict(operation.sought)} if operation.sought else None


def run(spec: WorkerSpec, writer: Writer, stopping: threading.Event) -> None:
    """Poll at the rate of the spec, faster while there is much to read. Options: "mode" ("assign" or "subscribe"),
    "group" (the reader's group when it subscribes), "crash_mean_s" (30; 0: never)."""
    mode = spec.options.get("mode", "assign")
    group = str(spec.options.get("group", "queue"))
    mean_s = float(spec.options.get("crash_mean_s", 30.0))
    habits = Habits(mode, 1 / (mean_s * spec.rate) if mean_s > 0 else 0.0, spec.incarnation > 0)
    reads = Reads(Random(spec.seed + spec.incarnation), spec.keys, habits)
    properties = kafka_client.consumer(spec, group if mode == "subscribe" else f"{spec.process}-alone")
    if mode == "subscribe":
        # Positions only: what a reader that comes later need not read again.
        properties |= {"enable.auto.commit": True, "auto.commit.interval.ms": 1_000}
    reader = KafkaReader(properties, Recorder(writer, spec.name), reads)
    pace = Pace(spec.rate, monotonic_ns())
    while not stopping.is_set():
        pace.due(monotonic_ns())
        pace.take(1)
        operation = reads.next()
        if isinstance(operation, Assign):
            reader.assign(operation)
        elif isinstance(operation, Subscribe):
            reader.subscribe(operation, group)
        elif isinstance(operation, Crash):
            reader = KafkaReader(properties, reader.crash(), reads)
        elif reader.poll() < _MAX_RECORDS:
            stopping.wait(pace.wait_s())
    reader.close()
