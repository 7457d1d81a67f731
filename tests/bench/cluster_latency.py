"""End to end latency through librdkafka, at a fixed rate: a program of its own, so that only it pays for it.

    cluster_latency.py --bootstrap B --topic T [--rate 1000] [--warmup 4] [--seconds 8] [--record-size 100]

Decides: clients and their settings, the schedule. A record's time is that from when it was *due* to be sent, which
travels in its value, until the consumer holds it; a stall counts against every record that it delays. Partition 0,
an idempotent producer (acks=all) without linger. Prints one JSON object: end_to_end_ms with mean, p50, p99, p99.9 and
max.
"""

from __future__ import annotations

import argparse
import gc
import json
import struct
import sys
import threading
import time
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

NS = 1_000_000_000
GIVE_UP_S = 60
_PLACE = struct.Struct(">qq")  # number of the record, ns at which it was due


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--warmup", type=float, default=4)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--record-size", type=int, default=100)
    return parser.parse_args()


class Reader:
    """A thread that reads until it has `total` records of this run, and keeps how long each took."""

    def __init__(self, bootstrap: str, topic: str, total: int) -> None:
        settings = {"bootstrap.servers": bootstrap, "group.id": "latency", "enable.auto.commit": False}
        self._consumer = Consumer(settings)
        self._partition = TopicPartition(topic, 0)
        _, end = self._consumer.get_watermark_offsets(self._partition, timeout=GIVE_UP_S)
        self._consumer.assign([TopicPartition(topic, 0, end)])
        self.took_ns: list[int] = [-1] * total
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        left = len(self.took_ns)
        try:
            while left:
                message = self._consumer.poll(GIVE_UP_S)
                now = time.monotonic_ns()
                if message is None or message.error() is not None:
                    raise KafkaException(message.error() if message else f"{left} records are missing")
                number, due = _PLACE.unpack_from(bytes(message.value() or b""))
                if self.took_ns[number] < 0:
                    self.took_ns[number] = now - due
                    left -= 1
        except (KafkaException, struct.error, IndexError) as error:
            self.error = error

    def result(self) -> list[int]:
        self._thread.join()
        if self.error is not None:
            raise self.error
        return self.took_ns


def write(options: argparse.Namespace, total: int) -> None:
    """Send the records when they are due; a delivery that fails ends the run."""
    failed: list[Any] = []

    def on_delivery(error: Any, _: object) -> None:
        if error is not None:
            failed.append(error)

    # Idempotent, so that at most five requests are on the way: librdkafka's default has no such limit, and a broker
    # that answers one request of a connection after the other is then measured by what fills its socket's buffers.
    settings = {"enable.idempotence": True, "linger.ms": 0}
    producer = Producer({"bootstrap.servers": options.bootstrap, **settings})
    padding = b"x" * (options.record_size - _PLACE.size)
    start = time.monotonic_ns() + NS // 2
    for number in range(total):
        due = start + number * NS // options.rate
        while (left := due - time.monotonic_ns()) > 0:
            time.sleep(left / NS)
        producer.produce(
            options.topic, _PLACE.pack(number, due) + padding, partition=0, on_delivery=on_delivery
        )
        producer.poll(0)
    left_over = producer.flush(GIVE_UP_S)
    if failed or left_over:
        raise KafkaException(failed[0] if failed else f"{left_over} records were not acknowledged")


def main() -> int:
    options = arguments()
    skipped = int(options.rate * options.warmup)
    total = skipped + int(options.rate * options.seconds)
    gc.disable()
    reader = Reader(options.bootstrap, options.topic, total)
    write(options, total)
    took = sorted(reader.result()[skipped:])

    def at(quantile: float) -> float:
        return took[min(int(quantile * len(took)), len(took) - 1)] / 1e6

    points = {"p50": at(0.5), "p99": at(0.99), "p99.9": at(0.999), "max": at(1)}
    sys.stdout.write(json.dumps({"end_to_end_ms": {"mean": sum(took) / len(took) / 1e6} | points}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
