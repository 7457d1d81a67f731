"""Asks, a few times a second, from where to where each partition can be read.

Decides: how watermarks are asked for through librdkafka. Each partition is asked by itself, at its leader.
"""

from __future__ import annotations

import threading
from time import monotonic_ns
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from odradek.jepsen.history import Writer
from odradek.jepsen.workloads import kafka_client
from odradek.jepsen.workloads.pace import Pace
from odradek.jepsen.workloads.recorder import Recorder
from odradek.jepsen.workloads.spec import WorkerSpec, split_key

_ANSWER_S: Final = 2.0


def run(spec: WorkerSpec, writer: Writer, stopping: threading.Event) -> None:
    """One key after another, `rate` of them a second."""
    recorder = Recorder(writer, spec.name)
    consumer = Consumer(kafka_client.consumer(spec, f"{spec.process}-alone"))
    pace = Pace(spec.rate, monotonic_ns())
    while not stopping.is_set():
        for key in spec.keys:
            pace.due(monotonic_ns())
            pace.take(1)
            op = recorder.invoke("watermarks", [key])
            try:
                low, high = consumer.get_watermark_offsets(
                    TopicPartition(*split_key(key)), _ANSWER_S, cached=False
                )
            except KafkaException as error:
                recorder.complete(op, "fail", "watermarks", [key], error.args[0].name())
            else:
                recorder.complete(op, "ok", "watermarks", {key: [low, high]})
            if stopping.wait(pace.wait_s()):
                return
