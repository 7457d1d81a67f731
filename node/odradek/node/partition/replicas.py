"""The partitions that this node serves: image in, appends and reads through, wake-ups out. A thin shell.

It opens a partition at its first use, hands records to the log, tells the pure replica what happened, and passes on
what follows from it: produces whose offset is safe, and fetches that may now have bytes. Fetches are woken once per
turn of the loop, however many of their partitions changed in it.

A node acknowledges and appends only while it holds its lease: one that was paused may have been replaced meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

from odradek.node.partition.partition import OffsetWaiter, Partition
from odradek.node.partition.patience import Patience
from odradek.node.partition.placement import PartitionPlacement, TopicPlacement
from odradek.node.partition.ports import CallSoon, HeldLease, Lease, Logs, Topics
from odradek.node.partition.replica import Replica
from odradek.node.partition.waiters import ADVANCED, APPENDED, BROKEN, STARTED, PartitionWatchers
from odradek.node.runtime.metrics import Traffic
from odradek.proto.kafka.errors import ErrorCode
from odradek.storage.log import AppendResult, PartitionLog

__all__ = ["Partition", "Replicas"]

ACKS_ALL: Final = -1
_NOT_LEADER: Final = AppendResult(ErrorCode.NOT_LEADER_OR_FOLLOWER)


class FetchWaiter(Protocol):
    def on_change(self, partition: Partition, change: int) -> bool:
        """What happened to a watched partition (bits of `waiters`). True: call `wake` in the end."""

    def wake(self) -> None:
        """There may be an answer."""


class Replicas:
    """`clock` gives wall-clock ms; `monotonic` ms that only grow; `call_soon` runs a callable in the next turn."""

    def __init__(
        self,
        node_id: int,
        topics: Topics,
        logs: Logs,
        clock: Callable[[], int],
        call_soon: CallSoon,
        monotonic: Callable[[], int] | None = None,
        lease: Lease | None = None,
    ) -> None:
        self.node_id = node_id
        self._topics = topics
        self._logs = logs
        self._clock = clock
        self._call_soon = call_soon
        self._monotonic = monotonic or clock
        self._lease = lease or HeldLease()
        self._partitions: dict[tuple[str, int], Partition] = {}
        self._created: set[bytes] = set()  # topics made since the node started: they have no records anywhere
        self._changed: dict[Partition, int] = {}  # -> what happened to it in this turn
        self.watchers: PartitionWatchers[Partition, FetchWaiter] = PartitionWatchers()
        self.traffic = Traffic()
        self.isr_expands = 0
        self.isr_shrinks = 0
        self.on_behind: Callable[[Partition], None] | None = None
        """Hears of followers that are behind, by an append or with an image, unless the partition is being looked
        after."""
        self.wanted_path: Callable[[PartitionPlacement], str | None] = lambda place: None
        """The log directory in which the metadata has a replica of this node, for a log that is not there yet."""
        self.on_opened: Callable[[Partition, TopicPlacement], None] | None = None
        """Hears of each partition when it was opened, as `topic` places it."""
        self.low_watermark: Callable[[Partition], int] = lambda partition: partition.log.log_start_offset
        """The smallest log start offset of all live replicas of a partition that is led here."""

    # -- look-up

    def find(self, topic: str, index: int) -> Partition | ErrorCode:
        """The partition this node leads, opened at its first use; or why there is none."""
        partition = self._partitions.get((topic, index))
        if partition is not None and partition.replica.is_leader:
            return partition
        found = self.open(topic, index, as_follower=False) if partition is None else partition
        if isinstance(found, Partition) and not found.replica.is_leader:
            return ErrorCode.NOT_LEADER_OR_FOLLOWER
        return found

    def find_readable(self, topic: str, index: int) -> Partition | ErrorCode:
        """The same, or a partition that this node follows."""
        partition = self._partitions.get((topic, index))
        return partition if partition is not None else self.find(topic, index)

    def get(self, topic: str, index: int) -> Partition | None:
        """The partition, if it was opened."""
        return self._partitions.get((topic, index))

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
            self.wanted_path(placement.partitions[index]),
            is_new=placement.topic_id in self._created,
        )

    def opened(self) -> Mapping[tuple[str, int], Partition]:
        """The partitions that were used since the node started."""
        return self._partitions

    def open(self, topic: str, index: int, *, as_follower: bool) -> Partition | ErrorCode:
        """Open a partition as the image places it; one led elsewhere only with `as_follower`."""
        placement = self._topics.topic(topic)
        if placement is None or not 0 <= index < len(placement.partitions):
            return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        place = placement.partitions[index]
        if place.leader != self.node_id and not (as_follower and self.node_id in place.replicas):
            return ErrorCode.NOT_LEADER_OR_FOLLOWER
        log = self._open_log(placement, index)
        if log.is_offline or (not log.is_blank and log.load(self._clock()) is None):
            # Tried again by the next request, unless the directory failed.
            return ErrorCode.KAFKA_STORAGE_ERROR
        replica = Replica(self.node_id, log.config.min_insync_replicas)
        replica.on_loaded(
            log.log_end_offset, log.flushed_offset, max(log.high_watermark, log.log_start_offset)
        )
        partition = Partition(topic, placement.topic_id, index, log, replica, Patience(self._monotonic))
        partition.traffic = self.traffic.of(topic)
        log.flush_listener = lambda _: self._on_flushed(partition)
        self._partitions[topic, index] = partition
        self.apply(partition, place)
        if self.on_opened is not None:
            self.on_opened(partition, placement)
        return partition

    # -- leadership

    def apply(self, partition: Partition, place: PartitionPlacement) -> bool:
        """The image places it so. True when it has another role, leader or leader epoch than before."""
        replica = partition.replica
        if replica.is_outdated(place):
            return False
        if place.leader != self.node_id:
            was_leader = replica.is_leader
            is_new = replica.become_follower(place)
            partition.patience.follow()
            if was_leader:
                self._fail_soon(partition, ErrorCode.NOT_LEADER_OR_FOLLOWER)
            elif is_new:
                self._wake_soon(partition, BROKEN)
            return is_new
        partition.on_durable = None
        before = replica.high_watermark
        is_new = replica.become_leader(
            place, partition.log.log_end_offset, partition.durable_end_offset, self._monotonic()
        )
        is_followed = bool(replica.followers)
        partition.patience.lead(replica.epoch_start_offset, is_new=is_new, is_followed=is_followed)
        partition.log.high_watermark = replica.high_watermark
        if is_new:
            self._wake_soon(partition, BROKEN)
        self.after_isr_change(partition, advanced=replica.high_watermark > before)
        if replica.followers and replica.high_watermark < replica.log_end_offset:
            self._watch_lag(partition)  # perhaps nothing is appended until what is there is committed
        return is_new

    def _watch_lag(self, partition: Partition) -> None:
        if not partition.is_lag_watched and self.on_behind is not None:
            self.on_behind(partition)

    def after_isr_change(self, partition: Partition, *, advanced: bool) -> None:
        """The ISR in force may be another: what waits is safe, or will not be for now."""
        if advanced:
            self.advance(partition)
        if not partition.replica.has_enough_replicas and len(partition.produce_waiters):
            error = ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND
            self._fail_waiters_soon(partition, partition.produce_waiters.clear(), error)

    @property
    def is_lease_held(self) -> bool:
        """Whether nobody can have taken the place of this node."""
        return self._lease.is_held()

    # -- what happens to a partition

    def append(
        self,
        partition: Partition,
        records: bytearray | memoryview | None,
        now_ms: int,
        version: int,
        acks: int = ACKS_ALL,
    ) -> AppendResult:
        """Append one client batch; safe once the high watermark (or, with acks=1, the durable end) is past it."""
        replica = partition.replica
        is_followed = bool(replica.followers)
        monotonic_ms = self._monotonic() if is_followed else 0
        patience = partition.patience
        if not self._lease.is_held():
            patience.on_refused(records)
            return _NOT_LEADER
        if acks == ACKS_ALL and not replica.has_enough_replicas:
            patience.on_refused(records)
            return AppendResult(ErrorCode.NOT_ENOUGH_REPLICAS)
        log = partition.log
        result = log.append_as_leader(records, replica.leader_epoch, now_ms, version, patience)
        if result.error is ErrorCode.NONE and not result.duplicate:
            size = len(records or ())
            partition.appended_bytes += size
            partition.traffic.bytes_in += size
            partition.traffic.messages_in += result.last_offset - result.base_offset + 1
            if replica.on_local_append(log.log_end_offset, monotonic_ms, durable=not log.durable_gating):
                self.advance(partition)
            if is_followed:
                self._wake_soon(partition, APPENDED)
                self._watch_lag(partition)
        elif result.error.retriable and result.error is not ErrorCode.NOT_LEADER_OR_FOLLOWER:
            patience.on_refused(records)  # a full disk, say, on which the next, smaller batch may find room
        return result

    def _on_flushed(self, partition: Partition) -> None:
        replica = partition.replica
        if not replica.is_leader:
            replica.on_flushed(partition.log.flushed_offset)
            if partition.on_durable is not None:
                partition.on_durable(partition)
            return
        if replica.on_flushed(partition.log.flushed_offset):
            self.advance(partition)
        if len(partition.durable_waiters):
            self._confirm(partition, partition.durable_waiters.advance(replica.durable_end_offset))

    def advance(self, partition: Partition) -> None:
        """The high watermark of the replica has moved."""
        high_watermark = partition.log.high_watermark = partition.replica.high_watermark
        partition.visible_bytes = partition.appended_bytes
        if len(partition.produce_waiters):
            self._confirm(partition, partition.produce_waiters.advance(high_watermark))
        self._wake_soon(partition, ADVANCED)

    def _confirm(self, partition: Partition, passed: list[OffsetWaiter]) -> None:
        if not passed:
            return
        if self._lease.is_held():
            for waiter in passed:
                waiter.on_passed(partition)
        else:
            for waiter in passed:
                waiter.on_failed(partition, ErrorCode.NOT_LEADER_OR_FOLLOWER)

    def delete_before(self, partition: Partition, offset: int) -> ErrorCode:
        """Move the log start of a partition that is led here; its followers hear of it at once."""
        error = partition.log.advance_log_start_offset(offset)
        if error is ErrorCode.NONE:
            self._wake_soon(partition, STARTED)
        return error

    def check_starts(self, partition: Partition) -> None:
        """The log of some replica starts later than before, or a replica is no longer waited for."""
        for waiter in partition.start_waiters.advance(self.low_watermark(partition)):
            waiter.on_passed(partition)

    def note_change(self, partition: Partition, change: int) -> None:
        """Something that others did to the log; see `waiters` for the bits."""
        self._wake_soon(partition, change)

    def _wake_soon(self, partition: Partition, change: int) -> None:
        if not self.watchers.has(partition):
            return  # whoever comes to watch it looks first
        if not self._changed:
            self._call_soon(self._wake_fetches)
        self._changed[partition] = self._changed.get(partition, 0) | change

    def _wake_fetches(self) -> None:
        changed, self._changed = self._changed, {}
        woken: dict[FetchWaiter, None] = {}
        for partition, change in changed.items():
            for watcher in self.watchers.of(partition):
                if watcher.on_change(partition, change):
                    woken[watcher] = None
        for watcher in woken:
            watcher.wake()

    # -- image and failures

    def on_topics_created(self, created: Iterable[TopicPlacement]) -> None:
        """Topics that did not exist before, in no life of this node."""
        self._created.update(topic.topic_id for topic in created)

    def close(self, partition: Partition, error: ErrorCode) -> None:
        """The partition is no longer here; whoever waits for it gets `error`. Its log is the caller's."""
        partition.is_closed = True
        partition.on_durable = None
        self._partitions.pop((partition.topic, partition.index), None)
        self._fail_soon(partition, error)

    def on_topics_changed(self, deleted: Sequence[TopicPlacement], reconfigured: Sequence[str]) -> None:
        """The image has changed: topics are gone, or the settings of some are different."""
        now_ms = self._clock()
        for topic in deleted:
            self._created.discard(topic.topic_id)
            for index in range(len(topic.partitions)):
                partition = self._partitions.get((topic.name, index))
                self._logs.delete(topic.name, index, now_ms)
                if partition is not None:
                    self.close(partition, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
            self.traffic.forget(topic.name)
        for name in reconfigured:
            placement = self._topics.topic(name)
            for index in range(len(placement.partitions) if placement is not None else 0):
                partition = self._partitions.get((name, index))
                if partition is not None:
                    self._reconfigure(partition)

    def _reconfigure(self, partition: Partition) -> None:
        config = self._topics.log_config(partition.topic)
        partition.log.update_config(config)
        advanced = partition.replica.set_min_insync_replicas(config.min_insync_replicas)
        if partition.replica.is_leader:
            self.after_isr_change(partition, advanced=advanced)

    def remove(self, topic: str, index: int) -> None:
        """This node is no replica of the partition any more: its log goes."""
        partition = self._partitions.get((topic, index))
        self._logs.delete(topic, index, self._clock())
        if partition is not None:
            self.close(partition, ErrorCode.NOT_LEADER_OR_FOLLOWER)

    def replace_log(self, log: PartitionLog) -> None:
        """The log of a partition was moved to another directory: this one goes on where the old one ended."""
        partition = self._partitions.get((log.topic, log.partition))
        if partition is not None:
            partition.log = log
            log.high_watermark = partition.replica.high_watermark
            log.flush_listener = lambda _: self._on_flushed(partition)
            self._on_flushed(partition)  # all of it is durable

    def on_log_dir_failure(self, logs: Sequence[PartitionLog]) -> list[Partition]:
        """A log directory went offline: nothing that waits for its partitions can be acknowledged. Which they are."""
        failed = []
        for log in logs:
            partition = self._partitions.get((log.topic, log.partition))
            if partition is not None and partition.log is log:
                self._fail_soon(partition, ErrorCode.KAFKA_STORAGE_ERROR)
                failed.append(partition)
        return failed

    def _fail_soon(self, partition: Partition, error: ErrorCode) -> None:
        waiting = (partition.produce_waiters, partition.durable_waiters, partition.start_waiters)
        waiters = [waiter for queue in waiting for waiter in queue.clear()]
        self._fail_waiters_soon(partition, waiters, error)
        self._wake_soon(partition, BROKEN)

    def _fail_waiters_soon(
        self, partition: Partition, waiters: Sequence[OffsetWaiter], error: ErrorCode
    ) -> None:
        """Why soon: an answer lets its connection send the next request, which must find everything in order."""

        def fail() -> None:
            for waiter in waiters:
                waiter.on_failed(partition, error)

        if waiters:
            self._call_soon(fail)
