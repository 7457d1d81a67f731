"""Reads everything once more, after the faults, through librdkafka.

Decides: when all is read: every key up to the offset that the spec names, or the time is up. What cannot be read in
time is left out of the history, where checkers miss it, and the worker ends with status 1.
"""

from __future__ import annotations

import threading
from time import monotonic_ns
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from odradek.jepsen.history import Writer
from odradek.jepsen.workloads import kafka_client
from odradek.jepsen.workloads.kafka_reader import collect
from odradek.jepsen.workloads.polled import end_status
from odradek.jepsen.workloads.recorder import Recorder
from odradek.jepsen.workloads.spec import WorkerSpec, split_key

_MAX_RECORDS: Final = 2_000
_WAIT_S: Final = 0.5


def run(spec: WorkerSpec, writer: Writer, stopping: threading.Event) -> int:
    """Options: "until" ({key: offset}, exclusive; keys that are not there are not read), "limit_s" (200).

    Returns the exit status: 1 when not all was read.
    """
    recorder = Recorder(writer, spec.name)
    left = {key: int(offset) for key, offset in spec.options["until"].items() if offset > 0}
    if not left:
        return 0
    consumer = Consumer(
        kafka_client.consumer(spec, f"{spec.name}-alone") | {"queued.max.messages.kbytes": 65_536}
    )
    listed = sorted(left)
    more = {"seek": "beginning", "final": True}
    op = recorder.invoke("assign", listed, more)
    consumer.assign([TopicPartition(*split_key(key), 0) for key in listed])
    recorder.complete(op, "ok", "assign", listed, more=more)
    deadline = monotonic_ns() + int(float(spec.options.get("limit_s", 200.0)) * 1e9)
    while left and monotonic_ns() < deadline and not stopping.is_set():
        op = recorder.invoke("poll", [["poll"]], {"final": True})
        try:
            polled = collect(consumer.consume(_MAX_RECORDS, _WAIT_S))
        except KafkaException as error:
            recorder.complete(op, "fail", "poll", [["poll"]], error.args[0].name(), {"final": True})
            continue
        recorder.complete(op, "ok", "poll", polled.value(), more=polled.more(final=True))
        for key, last in polled.last_offsets().items():
            if last + 1 >= left.get(key, 0):
                left.pop(key, None)
    return end_status(spec.name, left)
