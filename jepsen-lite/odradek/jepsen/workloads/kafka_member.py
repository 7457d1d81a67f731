"""Members of a group, through librdkafka: they come, read, commit what they have read, and leave.

Decides: what a member does and what the history says of it. Each life of a member is a Jepsen process of its own, so
that no other member ever has its name. Does not decide: how long it lives (`generator.Lives`).
Invariants: a commit names only what a poll has told before; nothing is under way when a poll is asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from random import Random
from time import monotonic_ns
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from odradek.jepsen.history import Type, Writer
from odradek.jepsen.outcomes import outcome
from odradek.jepsen.workloads import kafka_client
from odradek.jepsen.workloads.generator import Lives
from odradek.jepsen.workloads.kafka_reader import collect, keys
from odradek.jepsen.workloads.pace import Pace
from odradek.jepsen.workloads.recorder import Recorder
from odradek.jepsen.workloads.spec import WorkerSpec, split_key

_MAX_RECORDS: Final = 500
_WAIT_S: Final = 0.2
_CLOSE_S: Final = 8.0
#: Names of assignors, by how members give partitions up: all of them at every rebalance, or only those that go.
ASSIGNORS: Final = {"eager": "range,roundrobin", "cooperative": "cooperative-sticky"}


class KafkaMember:
    """One life."""

    def __init__(
        self, properties: Mapping[str, Any], recorder: Recorder, group: str, topics: list[str]
    ) -> None:
        self._recorder = recorder
        self._group = group
        self._moved: set[str] = set()
        self._consumer = Consumer(dict(properties))
        more = {"group": group}
        op = recorder.invoke("subscribe", topics, more)
        self._consumer.subscribe(
            topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )
        recorder.complete(op, "ok", "subscribe", topics, more=more)

    def _told(self, f: str, partitions: list[TopicPartition], more: Mapping[str, Any] | None = None) -> None:
        named = keys(partitions)
        self._moved.update(named)
        value = {"group": self._group, "member": self._recorder.process, "keys": named}
        self._recorder.remark(f, value, more=more)

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._told("assigned", partitions)

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._told("revoked", partitions)

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._told("revoked", partitions, {"lost": True})

    def poll(self) -> dict[str, int]:
        """Returns the next offset of each key of which there were records."""
        recorder = self._recorder
        op = recorder.invoke("poll", [["poll"]], {"group": self._group})
        try:
            polled = collect(self._consumer.consume(_MAX_RECORDS, _WAIT_S))
        except KafkaException as error:
            name = error.args[0].name()
            recorder.complete(op, "fail", "poll", [["poll"]], name, {"group": self._group})
            return {}
        moved, self._moved = sorted(self._moved), set()
        more = (polled.more(moved) or {}) | {"group": self._group}
        recorder.complete(op, "ok", "poll", polled.value(), more=more)
        return {key: last + 1 for key, last in polled.last_offsets().items()}

    def commit(self, offsets: Mapping[str, int]) -> None:
        """And wait for the answer."""
        value = {"group": self._group, "member": self._recorder.process, "offsets": dict(offsets)}
        places = [TopicPartition(*split_key(key), offset) for key, offset in offsets.items()]
        op = self._recorder.invoke("commit", value)
        error: str | None = None
        try:
            for place in self._consumer.commit(offsets=places, asynchronous=False) or ():
                if place.error is not None:
                    error = error or place.error.name()
        except KafkaException as refused:
            error = refused.args[0].name()
        kind: Type = "ok" if error is None else outcome("kafka", "commit", error)
        self._recorder.complete(op, kind, "commit", value, error)

    def leave(self) -> Recorder:
        """Returns the recorder of the next life."""
        op = self._recorder.invoke("crash")
        closing = threading.Thread(target=self._consumer.close, daemon=True)
        closing.start()
        closing.join(_CLOSE_S)
        self._recorder.complete(op, "info", "crash", error="left")
        return self._recorder.successor()


def run(spec: WorkerSpec, writer: Writer, stopping: threading.Event) -> None:
    """Live one life after another. Options: "group", "style" ("eager" or "cooperative"), "life_s" and "away_s" (how
    long a member stays and stays away, on average: 10 and 1; with three of them somebody comes or goes every 2 s)."""
    group = str(spec.options["group"])
    properties = kafka_client.consumer(spec, group) | {
        "partition.assignment.strategy": ASSIGNORS[spec.options.get("style", "eager")],
        "heartbeat.interval.ms": 500,
        "max.poll.interval.ms": 10_000,
    }
    life_s, away_s = float(spec.options.get("life_s", 10.0)), float(spec.options.get("away_s", 1.0))
    lives = Lives(Random(spec.seed + spec.incarnation), life_s, away_s)
    recorder = Recorder(writer, spec.name)
    pace = Pace(spec.rate, monotonic_ns())
    while not stopping.is_set():
        member = KafkaMember(properties, recorder, group, list(spec.topics))
        end = monotonic_ns() + lives.stay_ns()
        while monotonic_ns() < end and not stopping.is_set():
            pace.due(monotonic_ns())
            pace.take(1)
            offsets = member.poll()
            if offsets:
                member.commit(offsets)
            stopping.wait(pace.wait_s())
        recorder = member.leave()
        stopping.wait(lives.away_s())
