"""A coordinator of one group in memory, behind the port `app.coordinators.Coordinators`: answers what a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from odradek.node.app.context import RequestContext
from odradek.node.app.offsets import CommitCommand, FetchedGroup, FetchedPartition, FetchedTopic, TopicToFetch
from odradek.node.coordinator.group.commands import (
    Heartbeat,
    JoinedMember,
    JoinGroup,
    JoinResult,
    LeaveGroup,
    LeaveResult,
    SyncGroup,
    SyncResult,
)
from odradek.node.coordinator.group.consumer_protocol import encode_assignment
from odradek.proto.kafka.errors import ErrorCode

E = ErrorCode
MEMBER = "m-1"


class CoordinatorInMemory:
    """The one member leads unless `assignment` is given, which then is what it gets. Errors are answered first."""

    def __init__(self) -> None:
        self.generation = 0
        self.assignment: dict[str, list[int]] | None = None
        self.join_errors: list[ErrorCode] = []
        self.sync_errors: list[ErrorCode] = []
        self.commit_errors: list[ErrorCode] = []
        self.fetch_errors: list[ErrorCode] = []
        self.beat: ErrorCode = E.NONE
        self.gate: asyncio.Event | None = None
        """A join waits for it."""
        self.joins: list[JoinGroup] = []
        self.leaves: list[LeaveGroup] = []
        self.commits: list[CommitCommand] = []
        self.committed_offsets: dict[tuple[str, int], int] = {}

    async def join(self, context: RequestContext, command: JoinGroup) -> JoinResult:
        self.joins.append(command)
        if self.gate is not None:
            await self.gate.wait()
        if self.join_errors:
            error = self.join_errors.pop(0)
            return JoinResult(error, MEMBER if error is E.MEMBER_ID_REQUIRED else command.member_id)
        self.generation += 1
        (protocol, *_) = command.protocols
        member = JoinedMember(MEMBER, command.instance_id, protocol.metadata)
        leader = MEMBER if self.assignment is None else "somebody"
        members = (member,) if leader == MEMBER else ()
        return JoinResult(E.NONE, MEMBER, self.generation, "consumer", protocol.name, leader, False, members)

    async def sync(self, command: SyncGroup) -> SyncResult:
        if self.sync_errors:
            return SyncResult(self.sync_errors.pop(0))
        if self.assignment is not None:
            return SyncResult(E.NONE, encode_assignment(self.assignment))
        return SyncResult(E.NONE, command.assignments[MEMBER])

    def heartbeat_here(self, command: Heartbeat) -> ErrorCode:
        return self.beat

    async def leave(self, command: LeaveGroup) -> LeaveResult:
        self.leaves.append(command)
        return LeaveResult(E.NONE)

    async def commit(self, command: CommitCommand) -> list[ErrorCode]:
        await asyncio.sleep(0)
        self.commits.append(command)
        error = self.commit_errors.pop(0) if self.commit_errors else E.NONE
        outcomes = []
        for topic in command.topics:
            for one in topic.partitions:
                if error is E.NONE:
                    self.committed_offsets[topic.name, one.partition] = one.offset
                outcomes.append(error)
        return outcomes

    async def committed(self, group_id: str, topics: Sequence[TopicToFetch] | None) -> FetchedGroup:
        if self.fetch_errors:
            return FetchedGroup(self.fetch_errors.pop(0), group_id, [])
        offsets: Any = self.committed_offsets
        return FetchedGroup(
            E.NONE,
            group_id,
            [
                FetchedTopic(
                    one.name,
                    bytes(16),
                    [FetchedPartition(at, offset=offsets.get((one.name, at), -1)) for at in one.partitions],
                )
                for one in topics or ()
            ],
        )
