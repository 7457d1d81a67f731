"""Sends records through librdkafka: each an operation of its own, many under way at once.

Decides: what a delivery report means for the history, and when a producer is given up for a new one. Does not decide:
what is sent (`generator.Sends`), how much is under way (`outstanding`), nor which error is which outcome (`outcomes`).
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import partial
from random import Random
from time import monotonic_ns
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from odradek.jepsen import payload
from odradek.jepsen.history import Writer
from odradek.jepsen.outcomes import outcome
from odradek.jepsen.workloads import kafka_client
from odradek.jepsen.workloads.generator import Crashes, Sends
from odradek.jepsen.workloads.outstanding import Outstanding
from odradek.jepsen.workloads.pace import Pace
from odradek.jepsen.workloads.recorder import Recorder
from odradek.jepsen.workloads.spec import WorkerSpec, split_key

#: Records that are due are begun together, this often: so they share requests.
_TICK_NS: Final = 25_000_000
_GRACE_S: Final = 10.0


class KafkaSender:
    """One Jepsen process: one producer, until it is torn down or fails for good."""

    def __init__(self, properties: Mapping[str, Any], recorder: Recorder, sends: Sends) -> None:
        self._recorder = recorder
        self._outstanding = Outstanding(recorder, sends)
        self.is_broken = False
        self._producer = Producer(dict(properties) | {"error_cb": self._on_error})

    def _on_error(self, error: KafkaError) -> None:
        self.is_broken = self.is_broken or error.fatal()

    def send(self, due: int) -> int:
        """Begin up to `due` operations; returns how many."""
        begun = 0
        for key, sends in self._outstanding.begin(due):
            begun += len(sends)
            topic, partition = split_key(key)
            for op, value in sends:
                name, data, headers = payload.encode(value, key)
                told: Any = headers  # its stubs want a list of wider pairs, and lists are invariant
                report = partial(self._delivered, op, key, value)
                try:
                    self._producer.produce(topic, data, name, partition, report, headers=told)
                except (BufferError, KafkaException) as error:
                    refused = error.args[0] if isinstance(error, KafkaException) else None
                    self.is_broken = self.is_broken or (refused is not None and refused.fatal())
                    self._refused(op, key, value, "REFUSED_BY_CLIENT")
        return begun

    def _delivered(self, op: int, key: str, value: int, error: KafkaError | None, message: Message) -> None:
        if error is None:
            offset = message.offset()
            self._outstanding.acknowledged(op, key, value, None if offset is None or offset < 0 else offset)
        else:
            # After that the producer may send twice what it still holds: it is of no more use.
            self.is_broken = self.is_broken or error.code() == KafkaError._MSG_TIMED_OUT
            self._refused(op, key, value, error.name())

    def _refused(self, op: int, key: str, value: int, error: str) -> None:
        self._outstanding.ended(op, key, value, outcome("kafka", "send", error), error)

    def serve_until(self, deadline: int) -> None:
        """Hear what becomes of records until then, in ns."""
        while (left := deadline - monotonic_ns()) >= 1_000_000:  # less would be waited for in a loop
            self._serve(left / 1e9)

    def _serve(self, timeout_s: float) -> None:
        try:
            self._producer.poll(timeout_s)
        except KafkaException as error:  # a fatal error is raised here in newer versions of the library
            self.is_broken = self.is_broken or error.args[0].fatal()
        self._outstanding.tell()

    def finish(self, timeout_s: float) -> None:
        """Let operations that are under way end; those that do not within the time stay open."""
        deadline = monotonic_ns() + int(timeout_s * 1e9)
        while self._outstanding.count and monotonic_ns() < deadline:
            self._serve(0.1)

    def tear_down(self) -> Recorder:
        """Forget whatever is under way; returns the recorder of the process that comes after.

        Not by `purge`: that leaves gaps in the sequences, for which the library begins a new epoch, under which one of
        its threads may write again what another is still to purge.
        """
        op = self._recorder.invoke("crash")
        self._serve(0.0)
        del self._producer  # its last reference: its threads end here, and send nothing more
        self._recorder.complete(op, "info", "crash", error="torn-down")
        return self._recorder.successor()


def run(spec: WorkerSpec, writer: Writer, stopping: threading.Event) -> None:
    """Send at the rate of the spec until told to stop. Options: "crash_mean_s" (30; 0: never)."""
    random = Random(spec.seed + spec.incarnation)
    sends = Sends(random, spec.keys, spec.first_value)
    properties = kafka_client.producer(spec)
    sender = KafkaSender(properties, Recorder(writer, spec.name), sends)
    pace = Pace(spec.rate, monotonic_ns())
    crash = Crashes(random, float(spec.options.get("crash_mean_s", 30.0)), monotonic_ns())
    while not stopping.is_set():
        now = monotonic_ns()
        if sender.is_broken or crash.is_due(now):
            sender = KafkaSender(properties, sender.tear_down(), sends)
        pace.take(sender.send(pace.due(now)))
        sender.serve_until(now + _TICK_NS)
    sender.finish(_GRACE_S)
