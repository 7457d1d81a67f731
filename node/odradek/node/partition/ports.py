"""What the partitions of a node need of the rest of it, as shapes: metadata, logs, lease.

Decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from odradek.node.partition.placement import BrokerView, TopicPlacement
from odradek.storage.log import PartitionLog
from odradek.storage.log_config import LogConfig


class Topics(Protocol):
    """The current metadata: topics by name, and the settings of their logs."""

    def topic(self, name: str) -> TopicPlacement | None: ...
    def log_config(self, name: str) -> LogConfig: ...


class Cluster(Protocol):
    """The current metadata: brokers by id."""

    def broker(self, broker_id: int) -> BrokerView | None: ...


class Logs(Protocol):
    """The log directories."""

    def open(
        self,
        topic: str,
        partition: int,
        topic_id: bytes,
        config: LogConfig,
        path: str | None = None,
        *,
        is_new: bool,
    ) -> PartitionLog: ...
    def delete(self, topic: str, partition: int, now_ms: int) -> None: ...


class Lease(Protocol):
    def is_held(self) -> bool:
        """Whether this node can be sure that the cluster still takes it for alive."""


CallSoon = Callable[[Callable[[], None]], object]
"""Runs a callable in the next turn of the loop."""


class HeldLease:
    """Of a node that nobody can replace."""

    def is_held(self) -> bool:
        return True
