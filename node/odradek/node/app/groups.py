"""Consumer groups of the classic protocol, as both doors use them: join, sync, heartbeat, leave, look,
delete.

Decides what can be decided without the group: session timeout bounds, empty group ids, how answers of several
shards become one. What a group answers is `coordinator/group`'s. A coordinator that cannot be asked
(NOT_COORDINATOR, COORDINATOR_LOAD_IN_PROGRESS) appears as the error of the result it would have given.

Source: Kafka's `GroupCoordinatorService` for the checks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from typing import NamedTuple

from odradek.node.app.context import RequestContext
from odradek.node.coordinator.config import GroupConfig
from odradek.node.coordinator.group.commands import (
    DeleteGroup,
    GroupDescription,
    GroupListing,
    Heartbeat,
    JoinGroup,
    JoinResult,
    LeaveGroup,
    LeaveResult,
    SyncGroup,
    SyncResult,
)
from odradek.node.coordinator.group.shard import GroupShard
from odradek.node.coordinator.runtime import CoordinatorRuntime
from odradek.node.runtime.deferred import Deferred
from odradek.proto.kafka.errors import ErrorCode


class CoordinatorKind(IntEnum):
    """What a coordinator is looked up for, with the numbers of the wire."""

    GROUP = 0
    TRANSACTION = 1
    SHARE = 2


class ListedGroups(NamedTuple):
    """The groups of those shards that this node leads and that are loaded, `shards` by number. `error` is that of the
    first one that is led here and cannot answer yet: its groups are missing."""

    error: ErrorCode
    groups: list[GroupListing]
    shards: list[int]


class Endpoint(NamedTuple):
    node_id: int
    host: str
    port: int


class FoundCoordinator(NamedTuple):
    """`endpoint` is meaningless unless `error` is NONE."""

    key: str
    error: ErrorCode
    endpoint: Endpoint = Endpoint(-1, "", -1)
    message: str | None = None


EndpointFor = Callable[[RequestContext, int], Endpoint | None]
"""A node by the address that this client can dial; None for one that clients cannot use now."""


class GroupsService:
    """All of it may be called on the loop only; nothing blocks."""

    def __init__(self, runtime: CoordinatorRuntime, config: GroupConfig, endpoint_for: EndpointFor) -> None:
        self._runtime = runtime
        self._config = config
        self._endpoint_for = endpoint_for

    # Membership

    def join(self, command: JoinGroup) -> Deferred[JoinResult]:
        """Answered when the join barrier opens, which may take as long as the group's rebalance timeout."""
        config = self._config
        if not command.group_id:
            return Deferred.resolved(JoinResult(ErrorCode.INVALID_GROUP_ID, command.member_id))
        if not config.min_session_timeout_ms <= command.session_timeout_ms <= config.max_session_timeout_ms:
            return Deferred.resolved(JoinResult(ErrorCode.INVALID_SESSION_TIMEOUT, command.member_id))
        return self._runtime.write(GroupShard.join, command).map(
            lambda answer: JoinResult(answer, command.member_id) if isinstance(answer, ErrorCode) else answer
        )

    def sync(self, command: SyncGroup) -> Deferred[SyncResult]:
        """Answered once the leader's assignment is committed."""
        if not command.group_id:
            return Deferred.resolved(SyncResult(ErrorCode.INVALID_GROUP_ID))
        return self._runtime.write(GroupShard.sync, command).map(
            lambda answer: SyncResult(answer) if isinstance(answer, ErrorCode) else answer
        )

    def heartbeat(self, command: Heartbeat) -> ErrorCode:
        if not command.group_id:
            return ErrorCode.INVALID_GROUP_ID
        shard = self._runtime.read(command.group_id)
        if isinstance(shard, ErrorCode):
            # While the groups are loading nobody's session runs: the member is fine, and need not look
            # elsewhere.
            return ErrorCode.NONE if shard is ErrorCode.COORDINATOR_LOAD_IN_PROGRESS else shard
        return shard.heartbeat(command, self._runtime.monotonic_ms())

    def leave(self, command: LeaveGroup) -> Deferred[LeaveResult]:
        if not command.group_id:
            return Deferred.resolved(LeaveResult(ErrorCode.INVALID_GROUP_ID))
        return self._runtime.write(GroupShard.leave, command).map(
            lambda answer: LeaveResult(answer) if isinstance(answer, ErrorCode) else answer
        )

    # Administration

    def describe(self, group_ids: Iterable[str]) -> list[GroupDescription]:
        """One description per id, in order; a group that does not exist has GROUP_ID_NOT_FOUND and state
        "Dead".
        """
        return [self._describe_one(group_id) for group_id in group_ids]

    def _describe_one(self, group_id: str) -> GroupDescription:
        shard = self._runtime.read(group_id)
        if isinstance(shard, ErrorCode):
            return GroupDescription(shard, group_id, state="")
        return shard.describe(group_id)

    def list_groups(self, states: Sequence[str] = (), types: Sequence[str] = ()) -> ListedGroups:
        """The groups coordinated here. Filters ignore case; an empty filter lets everything through."""
        wanted_states = {state.strip().lower() for state in states}
        wanted_types = {kind.strip().lower() for kind in types}
        error = ErrorCode.NONE
        groups: list[GroupListing] = []
        shards: list[int] = []
        for number, shard in enumerate(self._runtime.read_all()):
            if shard is ErrorCode.NOT_COORDINATOR:
                continue  # another node lists these
            if isinstance(shard, ErrorCode):
                error = error or shard
                continue
            shards.append(number)
            groups.extend(
                group
                for group in shard.list_groups()
                if (not wanted_states or group.state.lower() in wanted_states)
                and (not wanted_types or group.group_type.lower() in wanted_types)
            )
        return ListedGroups(error, groups, shards)

    async def delete(self, group_ids: Iterable[str]) -> list[ErrorCode]:
        """One outcome per id, in order: NON_EMPTY_GROUP while it has members, GROUP_ID_NOT_FOUND if there is
        none.
        """
        pending = [
            self._runtime.write(GroupShard.delete_group, DeleteGroup(group_id)) for group_id in group_ids
        ]
        return [await answer.wait() for answer in pending]

    # Who coordinates

    def find_coordinator(
        self, context: RequestContext, kind: int, keys: Iterable[str]
    ) -> list[FoundCoordinator]:
        """One answer per key, in order."""
        return [self._find_one(context, kind, key) for key in keys]

    def _find_one(self, context: RequestContext, kind: int, key: str) -> FoundCoordinator:
        if kind != CoordinatorKind.GROUP:
            names = {CoordinatorKind.TRANSACTION: "transactions", CoordinatorKind.SHARE: "share groups"}
            served = names.get(CoordinatorKind(kind)) if kind in list(CoordinatorKind) else None
            message = f"this cluster does not serve {served or f'coordinator key type {kind}'}"
            return FoundCoordinator(key, ErrorCode.INVALID_REQUEST, message=message)
        # The empty group id has a coordinator too: offsets can be committed to it, as in Kafka.
        leader_id = self._runtime.leader_of(key)
        endpoint = None if leader_id is None else self._endpoint_for(context, leader_id)
        if endpoint is None:
            message = "the coordinator is being elected"
            return FoundCoordinator(key, ErrorCode.COORDINATOR_NOT_AVAILABLE, message=message)
        return FoundCoordinator(key, ErrorCode.NONE, endpoint)
