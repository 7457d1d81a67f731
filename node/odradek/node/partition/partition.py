"""One opened partition: its pure replica, its log, and who waits for it. A value that shells share; it decides nothing.

A partition that is closed (deleted, moved away from this node) stays so: whoever held it looks its name up again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from odradek.node.partition.patience import Patience
from odradek.node.partition.replica import Replica
from odradek.node.partition.waiters import OffsetWaiters
from odradek.node.runtime.metrics import TopicTraffic
from odradek.proto.kafka.errors import ErrorCode
from odradek.storage.log import PartitionLog


class OffsetWaiter(Protocol):
    def on_passed(self, partition: Partition) -> None: ...
    def on_failed(self, partition: Partition, error: ErrorCode) -> None: ...


class Partition:
    """See the module. `appended_bytes` and `visible_bytes` only grow."""

    __slots__ = (
        "appended_bytes",
        "durable_waiters",
        "index",
        "is_closed",
        "is_lag_watched",
        "log",
        "on_durable",
        "patience",
        "produce_waiters",
        "replica",
        "start_waiters",
        "topic",
        "topic_id",
        "traffic",
        "visible_bytes",
    )

    def __init__(
        self,
        topic: str,
        topic_id: bytes,
        index: int,
        log: PartitionLog,
        replica: Replica,
        patience: Patience,
    ) -> None:
        self.topic = topic
        self.topic_id = topic_id
        self.index = index
        self.log = log
        self.replica = replica
        self.patience = patience
        self.traffic = TopicTraffic()
        """The counters of its topic."""
        self.is_closed = False
        self.appended_bytes = 0
        self.visible_bytes = 0
        """Of what was appended since it was opened, at least what the high watermark has passed. What a fetch that
        waits for many bytes counts by."""
        self.produce_waiters: OffsetWaiters[OffsetWaiter] = OffsetWaiters()
        """Wait for the high watermark (acks=all)."""
        self.durable_waiters: OffsetWaiters[OffsetWaiter] = OffsetWaiters()
        """Wait for this node's disk (acks=0 and 1)."""
        self.start_waiters: OffsetWaiters[OffsetWaiter] = OffsetWaiters()
        """Wait until no live replica has anything below an offset."""
        self.is_lag_watched = False
        """Whether somebody looks after followers that fall behind."""
        self.on_durable: Callable[[Partition], None] | None = None
        """Hears when more of the log is durable, while it follows another replica."""

    def __repr__(self) -> str:
        return f"{self.topic}-{self.index}"

    @property
    def last_stable_offset(self) -> int:
        """First offset a read_committed reader must not pass: the high watermark or an undecided transaction."""
        undecided = self.log.first_undecided_offset
        high_watermark = self.replica.high_watermark
        return high_watermark if undecided is None else min(undecided, high_watermark)

    def end_of_epoch(self, epoch: int) -> tuple[int, int]:
        """(epoch, end offset) of the largest leader epoch that is not above `epoch`; (-1, -1) when unknown.

        A leader's epoch has begun, even if nothing was appended in it yet: what is in between ends where it began.
        """
        replica = self.replica
        if replica.is_leader and epoch <= replica.leader_epoch:
            if epoch == replica.leader_epoch:
                return epoch, self.log.log_end_offset
            latest = self.log.latest_epoch
            if epoch > latest:
                return (latest if latest >= 0 else epoch), replica.epoch_start_offset
        return self.log.end_offset_for_epoch(epoch)

    @property
    def durable_end_offset(self) -> int:
        """The log end as far as it counts: a topic that does not wait for its sync counts all of it."""
        return self.log.flushed_offset if self.log.durable_gating else self.log.log_end_offset
