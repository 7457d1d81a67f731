"""The partitions that this node serves: image in, appends and reads through, wake-ups out. A thin shell.

It opens a partition at its first use, hands records to the log, tells the pure replica what happened, and passes on
what follows from it: produces whose offset the high watermark has passed, and fetches that may now have bytes.
Fetches are woken once per turn of the loop, however many of their partitions advanced in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from odradek.node.partition.replica import Replica
from odradek.node.partition.waiters import OffsetWaiters, PartitionWatchers
from odradek.proto.kafka.errors import ErrorCode
from odradek.storage.log import AppendResult, PartitionLog
from odradek.storage.log_config import LogConfig


class PartitionPlacement(Protocol):
    """What a partition's image tells its replica."""

    @property
    def leader(self) -> int: ...
    @property
    def leader_epoch(self) -> int: ...
    @property
    def isr(self) -> tuple[int, ...]: ...


class TopicPlacement(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def topic_id(self) -> bytes: ...
    @property
    def partitions(self) -> Sequence[PartitionPlacement]: ...


class Topics(Protocol):
    """The current metadata: topics by name, and the settings of their logs."""

    def topic(self, name: str) -> TopicPlacement | None: ...
    def log_config(self, name: str) -> LogConfig: ...


class Logs(Protocol):
    """The log directories."""

    def open(
        self, topic: str, partition: int, topic_id: bytes, config: LogConfig, *, is_new: bool
    ) -> PartitionLog: ...
    def delete(self, topic: str, partition: int, now_ms: int) -> None: ...


class ProduceWaiter(Protocol):
    def on_passed(self, partition: Partition) -> None: ...
    def on_failed(self, partition: Partition, error: ErrorCode) -> None: ...


class FetchWaiter(Protocol):
    def on_advance(self, *, broken: bool) -> None:
        """A watched partition has more to read, or (`broken`) is not what it was any more."""


class Partition:
    """One opened partition: its pure replica, its log, and who waits for it."""

    __slots__ = (
        "appended_bytes",
        "index",
        "log",
        "produce_waiters",
        "replica",
        "topic",
        "topic_id",
        "visible_bytes",
    )

    def __init__(self, topic: str, topic_id: bytes, index: int, log: PartitionLog, replica: Replica) -> None:
        self.topic = topic
        self.topic_id = topic_id
        self.index = index
        self.log = log
        self.replica = replica
        self.appended_bytes = 0
        self.visible_bytes = 0
        """Of what was appended since it was opened, at least what the high watermark has passed; only grows. What a
        fetch that waits for many bytes counts by."""
        self.produce_waiters: OffsetWaiters[ProduceWaiter] = OffsetWaiters()

    @property
    def last_stable_offset(self) -> int:
        """First offset a read_committed reader must not pass: the high watermark or an undecided transaction."""
        undecided = self.log.first_undecided_offset
        high_watermark = self.replica.high_watermark
        return high_watermark if undecided is None else min(undecided, high_watermark)


class Replicas:
    """`clock` gives wall-clock ms; `call_soon` runs a callable in the next turn of the loop."""

    def __init__(
        self,
        node_id: int,
        topics: Topics,
        logs: Logs,
        clock: Callable[[], int],
        call_soon: Callable[[Callable[[], None]], object],
    ) -> None:
        self._node_id = node_id
        self._topics = topics
        self._logs = logs
        self._clock = clock
        self._call_soon = call_soon
        self._partitions: dict[tuple[str, int], Partition] = {}
        self._created: set[bytes] = set()  # topics made since the node started: they have no records anywhere
        self._advanced: dict[Partition, bool] = {}  # -> whether it broke
        self.watchers: PartitionWatchers[Partition, FetchWaiter] = PartitionWatchers()

    # -- look-up

    def find(self, topic: str, index: int) -> Partition | ErrorCode:
        """The partition this node leads, opened at its first use; or why there is none."""
        partition = self._partitions.get((topic, index))
        return partition if partition is not None else self._open(topic, index)

    def find_log(self, topic: str, index: int) -> PartitionLog | None:
        """The log of a partition that exists, not loaded by this: what upkeep looks at without serving it."""
        placement = self._topics.topic(topic)
        if placement is None or not 0 <= index < len(placement.partitions):
            return None
        return self._open_log(placement, index)

    def _open_log(self, placement: TopicPlacement, index: int) -> PartitionLog:
        return self._logs.open(
            placement.name,
            index,
            placement.topic_id,
            self._topics.log_config(placement.name),
            is_new=placement.topic_id in self._created,
        )

    def opened(self) -> Mapping[tuple[str, int], Partition]:
        """The partitions that were used since the node started."""
        return self._partitions

    def _open(self, topic: str, index: int) -> Partition | ErrorCode:
        placement = self._topics.topic(topic)
        if placement is None or not 0 <= index < len(placement.partitions):
            return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        place = placement.partitions[index]
        if place.leader != self._node_id:
            return ErrorCode.NOT_LEADER_OR_FOLLOWER
        log = self._open_log(placement, index)
        replica = Replica(self._node_id)
        partition = Partition(topic, placement.topic_id, index, log, replica)
        if log.load(self._clock()) is None:
            return (
                ErrorCode.KAFKA_STORAGE_ERROR
            )  # tried again by the next request, unless the directory failed
        log.flush_listener = lambda _: self._on_flushed(partition)
        replica.become_leader(place.leader_epoch, place.isr, log.log_end_offset, log.flushed_offset)
        log.high_watermark = replica.high_watermark
        self._partitions[topic, index] = partition
        return partition

    # -- what happens to a partition

    def append(
        self, partition: Partition, records: bytearray | memoryview | None, now_ms: int, version: int
    ) -> AppendResult:
        """Append one client batch; safe once the high watermark has passed its last offset."""
        replica = partition.replica
        log = partition.log
        result = log.append_as_leader(records, replica.leader_epoch, now_ms, version)
        if result.error is ErrorCode.NONE and not result.duplicate:
            partition.appended_bytes += len(records or ())
            if replica.on_local_append(log.log_end_offset, durable=not log.durable_gating):
                self._advance(partition)
        return result

    def _on_flushed(self, partition: Partition) -> None:
        if partition.replica.on_flushed(partition.log.flushed_offset):
            self._advance(partition)

    def _advance(self, partition: Partition) -> None:
        high_watermark = partition.log.high_watermark = partition.replica.high_watermark
        partition.visible_bytes = partition.appended_bytes
        for waiter in partition.produce_waiters.advance(high_watermark):
            waiter.on_passed(partition)
        self._wake_soon(partition, broken=False)

    def _wake_soon(self, partition: Partition, *, broken: bool) -> None:
        if not self._advanced:
            self._call_soon(self._wake_fetches)
        self._advanced[partition] = broken or self._advanced.get(partition, False)

    def _wake_fetches(self) -> None:
        advanced, self._advanced = self._advanced, {}
        for partition, broken in advanced.items():
            for waiter in self.watchers.of(partition):
                waiter.on_advance(broken=broken)

    # -- image and failures

    def on_topics_created(self, created: Iterable[TopicPlacement]) -> None:
        """Topics that did not exist before, in no life of this node."""
        self._created.update(topic.topic_id for topic in created)

    def on_topics_changed(self, deleted: Sequence[TopicPlacement], reconfigured: Sequence[str]) -> None:
        """The image has changed: topics are gone, or the settings of some are different."""
        now_ms = self._clock()
        for topic in deleted:
            self._created.discard(topic.topic_id)
            for index in range(len(topic.partitions)):
                partition = self._partitions.pop((topic.name, index), None)
                self._logs.delete(topic.name, index, now_ms)
                if partition is not None:
                    self._fail_soon(partition, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
        for name in reconfigured:
            placement = self._topics.topic(name)
            for index in range(len(placement.partitions) if placement is not None else 0):
                partition = self._partitions.get((name, index))
                if partition is not None:
                    partition.log.update_config(self._topics.log_config(name))

    def on_log_dir_failure(self, logs: Sequence[PartitionLog]) -> None:
        """A log directory went offline: nothing that waits for its partitions can be acknowledged."""
        for log in logs:
            partition = self._partitions.get((log.topic, log.partition))
            if partition is not None and partition.log is log:
                self._fail_soon(partition, ErrorCode.KAFKA_STORAGE_ERROR)

    def _fail_soon(self, partition: Partition, error: ErrorCode) -> None:
        """Why soon: an answer lets its connection send the next request, which must find everything in order."""
        waiters = partition.produce_waiters.clear()

        def fail() -> None:
            for waiter in waiters:
                waiter.on_failed(partition, error)

        if waiters:
            self._call_soon(fail)
        self._wake_soon(partition, broken=True)
