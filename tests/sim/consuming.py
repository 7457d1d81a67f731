"""Members of a classic consumer group in the simulation: join, assign, consume from the committed offset, commit.

They do what Kafka's consumer does with eager rebalancing, and tell the history what they were told: who owns what in
which generation, what was delivered, which commits were acknowledged and what was found committed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.sim.client import Address, Client, Unanswered
from tests.sim.history import History, TopicPartition
from tests.sim.producing import fetch

from odradek.proto.kafka.codec import decode, encode_to_bytes
from odradek.proto.kafka.errors import ErrorCode as E
from odradek.proto.kafka.messages.classic_group import (
    HeartbeatRequest,
    HeartbeatResponse,
    JoinGroupRequest,
    JoinGroupResponse,
    SyncGroupRequest,
    SyncGroupResponse,
)
from odradek.proto.kafka.messages.consumer_protocol import (
    ConsumerProtocolAssignment,
    ConsumerProtocolSubscription,
)
from odradek.proto.kafka.messages.offsets import (
    OffsetCommitRequest,
    OffsetCommitResponse,
    OffsetFetchRequest,
    OffsetFetchResponse,
)

_NOT_YET = {E.COORDINATOR_NOT_AVAILABLE, E.COORDINATOR_LOAD_IN_PROGRESS, E.NOT_COORDINATOR}
_LOST_PLACE = {E.UNKNOWN_MEMBER_ID, E.ILLEGAL_GENERATION, E.REBALANCE_IN_PROGRESS, E.FENCED_INSTANCE_ID}
_ROUND_MS = 150
_BUSY_MS = (1_000, 9_000)
"""How long an application works on what it has read, now and then: longer than its session, perhaps."""


class _RejoinNeeded(Exception):
    """The member's place in the group is gone, or about to be."""


@dataclass
class _Place:
    """What a member was given in one generation."""

    generation: int
    positions: dict[TopicPartition, int] = field(default_factory=dict)


class Member:
    """One member of `group`, subscribed to all partitions of `topics`."""

    def __init__(
        self,
        client: Client,
        history: History,
        group: str,
        partitions: list[TopicPartition],
        busy_chance: float,
    ) -> None:
        self.client = client
        self._history = history
        self._group = group
        self._partitions = partitions
        self._member_id = ""
        self._coordinator: Address | None = None
        self.place: _Place | None = None
        self._busy_chance = busy_chance

    async def run(self) -> None:
        while True:
            try:
                place = self.place = self.place or await self._join()
                await self._round(place)
            except _RejoinNeeded:
                self.place = None
            except Unanswered:
                self._coordinator = None
                await self.client.pause()

    # -- membership

    async def _find(self) -> Address:
        if self._coordinator is None:
            self._coordinator = await self.client.coordinator(self._group)
        return self._coordinator

    def _judge(self, error: E) -> None:
        """Raises what follows from an error of the coordinator."""
        if error is E.NONE:
            return
        self._history.verdict.count(f"group {error.name}")
        if error in _NOT_YET:
            raise Unanswered(error.name)
        if error is E.UNKNOWN_MEMBER_ID:
            self._member_id = ""
        self._history.verdict.check(
            error in _LOST_PLACE, "X3 an error that nobody asked for", self._group, error.name
        )
        raise _RejoinNeeded

    async def _join(self) -> _Place:
        topics = sorted({topic for topic, _ in self._partitions})
        subscription = encode_to_bytes(ConsumerProtocolSubscription(topics=topics), 0)
        metadata = (0).to_bytes(2, "big") + subscription
        request = JoinGroupRequest(
            group_id=self._group,
            session_timeout_ms=6_000,
            rebalance_timeout_ms=3_000,
            member_id=self._member_id,
            protocol_type="consumer",
            protocols=[JoinGroupRequest.JoinGroupRequestProtocol(name="range", metadata=metadata)],
        )
        joined = await self.client.ask(
            await self._find(), request, 5, JoinGroupResponse, purpose="group", timeout_s=10
        )
        if joined.error_code == E.MEMBER_ID_REQUIRED:
            self._member_id = joined.member_id
            return await self._join()
        self._judge(E(joined.error_code))
        self._member_id = joined.member_id
        members: list[str] = []
        assignments = []
        if joined.leader == joined.member_id:
            members = sorted(member.member_id for member in joined.members)
            assignments = self._assign(members)
        sync = SyncGroupRequest(
            group_id=self._group,
            generation_id=joined.generation_id,
            member_id=self._member_id,
            assignments=assignments,
        )
        synced = await self.client.ask(
            await self._find(), sync, 4, SyncGroupResponse, purpose="group", timeout_s=10
        )
        self._judge(E(synced.error_code))
        if members:  # only now is the generation sure to last
            self._history.on_members(self._group, joined.generation_id, members)
        owned = _partitions_in(synced.assignment)
        self._history.on_assigned(self._group, joined.generation_id, self._member_id, owned)
        place = _Place(joined.generation_id)
        for tp, offset in (await self._committed(owned)).items():
            place.positions[tp] = max(offset, 0)
        return place

    def _assign(self, members: list[str]) -> list[SyncGroupRequest.SyncGroupRequestAssignment]:
        assignments = []
        for number, member in enumerate(members):
            owned = self._partitions[number :: len(members)]
            parts = [
                ConsumerProtocolAssignment.TopicPartition(topic=topic, partitions=[index])
                for topic, index in owned
            ]
            data = (0).to_bytes(2, "big") + encode_to_bytes(
                ConsumerProtocolAssignment(assigned_partitions=parts), 0
            )
            assignments.append(SyncGroupRequest.SyncGroupRequestAssignment(member_id=member, assignment=data))
        return assignments

    # -- consuming

    async def _round(self, place: _Place) -> None:
        await self._heartbeat(place)
        advanced = False
        for tp in list(place.positions):
            advanced |= await self._consume(place, tp)
        if advanced:
            if self.client.random.random() < self._busy_chance:
                await self.client.pause(*_BUSY_MS)
            await self._commit(place)
        await self.client.pause(_ROUND_MS // 2, _ROUND_MS)

    async def _consume(self, place: _Place, tp: TopicPartition) -> bool:
        position = place.positions[tp]
        try:
            fetched = await fetch(self.client, tp, position, 50)
        except Unanswered:
            return False
        if fetched.error is E.OFFSET_OUT_OF_RANGE:
            self._history.on_out_of_range(tp, position)
        for offset, value in fetched.records:
            if offset != place.positions[tp]:
                self._history.on_gap(tp, place.positions[tp], offset)
            self._history.on_read(tp, offset, value)
            self._history.on_delivered(self._group, tp, offset)
            place.positions[tp] = offset + 1
        return bool(fetched.records)

    async def _heartbeat(self, place: _Place) -> None:
        request = HeartbeatRequest(
            group_id=self._group, generation_id=place.generation, member_id=self._member_id
        )
        response = await self.client.ask(await self._find(), request, 4, HeartbeatResponse, purpose="group")
        self._judge(E(response.error_code))

    async def _commit(self, place: _Place) -> None:
        topics = []
        commits = []
        for (topic, index), offset in place.positions.items():
            part = OffsetCommitRequest.OffsetCommitRequestPartition(
                partition_index=index, committed_offset=offset, committed_metadata=""
            )
            topics.append(OffsetCommitRequest.OffsetCommitRequestTopic(name=topic, partitions=[part]))
        request = OffsetCommitRequest(
            group_id=self._group,
            generation_id_or_member_epoch=place.generation,
            member_id=self._member_id,
            topics=topics,
        )
        address = await self._find()
        for tp, offset in place.positions.items():
            commits.append((tp, self._history.on_commit_sent(self._group, tp, offset)))
        response = await self.client.ask(address, request, 8, OffsetCommitResponse, purpose="group")
        errors = {
            (topic.name, part.partition_index): E(part.error_code)
            for topic in response.topics
            for part in topic.partitions
        }
        for tp, commit in commits:
            if errors[tp] is E.NONE:
                self._history.on_commit_acknowledged(self._group, tp, commit, place.generation)
            elif errors[tp] in (E.ILLEGAL_GENERATION, E.UNKNOWN_MEMBER_ID):
                self._history.on_commit_refused(commit)
        for error in errors.values():
            if error not in (E.UNKNOWN_TOPIC_OR_PARTITION, E.REQUEST_TIMED_OUT):
                self._judge(error)

    async def _committed(self, owned: list[TopicPartition]) -> dict[TopicPartition, int]:
        return await committed_offsets(self.client, self._history, await self._find(), self._group, owned)


async def committed_offsets(
    client: Client, history: History, coordinator: Address, group: str, partitions: list[TopicPartition]
) -> dict[TopicPartition, int]:
    """What the coordinator says is committed (-1: nothing). Raises Unanswered."""
    topics = [
        OffsetFetchRequest.OffsetFetchRequestTopics(name=topic, partition_indexes=[index])
        for topic, index in partitions
    ]
    asked_us = client.loop.scheduler.now_us
    request = OffsetFetchRequest(
        groups=[OffsetFetchRequest.OffsetFetchRequestGroup(group_id=group, topics=topics)]
    )
    response = await client.ask(coordinator, request, 8, OffsetFetchResponse, purpose="group")
    found = response.groups[0]
    if found.error_code:
        raise Unanswered(E(found.error_code).name)
    offsets: dict[TopicPartition, int] = {}
    for topic in found.topics:
        for part in topic.partitions:
            if part.error_code:
                raise Unanswered(E(part.error_code).name)
            tp = (topic.name, part.partition_index)
            history.on_committed_read(group, tp, part.committed_offset, asked_us)
            offsets[tp] = part.committed_offset
    return offsets


def _partitions_in(assignment: bytes) -> list[TopicPartition]:
    if not assignment:
        return []
    found = decode(ConsumerProtocolAssignment, 0, assignment, 2)
    return [(part.topic, index) for part in found.assigned_partitions for index in part.partitions]
