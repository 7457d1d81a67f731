"""What a node counts about itself that no other part counts: traffic by topic, lateness of the event loop, pauses of
the garbage collector.

Plain integers, added where the work is done and read when somebody asks; nothing here knows how they are shown.
`LoopLag` and `GcPauses` run only while somebody may ask: `start`, `stop`.
"""

from __future__ import annotations

import asyncio
import gc
from time import perf_counter_ns
from typing import Final

from odradek.storage.durations import SUM, Durations, new_durations

LAG_PROBE_INTERVAL_S: Final = 0.25
"""Stalls much shorter than this are met by chance only, so what the histogram shows is their share of the time."""


class TopicTraffic:
    """Records of one topic through this node. Bytes are those of record batches, as they travel."""

    __slots__ = ("bytes_in", "bytes_out", "messages_in", "replication_bytes_in", "replication_bytes_out")

    def __init__(self) -> None:
        self.bytes_in = 0
        self.bytes_out = 0
        self.messages_in = 0
        self.replication_bytes_in = 0
        self.replication_bytes_out = 0

    def add(self, other: TopicTraffic) -> None:
        self.bytes_in += other.bytes_in
        self.bytes_out += other.bytes_out
        self.messages_in += other.messages_in
        self.replication_bytes_in += other.replication_bytes_in
        self.replication_bytes_out += other.replication_bytes_out


class Traffic:
    """The counters of every topic. Those of a deleted topic go on in the total, which never goes back."""

    def __init__(self) -> None:
        self.topics: dict[str, TopicTraffic] = {}
        self._deleted = TopicTraffic()

    def of(self, topic: str) -> TopicTraffic:
        """The counters to keep and add to."""
        counters = self.topics.get(topic)
        if counters is None:
            counters = self.topics[topic] = TopicTraffic()
        return counters

    def forget(self, topic: str) -> None:
        """The topic is gone. Whoever still adds to its counters adds to nothing."""
        counters = self.topics.pop(topic, None)
        if counters is not None:
            self._deleted.add(counters)

    def total(self) -> TopicTraffic:
        total = TopicTraffic()
        total.add(self._deleted)
        for counters in self.topics.values():
            total.add(counters)
        return total


class LoopLag:
    """How late the event loop runs what is due: a timer that measures by how much it is late."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.durations: Durations = new_durations()
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._due_s = 0.0

    def start(self) -> None:
        self._due_s = self._loop.time() + LAG_PROBE_INTERVAL_S
        self._timer = self._loop.call_at(self._due_s, self._measure)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _measure(self) -> None:
        # Timers of uvloop have a resolution of 1 ms and may fire early by that.
        late_ns = max(0, int((self._loop.time() - self._due_s) * 1_000_000_000))
        self.durations[late_ns.bit_length()] += 1
        self.durations[SUM] += late_ns
        self.start()


class GcPauses:
    """How long the garbage collector stopped everything, by generation."""

    def __init__(self) -> None:
        self.durations: tuple[Durations, ...] = tuple(new_durations() for _ in gc.get_threshold())
        self._started_ns = 0

    def start(self) -> None:
        gc.callbacks.append(self._on_collection)

    def stop(self) -> None:
        if self._on_collection in gc.callbacks:
            gc.callbacks.remove(self._on_collection)

    def _on_collection(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._started_ns = perf_counter_ns()
            return
        if self._started_ns:
            elapsed_ns = perf_counter_ns() - self._started_ns
            durations = self.durations[info["generation"]]
            durations[elapsed_ns.bit_length()] += 1
            durations[SUM] += elapsed_ns
