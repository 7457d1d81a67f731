"""The partitions of a node, constructed and joined: replicas, in-sync sets, followers, and what the image does to them.

What the composition is given, so that it need not know the parts. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from odradek.node.partition.assignments import BROKER, Assignments
from odradek.node.partition.catch_up import CatchUp
from odradek.node.partition.directories import Directories
from odradek.node.partition.follower import Fetchers, FollowerPorts, Peers
from odradek.node.partition.in_sync import InSync
from odradek.node.partition.isr_publisher import IsrChannel, IsrPublisher
from odradek.node.partition.partition import Partition
from odradek.node.partition.placement import Delta
from odradek.node.partition.ports import CallSoon, Cluster, Lease, Logs, Topics
from odradek.node.partition.replica_selector import ReplicaView, select
from odradek.node.partition.replicas import Replicas
from odradek.node.partition.replication_config import ReplicationConfig
from odradek.node.partition.throttle import ReplicationThrottle
from odradek.node.runtime.alarm import Alarm
from odradek.storage.log import PartitionLog


class Metadata(Topics, Cluster, Protocol):
    """The current metadata."""


class LogsOnDisk(Logs, Protocol):
    """The log directories."""

    def on_disk(self) -> Iterable[tuple[str, int]]:
        """Topic and partition of every log on disk."""

    def where(self, topic: str, partition: int) -> tuple[str, bool] | None:
        """The path of the log directory of a log that was opened or is on disk, and whether it is on disk."""


@dataclass(frozen=True, slots=True)
class ReplicationPorts:
    """What the partitions need of their surroundings.

    `clock` is wall-clock ms, `monotonic` ms of the loop. `broker_epoch` is this node's own. `on_source_lost` hears of
    a node that could not be reached, each time it was tried.
    """

    clock: Callable[[], int]
    monotonic: Callable[[], int]
    call_soon: CallSoon
    new_alarm: Callable[[Callable[[int], int | None]], Alarm]
    lease: Lease
    broker_epoch: Callable[[], int]
    peers: Peers
    isr_channel: IsrChannel
    on_source_lost: Callable[[int], None]


class Replication:
    """`replicas` and `in_sync` serve requests; `on_image` is told of every image."""

    def __init__(
        self,
        node_id: int,
        metadata: Metadata,
        logs: LogsOnDisk,
        config: ReplicationConfig,
        ports: ReplicationPorts,
    ) -> None:
        self._node_id = node_id
        self._metadata = metadata
        self._is_first = True
        self.is_rack_aware = config.is_rack_aware
        self.replicas = Replicas(
            node_id, metadata, logs, ports.clock, ports.call_soon, ports.monotonic, ports.lease
        )
        self.publisher = IsrPublisher(node_id, ports.broker_epoch, ports.isr_channel)
        self.in_sync = InSync(
            self.replicas, metadata, self.publisher, ports.broker_epoch, config.lag_ms_max, ports.new_alarm
        )
        self.publisher.on_answer = self.in_sync.on_answer
        self.throttle = ReplicationThrottle(node_id, ports.monotonic)
        self.throttle_rates: Callable[[], tuple[int, int]] | None = None
        """The node's settings, as leader and as follower; asked for when they may have changed."""
        self.fetchers = Fetchers(
            FollowerPorts(
                node_id,
                ports.broker_epoch,
                ports.peers,
                config,
                CatchUp(self.replicas, ports.clock),
                self.throttle,
                ports.monotonic,
                ports.on_source_lost,
            )
        )
        self.directories = Directories(self.replicas, logs.where)
        self.assignments = Assignments(
            self.replicas,
            self.in_sync,
            self.fetchers,
            logs.on_disk,
            self.directories,
            ports.call_soon,
            ports.new_alarm,
        )

    def on_image(self, delta: Delta, image: object) -> None:
        """See `Assignments.on_image`."""
        is_first, self._is_first = self._is_first, False
        is_news = is_first or any(kind == BROKER for kind, _ in delta.changed_configs)
        if is_news and self.throttle_rates is not None:
            self.throttle.set_rates(*self.throttle_rates())
        self.assignments.on_image(delta, image)

    def on_log_dir_failure(self, logs: Sequence[PartitionLog]) -> None:
        """A log directory went offline."""
        self.fetchers.on_log_dir_failure(self.replicas.on_log_dir_failure(logs))

    def preferred_replica(self, partition: Partition, rack_id: str, offset: int) -> int:
        """Where a consumer in a rack had better read a partition that is led here (KIP-392); -1 for here."""
        own = self._metadata.broker(self._node_id)
        replica = partition.replica
        start, end = partition.log.log_start_offset, replica.log_end_offset
        leader = ReplicaView(self._node_id, None if own is None else own.rack, start, end, 0)
        followers = []
        for broker_id, progress in replica.followers.items():
            broker = self._metadata.broker(broker_id)
            if broker is not None and not broker.fenced and not broker.in_controlled_shutdown:
                followers.append(
                    ReplicaView(
                        broker_id,
                        broker.rack,
                        progress.log_start_offset,
                        progress.log_end_offset,
                        progress.caught_up_ms,
                    )
                )
        chosen = select(rack_id, leader, followers, offset)
        return -1 if chosen == self._node_id else chosen

    def stop(self) -> None:
        """Ask for nothing and propose nothing any more."""
        self.fetchers.stop()
        self.publisher.stop()
