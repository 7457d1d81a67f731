"""Consumer groups wherever they are coordinated: here, or at the node that leads their shard.

For use cases that any node serves. Decides only where to ask. A coordinator that is not known is NOT_COORDINATOR; one
that cannot be reached is COORDINATOR_NOT_AVAILABLE, and whether it carried the request out is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from odradek.node.app.context import RequestContext
from odradek.node.app.elsewhere import Elsewhere
from odradek.node.app.groups import GroupsService
from odradek.node.app.offsets import CommitCommand, FetchedGroup, OffsetsService, TopicToFetch
from odradek.node.coordinator.group.commands import (
    Heartbeat,
    JoinGroup,
    JoinResult,
    LeaveGroup,
    LeaveResult,
    SyncGroup,
    SyncResult,
)
from odradek.proto.kafka.errors import ErrorCode

_UNREACHED = ErrorCode.COORDINATOR_NOT_AVAILABLE


class Coordinators:
    """`leader_of`: the node that coordinates a group, None while nobody is known."""

    def __init__(
        self,
        node_id: int,
        leader_of: Callable[[str], int | None],
        groups: GroupsService,
        offsets: OffsetsService,
        elsewhere: Elsewhere,
    ) -> None:
        self._node_id = node_id
        self._leader_of = leader_of
        self._groups = groups
        self._offsets = offsets
        self._elsewhere = elsewhere

    async def join(self, context: RequestContext, command: JoinGroup) -> JoinResult:
        node_id = self._leader_of(command.group_id)
        if node_id is None:
            return JoinResult(ErrorCode.NOT_COORDINATOR, command.member_id)
        if node_id == self._node_id:
            return await self._groups.join(command).wait()
        try:
            return await self._elsewhere.join(node_id, context, command)
        except (ConnectionError, TimeoutError):
            return JoinResult(_UNREACHED, command.member_id)

    async def sync(self, command: SyncGroup) -> SyncResult:
        node_id = self._leader_of(command.group_id)
        if node_id is None:
            return SyncResult(ErrorCode.NOT_COORDINATOR)
        if node_id == self._node_id:
            return await self._groups.sync(command).wait()
        try:
            return await self._elsewhere.sync(node_id, command)
        except (ConnectionError, TimeoutError):
            return SyncResult(_UNREACHED)

    def heartbeat_here(self, command: Heartbeat) -> ErrorCode | None:
        """The answer at once, without a task; None for a group that another node coordinates."""
        if self._leader_of(command.group_id) != self._node_id:
            return None
        return self._groups.heartbeat(command)

    async def heartbeat(self, command: Heartbeat) -> ErrorCode:
        node_id = self._leader_of(command.group_id)
        if node_id is None:
            return ErrorCode.NOT_COORDINATOR
        if node_id == self._node_id:
            return self._groups.heartbeat(command)
        try:
            return await self._elsewhere.heartbeat(node_id, command)
        except (ConnectionError, TimeoutError):
            return _UNREACHED

    async def leave(self, command: LeaveGroup) -> LeaveResult:
        node_id = self._leader_of(command.group_id)
        if node_id is None:
            return LeaveResult(ErrorCode.NOT_COORDINATOR)
        if node_id == self._node_id:
            return await self._groups.leave(command).wait()
        try:
            return await self._elsewhere.leave(node_id, command)
        except (ConnectionError, TimeoutError):
            return LeaveResult(_UNREACHED)

    async def commit(self, command: CommitCommand) -> list[ErrorCode]:
        """One outcome per partition, in the order asked."""
        node_id = self._leader_of(command.group_id)
        asked = sum(len(topic.partitions) for topic in command.topics)
        if node_id is None:
            return [ErrorCode.NOT_COORDINATOR] * asked
        if node_id == self._node_id:
            return await self._offsets.commit(command).wait()
        try:
            return await self._elsewhere.commit(node_id, command)
        except (ConnectionError, TimeoutError):
            return [_UNREACHED] * asked

    async def committed(self, group_id: str, topics: Sequence[TopicToFetch] | None) -> FetchedGroup:
        node_id = self._leader_of(group_id)
        if node_id is None:
            return FetchedGroup(ErrorCode.NOT_COORDINATOR, group_id, [])
        if node_id == self._node_id:
            return await self._offsets.fetch(group_id, topics)
        try:
            return await self._elsewhere.committed(node_id, group_id, topics)
        except (ConnectionError, TimeoutError):
            return FetchedGroup(_UNREACHED, group_id, [])
