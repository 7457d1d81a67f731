"""Sends records through librdkafka: each an operation of its own, many under way at once.

Decides: how many are under way, and what a delivery report means for the history. Does not decide: what is sent
(`generator.Sends`), nor which error is which outcome (`outcomes`).
Invariant: records are handed to the producer in the order of their invocations.
"""

from __future__ import annotations

import threading
from collections import Counter
from functools import partial
from random import Random
from time import monotonic_ns
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from odradek.jepsen import payload
from odradek.jepsen.history import Event, Writer
from odradek.jepsen.outcomes import outcome
from odradek.jepsen.workloads import kafka_client
from odradek.jepsen.workloads.generator import Sends
from odradek.jepsen.workloads.pace import Pace
from odradek.jepsen.workloads.recorder import Recorder
from odradek.jepsen.workloads.spec import WorkerSpec, split_key

_TICK_S: Final = 0.01
_GRACE_S: Final = 10.0
#: Records under way: in all, and to one key, so that a key without a leader does not hold up the others.
_WINDOW: Final = 96
_WINDOW_OF_KEY: Final = 16


class KafkaSender:
    """One Jepsen process: one producer, until it is torn down or fails for good."""

    def __init__(self, properties: dict[str, Any], recorder: Recorder, sends: Sends) -> None:
        self._recorder = recorder
        self._sends = sends
        self._under_way: Counter[str] = Counter()
        self.count = 0
        self.is_broken = False
        self._told: list[Event] = []
        self._producer = Producer(properties | {"error_cb": self._on_error})

    def _on_error(self, error: KafkaError) -> None:
        self.is_broken = self.is_broken or error.fatal()

    def send(self, due: int) -> int:
        """Begin up to `due` operations; returns how many."""
        chosen = []
        under_way = self._under_way
        for _ in range(min(due, _WINDOW - self.count)):
            send = self._sends.next(lambda key: under_way[key] < _WINDOW_OF_KEY)
            if send is None:
                break
            under_way[send.key] += 1
            chosen.append(send)
        if not chosen:
            return 0
        self.count += len(chosen)
        ops = self._recorder.invoke_all("send", [[["send", key, value]] for key, value in chosen])
        for op, (key, value) in zip(ops, chosen):
            self._produce(op, key, value)
        return len(chosen)

    def _produce(self, op: int, key: str, value: int) -> None:
        topic, partition = split_key(key)
        name, data, headers = payload.encode(value, key)
        report = partial(self._delivered, op, key, value)
        try:
            self._producer.produce(topic, data, name, partition, report, headers=headers)
        except (BufferError, KafkaException) as error:
            refused = error.args[0] if isinstance(error, KafkaException) else None
            self.is_broken = self.is_broken or (refused is not None and refused.fatal())
            self._end(op, key, value, None, "REFUSED_BY_CLIENT")

    def _delivered(self, op: int, key: str, value: int, error: KafkaError | None, message: Message) -> None:
        if error is None:
            offset = message.offset()
            self._end(op, key, value, None if offset is None or offset < 0 else offset, None)
        else:
            self._end(op, key, value, None, error.name())

    def _end(self, op: int, key: str, value: int, offset: int | None, error: str | None) -> None:
        self.count -= 1
        self._under_way[key] -= 1
        kind = "ok" if error is None else outcome("kafka", "send", error)
        told = [["send", key, value if error is not None else [offset, value]]]
        self._told.append(self._recorder.event(op, kind, "send", told, error))

    def serve(self, timeout_s: float) -> None:
        """Hear what became of records: at once, or within the time."""
        self._producer.poll(timeout_s)
        self._recorder.write(self._told)
        self._told.clear()

    def finish(self, timeout_s: float) -> None:
        """Let operations that are under way end; those that do not within the time stay open."""
        deadline = monotonic_ns() + int(timeout_s * 1e9)
        while self.count and monotonic_ns() < deadline:
            self.serve(0.1)

    def tear_down(self) -> Recorder:
        """Forget whatever is under way; returns the recorder of the process that comes after."""
        op = self._recorder.invoke("crash")
        self._producer.purge(in_queue=True, in_flight=True, blocking=False)
        self.serve(0.0)
        self._recorder.complete(op, "info", "crash", error="torn-down")
        return self._recorder.successor()


def run(spec: WorkerSpec, writer: Writer, stopping: threading.Event) -> None:
    """Send at the rate of the spec until told to stop. Options: "crash_mean_s" (30; 0: never)."""
    random = Random(spec.seed + spec.incarnation)
    sends = Sends(random, spec.keys, spec.first_value)
    properties = kafka_client.producer(spec)
    mean_s = float(spec.options.get("crash_mean_s", 30.0))
    sender = KafkaSender(properties, Recorder(writer, spec.name), sends)
    pace = Pace(spec.rate, monotonic_ns())
    crash_at = _crash_time(random, mean_s)
    while not stopping.is_set():
        now = monotonic_ns()
        if sender.is_broken or now >= crash_at:
            sender = KafkaSender(properties, sender.tear_down(), sends)
            crash_at = _crash_time(random, mean_s)
        pace.take(sender.send(pace.due(now)))
        sender.serve(_TICK_S)
    sender.finish(_GRACE_S)


def _crash_time(random: Random, mean_s: float) -> int:
    return monotonic_ns() + int(random.expovariate(1 / mean_s) * 1e9) if mean_s > 0 else 1 << 62
