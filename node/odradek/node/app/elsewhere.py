"""What another node does for this one: its partitions and its groups, in this layer's words.

A port, owned by the use cases that any node serves; `odradek.node.interbroker.elsewhere` carries it out. Every method
takes the node first and raises ConnectionError (nobody knows whether it was carried out) or TimeoutError.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from odradek.node.app.context import RequestContext
from odradek.node.app.fetch_command import FetchedPartition
from odradek.node.app.list_offsets import ListedOffset
from odradek.node.app.offsets import CommitCommand, FetchedGroup, TopicToFetch
from odradek.node.app.produce import Records
from odradek.node.coordinator.group.commands import (
    Heartbeat,
    JoinGroup,
    JoinResult,
    LeaveGroup,
    LeaveResult,
    SyncGroup,
    SyncResult,
)
from odradek.node.partition.fetch_session import FetchPartition
from odradek.proto.kafka.errors import ErrorCode
from odradek.storage.append_result import AppendResult


class Elsewhere(Protocol):
    async def produce(
        self, node_id: int, topic: str, partition: int, records: Records, acks: int, timeout_ms: int
    ) -> AppendResult: ...

    async def fetch(
        self,
        node_id: int,
        asked: Sequence[FetchPartition],
        *,
        max_bytes: int,
        max_wait_ms: int,
        isolation_level: int,
    ) -> list[FetchedPartition]:
        """One answer per partition that was asked, in that order."""
        ...

    async def list_offset(
        self, node_id: int, topic: str, partition: int, timestamp: int, isolation_level: int
    ) -> ListedOffset: ...

    async def join(self, node_id: int, context: RequestContext, command: JoinGroup) -> JoinResult: ...
    async def sync(self, node_id: int, command: SyncGroup) -> SyncResult: ...
    async def heartbeat(self, node_id: int, command: Heartbeat) -> ErrorCode: ...
    async def leave(self, node_id: int, command: LeaveGroup) -> LeaveResult: ...
    async def commit(self, node_id: int, command: CommitCommand) -> list[ErrorCode]:
        """One outcome per partition, in the order asked."""
        ...

    async def committed(
        self, node_id: int, group_id: str, topics: Sequence[TopicToFetch] | None
    ) -> FetchedGroup: ...
