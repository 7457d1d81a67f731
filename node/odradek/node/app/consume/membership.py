"""A place in a consumer group, kept for somebody who only has a stream: join, sync, heartbeat, leave.

Decides: when to join again, and how partitions are divided where this member was chosen to do so. The group itself is
the coordinator's; to it, and to the Kafka clients in the group, this is one more consumer of the classic protocol.

Errors: ConsumeError where the group does not want this member, or nobody answered for it within `PATIENCE_S`.

Source: KIP-62, KIP-345 (static members), KIP-394; AbstractCoordinator and ConsumerCoordinator of kafka-clients.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Set
from typing import Final

from odradek.node.app.consume.values import ConsumeError, Subscription, TopicPartition
from odradek.node.app.context import RequestContext
from odradek.node.app.coordinators import Coordinators
from odradek.node.coordinator.group.assignors import ASSIGNORS, place_of
from odradek.node.coordinator.group.commands import (
    GroupProtocol,
    Heartbeat,
    JoinGroup,
    JoinResult,
    LeaveGroup,
    LeavingMember,
    SyncGroup,
)
from odradek.node.coordinator.group.consumer_protocol import (
    MalformedAssignmentError,
    decode_assignment,
    encode_assignment,
    encode_subscription,
)
from odradek.node.coordinator.group.subscription import CONSUMER_PROTOCOL_TYPE, subscribed_topics
from odradek.proto.kafka.errors import ErrorCode

PAUSE_S: Final = 0.1
PATIENCE_S: Final = 30.0
_FATAL: Final = frozenset(
    (
        ErrorCode.FENCED_INSTANCE_ID,
        ErrorCode.INCONSISTENT_GROUP_PROTOCOL,
        ErrorCode.INVALID_SESSION_TIMEOUT,
        ErrorCode.INVALID_GROUP_ID,
        ErrorCode.GROUP_MAX_SIZE_REACHED,
        ErrorCode.GROUP_AUTHORIZATION_FAILED,
        ErrorCode.UNSUPPORTED_VERSION,
    )
)
_LOST: Final = frozenset((ErrorCode.UNKNOWN_MEMBER_ID, ErrorCode.ILLEGAL_GENERATION))
_UNHEARD: Final = frozenset(
    (
        ErrorCode.NOT_COORDINATOR,
        ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
    )
)
"""No coordinator has counted this heartbeat."""


class Membership:
    """`topics`: what is subscribed to now. `partition_count`: 0 for a topic that does not exist. `wake`: something
    happened that the owner should look at (`must_rejoin`, `failure`)."""

    def __init__(
        self,
        context: RequestContext,
        coordinators: Coordinators,
        subscription: Subscription,
        topics: Callable[[], frozenset[str]],
        partition_count: Callable[[str], int],
        wake: Callable[[], None],
    ) -> None:
        self._context = context
        self._coordinators = coordinators
        self._subscription = subscription
        self._topics = topics
        self._partition_count = partition_count
        self._wake = wake
        self.member_id = ""
        self.generation = -1
        self.must_rejoin = True
        self.was_lost = False
        """Others may have had its partitions since the last join. Whoever has seen to that takes it back."""
        self.failure: ConsumeError | None = None
        self._joined_topics: frozenset[str] = frozenset()
        self._counted: dict[str, int] | None = None  # what was divided, if this member did
        self._timer: asyncio.TimerHandle | None = None
        self._beating: asyncio.Task[None] | None = None
        self._joining: asyncio.Future[JoinResult] | None = None
        self._held_generation = -1  # the last one in which this member had partitions
        self._missed_beats = 0  # in a row, without an answer of the coordinator
        self._is_over = False

    # -- joining

    async def join(self) -> list[TopicPartition]:
        """Take part in a rebalance, to its end. Returns the partitions of this member. Raises ConsumeError."""
        loop = asyncio.get_running_loop()
        give_up_s = loop.time() + PATIENCE_S
        while True:
            joined = await self._ask_to_join()
            error = joined.error
            if error is ErrorCode.NONE:
                give_up_s = loop.time() + PATIENCE_S
                if 0 <= self._held_generation < joined.generation - 1:
                    self.was_lost = True  # partitions were divided without this member meanwhile
                self.member_id, self.generation = joined.member_id, joined.generation
                found = await self._sync(joined)
                if not isinstance(found, ErrorCode):
                    self._held_generation = self.generation
                    self.must_rejoin, self._missed_beats = False, 0
                    self._beat_later()
                    self.on_metadata()  # which may have changed meanwhile
                    return found
                error = found
            elif error is ErrorCode.MEMBER_ID_REQUIRED:
                self.member_id = joined.member_id
                continue
            if error in _FATAL:
                raise ConsumeError(error)
            if error in _LOST:
                self._forget()
            elif not (error.retriable or error is ErrorCode.REBALANCE_IN_PROGRESS):
                raise ConsumeError(error)
            elif loop.time() > give_up_s:
                raise ConsumeError(error, f"group {self._subscription.group_id}: nobody coordinates it")
            if error is not ErrorCode.REBALANCE_IN_PROGRESS:
                await asyncio.sleep(PAUSE_S)

    async def _ask_to_join(self) -> JoinResult:
        """Who is cancelled meanwhile may be a member all the same: `leave` looks what became of it."""
        self._joining = asyncio.ensure_future(self._coordinators.join(self._context, self._join_command()))
        joined = await asyncio.shield(self._joining)
        self._joining = None
        return joined

    def _join_command(self) -> JoinGroup:
        subscription = self._subscription
        self._joined_topics = self._topics()
        metadata = encode_subscription(self._joined_topics)
        return JoinGroup(
            subscription.group_id,
            self.member_id,
            subscription.instance_id,
            self._context.client_id or "odradek-grpc",
            f"/{self._context.client_host}",  # Java's way of writing an address, which Kafka's tools show
            subscription.session_timeout_ms,
            subscription.rebalance_timeout_ms,
            CONSUMER_PROTOCOL_TYPE,
            tuple(GroupProtocol(name, metadata) for name in ASSIGNORS),
        )

    async def _sync(self, joined: JoinResult) -> list[TopicPartition] | ErrorCode:
        assignments: dict[str, bytes] = {}
        self._counted = None
        if joined.leader_id == joined.member_id and not joined.skip_assignment:
            assignments = self._divide(joined)
        synced = await self._coordinators.sync(
            SyncGroup(
                self._subscription.group_id,
                joined.generation,
                joined.member_id,
                self._subscription.instance_id,
                joined.protocol_type,
                joined.protocol_name,
                assignments,
            )
        )
        if synced.error is not ErrorCode.NONE:
            return synced.error
        try:
            assignment = decode_assignment(synced.assignment)
        except MalformedAssignmentError as error:
            raise ConsumeError(
                ErrorCode.INCONSISTENT_GROUP_PROTOCOL, f"the leader of the group sent no assignment: {error}"
            ) from None
        return [(topic, partition) for topic, indexes in assignment.items() for partition in indexes]

    def _divide(self, joined: JoinResult) -> dict[str, bytes]:
        subscriptions = {
            one.member_id: subscribed_topics(one.metadata) or frozenset() for one in joined.members
        }
        order = {one.member_id: place_of(one.member_id, one.instance_id) for one in joined.members}
        wanted = frozenset[str]().union(*subscriptions.values())
        self._counted = {topic: self._partition_count(topic) for topic in wanted}
        counts = {topic: count for topic, count in self._counted.items() if count}
        assign = ASSIGNORS[joined.protocol_name or ""]
        divided = assign(order, subscriptions, counts)
        return {member: encode_assignment(assignment) for member, assignment in divided.items()}

    def _forget(self) -> None:
        """The coordinator does not know this member (any more)."""
        self.member_id, self.generation, self.was_lost = "", -1, True

    # -- staying

    def divides(self, topics: Set[str]) -> bool:
        """Whether it has divided the partitions of one of these among the members."""
        return self._counted is not None and not topics.isdisjoint(self._counted)

    def on_metadata(self) -> None:
        """Topics came, went or grew: perhaps partitions have to be divided anew."""
        if self.must_rejoin or self._is_over or self.generation < 0:
            return
        is_stale = self._topics() != self._joined_topics or (
            self._counted is not None
            and any(self._partition_count(topic) != count for topic, count in self._counted.items())
        )
        if is_stale:
            self.must_rejoin = True
            self._wake()

    @property
    def _beat(self) -> Heartbeat:
        subscription = self._subscription
        return Heartbeat(subscription.group_id, self.generation, self.member_id, subscription.instance_id)

    def _beat_later(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self._is_over:
            pause_s = beat_pause_s(self._subscription.session_timeout_ms, self._missed_beats)
            self._timer = asyncio.get_running_loop().call_later(pause_s, self._on_beat_due)

    def _on_beat_due(self) -> None:
        answer = self._coordinators.heartbeat_here(self._beat)
        if answer is not None:
            self._on_beat(answer)
            self._beat_later()
        elif self._beating is None:
            self._beating = asyncio.get_running_loop().create_task(self._beat_elsewhere())

    async def _beat_elsewhere(self) -> None:
        try:
            self._on_beat(await self._coordinators.heartbeat(self._beat))
        finally:
            self._beating = None
            self._beat_later()

    def _on_beat(self, answer: ErrorCode) -> None:
        self._missed_beats = self._missed_beats + 1 if answer in _UNHEARD else 0
        if self._is_over or self.must_rejoin:
            return
        if answer is ErrorCode.REBALANCE_IN_PROGRESS:
            self.must_rejoin = True
        elif answer in _LOST:
            self._forget()
            self.must_rejoin = True
        elif answer in _FATAL:
            self.failure = ConsumeError(answer)
        else:
            return  # fine, or a coordinator that is on its way
        self._wake()

    # -- leaving

    def stop(self) -> None:
        """No more heartbeats. The place is kept until the session times out."""
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._beating is not None:
            self._beating.cancel()

    async def leave(self, reason: str) -> None:
        """Give the place up, as far as that can be told to anybody."""
        self.stop()
        instance_id = self._subscription.instance_id
        joining, self._joining = self._joining, None
        if joining is not None and joining.done() and not joining.cancelled() and not joining.exception():
            joined = joining.result()
            if joined.error is ErrorCode.FENCED_INSTANCE_ID:
                return  # somebody else has the place
            self.member_id = joined.member_id
        # A new instance that still waits to join is known by its name only.
        is_unnamed = joining is not None and not joining.done() and instance_id is not None
        if self.member_id or is_unnamed:
            member = LeavingMember(self.member_id, instance_id, reason)
            await self._coordinators.leave(LeaveGroup(self._subscription.group_id, (member,)))
            self.member_id = ""
        if joining is not None:
            joining.cancel()


def beat_pause_s(session_timeout_ms: int, missed: int) -> float:
    """Until the next heartbeat: a third of the session, and less after heartbeats that nobody has counted.

    The session may be nearly over by then, or over: then others read these partitions, and this member would go on.
    """
    interval_s = session_timeout_ms / 3000
    return min(interval_s, PAUSE_S * 2 ** min(missed - 1, 16)) if missed else interval_s


def matching(subscription: Subscription, names: Iterable[str]) -> frozenset[str]:
    """The topics that are subscribed to, of those that there are; by name also those that there are not."""
    if subscription.pattern is None:
        return subscription.topics
    matches = subscription.pattern.fullmatch
    return frozenset(name for name in names if matches(name) is not None)
