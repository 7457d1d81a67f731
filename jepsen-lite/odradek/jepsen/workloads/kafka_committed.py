"""Reads what groups have committed, as a stranger to them, through librdkafka."""

from __future__ import annotations

import threading
from time import monotonic_ns
from typing import Final

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaException, TopicPartition

from odradek.jepsen.history import Writer
from odradek.jepsen.workloads import kafka_client
from odradek.jepsen.workloads.pace import Pace
from odradek.jepsen.workloads.recorder import Recorder
from odradek.jepsen.workloads.spec import WorkerSpec, split_key

_ANSWER_S: Final = 3.0


def committed(consumer: Consumer, recorder: Recorder, group: str, keys: list[str]) -> None:
    """One operation: all keys at once. A key that was answered with an error is left out."""
    op = recorder.invoke("committed", {"group": group})
    places = [TopicPartition(*split_key(key)) for key in keys]
    try:
        answers = consumer.committed(places, timeout=_ANSWER_S)
    except KafkaException as error:
        recorder.complete(op, "fail", "committed", {"group": group}, error.args[0].name())
        return
    offsets: dict[str, int | None] = {}
    refused = "NO_ANSWER"
    for place in answers:
        if place.error is not None:
            refused = place.error.name()
        else:
            found = None if place.offset == OFFSET_INVALID else place.offset
            offsets[f"{place.topic}/{place.partition}"] = found
    if offsets:
        recorder.complete(op, "ok", "committed", {"group": group, "offsets": offsets})
    else:
        recorder.complete(op, "fail", "committed", {"group": group}, refused)


def run(spec: WorkerSpec, writer: Writer, stopping: threading.Event) -> None:
    """One group after another. Options: "groups"."""
    recorder = Recorder(writer, spec.name)
    consumers = {
        group: Consumer(kafka_client.consumer(spec, group)) for group in map(str, spec.options["groups"])
    }
    pace = Pace(spec.rate, monotonic_ns())
    while not stopping.is_set():
        for group, consumer in consumers.items():
            pace.due(monotonic_ns())
            pace.take(1)
            committed(consumer, recorder, group, spec.keys)
            if stopping.wait(pace.wait_s()):
                return
