"""What the metadata says of topics, partitions and brokers, as the partitions of a node read it: shapes alone.

Decides nothing. The controller's image and delta fit these shapes without being named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class PartitionPlacement(Protocol):
    """What a partition's image tells its replicas."""

    @property
    def replicas(self) -> tuple[int, ...]: ...
    @property
    def isr(self) -> tuple[int, ...]: ...
    @property
    def leader(self) -> int: ...
    @property
    def leader_epoch(self) -> int: ...
    @property
    def partition_epoch(self) -> int: ...
    @property
    def eligible_leader_replicas(self) -> tuple[int, ...]: ...
    @property
    def directories(self) -> tuple[bytes, ...]:
        """Ids of the log directories beside `replicas`; empty where none is known."""


class TopicPlacement(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def topic_id(self) -> bytes: ...
    @property
    def partitions(self) -> Sequence[PartitionPlacement]: ...


class BrokerView(Protocol):
    """A registered broker."""

    @property
    def epoch(self) -> int: ...
    @property
    def rack(self) -> str | None: ...
    @property
    def fenced(self) -> bool: ...
    @property
    def in_controlled_shutdown(self) -> bool: ...


class ImageView(Protocol):
    """A metadata image."""

    @property
    def topics_by_id(self) -> Mapping[bytes, TopicPlacement]: ...
    @property
    def brokers(self) -> Mapping[int, BrokerView]: ...


class Delta(Protocol):
    """What changed between two images; see `odradek.node.controller.delta`."""

    @property
    def before(self) -> ImageView: ...
    @property
    def changed_topics(self) -> Mapping[bytes, TopicPlacement]: ...
    @property
    def deleted_topics(self) -> Mapping[bytes, TopicPlacement]: ...
    @property
    def changed_configs(self) -> Mapping[tuple[int, str], object]: ...
    @property
    def changed_brokers(self) -> Mapping[int, object]: ...
