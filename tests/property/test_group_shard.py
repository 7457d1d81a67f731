"""A coordinator shard under any sequence of requests, silences, refusals and restarts.

The world checks after every step: one leader among the members, generations that never fall, nobody waits
without somebody who will answer, nothing is answered twice. In the end every request has its answer,
assignments are what a leader of that generation sent, and the log alone gives the state that the shard has.
"""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.scripts.group.interpreter import subscription
from tests.scripts.group.world import World

from odradek.node.coordinator.config import GroupConfig
from odradek.node.coordinator.group.commands import (
    CommitOffsets,
    DeleteGroup,
    DeleteOffsets,
    GroupProtocol,
    Heartbeat,
    JoinGroup,
    JoinResult,
    LeaveGroup,
    LeavingMember,
    OffsetToCommit,
    SyncGroup,
    SyncResult,
)
from odradek.node.coordinator.group.shard import GroupShard
from odradek.proto.kafka.errors import ErrorCode

GROUPS = st.sampled_from(["g", "g", "g", "h"])
CLIENTS = st.integers(0, 2)
INSTANCES = st.sampled_from([None, None, "i1", "i2"])
PROTOCOLS = st.lists(st.sampled_from(["range", "rr"]), min_size=1, max_size=2, unique=True).flatmap(
    lambda names: st.tuples(*(st.tuples(st.just(n), st.sampled_from(["t", "t+u"])) for n in names))
)


class Seen:
    """What one client believes about itself in one group."""

    def __init__(self) -> None:
        self.member_id = ""
        self.instance_id: str | None = None
        self.generation = -1
        self.members: tuple[str, ...] = ()


class Shard(RuleBasedStateMachine):
    @initialize(delay_ms=st.sampled_from([0, 3000]), max_size=st.sampled_from([2, 100]))
    def start(self, delay_ms: int, max_size: int) -> None:
        self.world = World(
            GroupConfig(
                initial_rebalance_delay_ms=delay_ms,
                max_size=max_size,
                offsets_retention_ms=60_000,
                offsets_retention_check_interval_ms=5_000,
            )
        )
        self.seen: dict[tuple[str, int], Seen] = {}
        self.asked: dict[int, tuple[str, Seen, int]] = {}
        self.sent: dict[tuple[str, int], set[bytes]] = {}
        self.read = 0
        self.serial = 0

    def _seen(self, group: str, client: int) -> Seen:
        return self.seen.setdefault((group, client), Seen())

    def _learn(self) -> None:
        fresh = self.world.answers[self.read :]
        self.read = len(self.world.answers)
        for answer in fresh:
            group, seen, generation = self.asked.get(answer.token, ("", Seen(), -1))
            match answer.value:
                case JoinResult(error=ErrorCode.NONE) as joined:
                    seen.member_id, seen.generation = joined.member_id, joined.generation
                    seen.members = tuple(m.member_id for m in joined.members)
                    assert not joined.members or joined.leader_id == joined.member_id
                case JoinResult(error=ErrorCode.MEMBER_ID_REQUIRED) as told:
                    seen.member_id = told.member_id
                case JoinResult(error=ErrorCode.UNKNOWN_MEMBER_ID):
                    seen.member_id = ""
                case SyncResult(error=ErrorCode.NONE) as synced:
                    sent = self.sent.get((group, generation), set())
                    assert not synced.assignment or synced.assignment in sent, "nobody assigned this"

    @rule(
        group=GROUPS, client=CLIENTS, instance=INSTANCES, protocols=PROTOCOLS, version=st.sampled_from([3, 9])
    )
    def join(
        self,
        group: str,
        client: int,
        instance: str | None,
        protocols: tuple[tuple[str, str], ...],
        version: int,
    ) -> None:
        seen = self._seen(group, client)
        if seen.member_id == "":
            seen.instance_id = instance
        self.asked[self.world._tokens + 1] = (group, seen, -1)
        self.world.do(
            GroupShard.join,
            JoinGroup(
                group,
                seen.member_id,
                seen.instance_id,
                f"c{client}",
                "/h",
                10_000,
                20_000,
                "consumer",
                tuple(GroupProtocol(name, subscription(topics)) for name, topics in protocols),
                known_member_id_required=version >= 4,
                can_skip_assignment=version >= 9,
            ),
        )

    def _rejoin(self, group: str, client: int) -> None:
        seen = self._seen(group, client)
        for _ in range(2):  # a second time with the id given out
            if (seen.member_id, seen.instance_id) == ("", None) and client == 2:
                seen.instance_id = "i1"
            self.join(group, client, seen.instance_id, (("range", "t"),), 9)
            self._learn()
            if seen.member_id != "" and list(self.world.due)[-1:] == [self.world._tokens]:
                return

    @rule(group=GROUPS, clients=st.integers(1, 3), settle=st.booleans())
    def everybody_joins(self, group: str, clients: int, settle: bool) -> None:
        """What well-behaved clients do: all join, with the ids they have."""
        for client in range(clients):
            self._rejoin(group, client)
        if settle:
            self.world.advance(6_000)

    @rule(group=GROUPS)
    def everybody_syncs(self, group: str) -> None:
        self._learn()
        for client in range(3):
            self.sync(group, client)
            self._learn()

    @rule(group=GROUPS, client=CLIENTS)
    def forget_member_id(self, group: str, client: int) -> None:
        """The client starts anew."""
        self._seen(group, client).member_id = ""

    @rule(group=GROUPS, client=CLIENTS)
    def sync(self, group: str, client: int) -> None:
        seen = self._seen(group, client)
        assignments: dict[str, bytes] = {}
        for member in seen.members:
            self.serial += 1
            assignments[member] = f"{member}@{seen.generation}#{self.serial}".encode()
        # A restart may use a generation again: what was sent before stays possible.
        self.sent.setdefault((group, seen.generation), set()).update(assignments.values())
        self.asked[self.world._tokens + 1] = (group, seen, seen.generation)
        self.world.do(
            GroupShard.sync,
            SyncGroup(group, seen.generation, seen.member_id, seen.instance_id, None, None, assignments),
        )

    @rule(group=GROUPS, client=CLIENTS)
    def heartbeat(self, group: str, client: int) -> None:
        seen = self._seen(group, client)
        before = len(self.world.log)
        command = Heartbeat(group, seen.generation, seen.member_id, seen.instance_id)
        self.world.shard.heartbeat(command, self.world.now_ms)
        assert len(self.world.log) == before

    @rule(group=GROUPS, client=CLIENTS, by_instance=st.booleans())
    def leave(self, group: str, client: int, by_instance: bool) -> None:
        seen = self._seen(group, client)
        member_id = "" if by_instance else seen.member_id
        self.world.do(GroupShard.leave, LeaveGroup(group, (LeavingMember(member_id, seen.instance_id),)))

    @rule(group=GROUPS, client=CLIENTS, simple=st.booleans(), topic=st.sampled_from(["t", "u"]))
    def commit(self, group: str, client: int, simple: bool, topic: str) -> None:
        seen = Seen() if simple else self._seen(group, client)
        self.serial += 1
        offset = OffsetToCommit(topic, bytes(16), self.serial % 2, self.serial, -1, "")
        self.world.do(
            GroupShard.commit,
            CommitOffsets(group, seen.generation, seen.member_id, seen.instance_id, -1, (offset,)),
        )

    @rule(group=GROUPS)
    def delete_group(self, group: str) -> None:
        self.world.do(GroupShard.delete_group, DeleteGroup(group))

    @rule(group=GROUPS, topic=st.sampled_from(["t", "u"]))
    def delete_offsets(self, group: str, topic: str) -> None:
        self.world.do(GroupShard.delete_offsets, DeleteOffsets(group, ((topic, 0), (topic, 1))))

    @rule(topic=st.sampled_from(["t", "u"]))
    def topic_deleted(self, topic: str) -> None:
        self.world.carry_out(self.world.shard.on_topics_deleted({topic: bytes(16)}))

    @rule(milliseconds=st.sampled_from([0, 1, 999, 5_000, 10_000, 25_000, 70_000]))
    def wait(self, milliseconds: int) -> None:
        self.world.advance(milliseconds)

    @rule()
    def hold(self) -> None:
        self.world.hold = True

    @rule()
    def release(self) -> None:
        self.world.release()
        self.world.check_replay()

    @precondition(lambda self: self.world.hold and not self.world.would_start_over())
    @rule()
    def refuse(self) -> None:
        self.world.refuse(ErrorCode.COORDINATOR_NOT_AVAILABLE)

    @rule()
    def restart(self) -> None:
        self.world.restart()

    @invariant()
    def learn(self) -> None:
        if hasattr(self, "world"):
            self._learn()

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        self.world.release()
        self.world.check_replay()
        # Barriers, sessions and first joins all end by themselves: after that nobody may be left waiting.
        self.world.advance(400_000)
        self._learn()
        assert not self.world.due, f"never answered: {self.world.due}"
        self.world.check_replay()


Shard.TestCase.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
TestShard = Shard.TestCase
