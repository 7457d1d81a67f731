"""What can be asked of a group, and what is answered: values shared by the application layer and the
machines.

No behaviour. A result that carries only an error is made by its `failed` where that is common. Assignments
and protocol metadata are the clients' own bytes and are never looked into, with one exception
(`subscription.py`).
"""

from __future__ import annotations

from typing import NamedTuple

from odradek.proto.kafka.errors import ErrorCode

NO_MEMBER_ID = ""
NO_GENERATION = -1
NO_OFFSET = -1
NO_LEADER_EPOCH = -1


class GroupProtocol(NamedTuple):
    """A way of assigning that a member can follow, with what it would tell the leader about itself."""

    name: str
    metadata: bytes


class JoinGroup(NamedTuple):
    """`member_id` is "" for a new member. `known_member_id_required`: a new dynamic member is given an id
    first and must come back with it (JoinGroup 4+). `can_skip_assignment`: a replaced static leader may be
    told so (9+).
    """

    group_id: str
    member_id: str
    instance_id: str | None
    client_id: str
    client_host: str
    session_timeout_ms: int
    rebalance_timeout_ms: int
    protocol_type: str
    protocols: tuple[GroupProtocol, ...]
    known_member_id_required: bool = True
    can_skip_assignment: bool = True


class JoinedMember(NamedTuple):
    member_id: str
    instance_id: str | None
    metadata: bytes


class JoinResult(NamedTuple):
    """`members` is filled for the leader only."""

    error: ErrorCode
    member_id: str
    generation: int = NO_GENERATION
    protocol_type: str | None = None
    protocol_name: str | None = None
    leader_id: str = ""
    skip_assignment: bool = False
    members: tuple[JoinedMember, ...] = ()


class SyncGroup(NamedTuple):
    """`protocol_type` and `protocol_name` None: not checked. `assignments` is the leader's, by member id."""

    group_id: str
    generation: int
    member_id: str
    instance_id: str | None
    protocol_type: str | None
    protocol_name: str | None
    assignments: dict[str, bytes]


class SyncResult(NamedTuple):
    error: ErrorCode
    assignment: bytes = b""
    protocol_type: str | None = None
    protocol_name: str | None = None


class Heartbeat(NamedTuple):
    group_id: str
    generation: int
    member_id: str
    instance_id: str | None


class LeavingMember(NamedTuple):
    """By member id, or with "" by instance id: an administrator's way."""

    member_id: str
    instance_id: str | None
    reason: str | None = None


class LeaveGroup(NamedTuple):
    group_id: str
    members: tuple[LeavingMember, ...]


class LeftMember(NamedTuple):
    member_id: str
    instance_id: str | None
    error: ErrorCode


class LeaveResult(NamedTuple):
    error: ErrorCode
    members: tuple[LeftMember, ...] = ()


class MemberDescription(NamedTuple):
    member_id: str
    instance_id: str | None
    client_id: str
    client_host: str
    metadata: bytes
    assignment: bytes


class GroupDescription(NamedTuple):
    """`error` is GROUP_ID_NOT_FOUND with state "Dead" for a group that does not exist. `generation` counts the
    rebalances."""

    error: ErrorCode
    group_id: str
    state: str = "Dead"
    protocol_type: str = ""
    protocol_name: str = ""
    members: tuple[MemberDescription, ...] = ()
    generation: int = 0


class GroupListing(NamedTuple):
    group_id: str
    protocol_type: str
    state: str
    group_type: str


class DeleteGroup(NamedTuple):
    group_id: str


class OffsetToCommit(NamedTuple):
    topic: str
    topic_id: bytes
    partition: int
    offset: int
    leader_epoch: int
    metadata: str


class CommitOffsets(NamedTuple):
    """`retention_ms` -1: the broker's. `strict`: a missing group is not a stale generation (9+)."""

    group_id: str
    generation: int
    member_id: str
    instance_id: str | None
    retention_ms: int
    offsets: tuple[OffsetToCommit, ...]
    strict: bool = True


class CommitResult(NamedTuple):
    """One error per offset of the command, in its order."""

    errors: tuple[ErrorCode, ...]


class CommittedOffset(NamedTuple):
    """What is kept per partition. Timestamps are wall clock ms; `expire_timestamp_ms` -1 for the broker's
    retention.
    """

    offset: int
    leader_epoch: int
    metadata: str
    commit_timestamp_ms: int
    expire_timestamp_ms: int
    topic_id: bytes


class DeleteOffsets(NamedTuple):
    group_id: str
    partitions: tuple[tuple[str, int], ...]


class DeleteOffsetsResult(NamedTuple):
    """`errors` is one per partition asked, in order; empty when the whole request failed with `error`."""

    error: ErrorCode
    errors: tuple[ErrorCode, ...] = ()
