"""Partitions under random brokers, proposals, elections and reassignments: the rules that no order of events breaks.

The rules are those of KIP-966's model that a controller alone can keep: a leader was in sync or eligible, nobody is
both, epochs tell every change; and that a leader is elected whenever one may be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from tests.unit.node.controller.image_world import ImageWorld, broker, directory, shown

from odradek.node.controller.balance import balance_leaders
from odradek.node.controller.brokers import settle_heard, unregister_broker
from odradek.node.controller.directories import AssignReplicas, DirectoryAssignment, assign_replicas
from odradek.node.controller.elections import LOST_DIRECTORY, Electorate, elect_leaders, has_directory
from odradek.node.controller.features import update_features
from odradek.node.controller.image import EMPTY_IMAGE, MetadataImage, PartitionImage, TopicImage
from odradek.node.controller.isr import AlterPartitions, IsrMember, IsrProposal, alter_partitions
from odradek.node.controller.reassignment import alter_reassignments
from odradek.node.controller.records import encode_records
from odradek.node.controller.replica_index import index_of, summary_of
from odradek.node.controller.rule_changes import follow_rules
from odradek.node.controller.state import MetadataState
from odradek.proto.kafka.errors import ErrorCode

BROKERS = st.integers(1, 4)
NUMBERS = st.integers(0, 5)
PLACES = ((1, 2, 3), (2, 3, 1), (3, 1), (1,), (4, 2), (1, 2, 3))


class Wanted(NamedTuple):
    topic: str
    partition: int
    replicas: Sequence[int] | None


class Level(NamedTuple):
    name: str
    level: int
    upgrade_type: int


class Partitions(RuleBasedStateMachine):
    @initialize(elr=st.booleans(), min_isr=st.integers(1, 3), unclean=st.booleans())
    def begin(self, elr: bool, min_isr: int, unclean: bool) -> None:
        self.world = ImageWorld((1, 2, 3, 4), elr=elr, min_isr=min_isr, unclean=unclean, directories=2)
        self.world.create("t", *PLACES)
        self.incarnations = 0
        self.snapshots: list[tuple[int, bytes]] = []
        index_of(self.world.image)

    def change(self, act: Callable[[], object], *, proposed: bool = False, unclean: bool = False) -> None:
        before = self.world.image
        act()
        after = self.world.image
        assert after.applied_index - before.applied_index <= 1, "a change is one entry"
        for number, new in enumerate(after.topics_by_name["t"].partitions):
            old = before.topics_by_name["t"].partitions[number]
            self.check_step(old, new, proposed=proposed, unclean=unclean or self.world.rules.unclean)
            self.check_state(new)
        self.check_index(after)

    def check_step(self, old: PartitionImage, new: PartitionImage, *, proposed: bool, unclean: bool) -> None:
        told = f"{shown(old)} -> {shown(new)}"
        moved = new.leader != old.leader
        let_go = not set(old.replicas) <= set(new.replicas)
        assert new.leader_epoch - old.leader_epoch == (moved or let_go), told
        changed = new != old
        assert new.partition_epoch - old.partition_epoch == changed, told
        if moved and new.leader >= 0 and not unclean:
            clean = {*old.isr, *old.eligible_leader_replicas} | ({*new.isr} if proposed else set())
            if not clean:
                clean = set(old.last_known_elr) if len(old.last_known_elr) == 1 else set()
            assert new.leader in clean, told

    def check_state(self, one: PartitionImage) -> None:
        replicas, isr, elr = set(one.replicas), set(one.isr), set(one.eligible_leader_replicas)
        told = shown(one)
        assert len(one.replicas) == len(replicas) == len(one.directories), told
        assert isr <= replicas and elr <= replicas and not isr & elr, told
        assert {*one.adding_replicas, *one.removing_replicas} <= replicas, told
        if len(isr) >= min(self.world.rules.min_insync_replicas, len(replicas)):
            assert not elr and not one.last_known_elr, told
        electorate = Electorate.of(self.world.image)
        places = dict(zip(one.replicas, one.directories))
        if one.leader >= 0:
            assert one.leader in isr, told
            assert electorate.may_lead(one.leader, places[one.leader]), told
        else:
            could = replicas if self.world.rules.unclean else isr | elr
            assert not any(electorate.may_lead(member, places[member]) for member in could), told
        if not electorate.uses_elr:
            assert isr and not elr, told

    def check_index(self, image: MetadataImage) -> None:
        topics = [TopicImage(one.name, one.topic_id, one.partitions) for one in image.topics_by_id.values()]
        fresh = EMPTY_IMAGE.topics_by_id.updated({topic.topic_id: topic for topic in topics})
        assert index_of(MetadataImage(topics_by_id=fresh)) == index_of(image)
        for topic in topics:
            assert summary_of(topic) == summary_of(image.topics_by_id[topic.topic_id])

    # -- brokers

    @rule(one=BROKERS)
    def fence(self, one: int) -> None:
        if one in self.world.image.brokers:
            self.change(lambda: self.world.fence(one))

    @rule(one=BROKERS, shut_down=st.booleans(), lost=st.sampled_from((0, 0, 0, 1, 2)))
    def heartbeat(self, one: int, shut_down: bool, lost: int) -> None:
        if one in self.world.image.brokers:
            offline = [directory(one, lost)] if lost else []
            self.change(
                lambda: self.world.heartbeat(one, want_shut_down=shut_down, offline_directories=offline)
            )

    @rule(one=BROKERS, directories=st.sampled_from((2, 2, 1)))
    def restart(self, one: int, directories: int) -> None:
        self.incarnations = (self.incarnations + 1) % 250
        wanted = broker(one, incarnation=self.incarnations, directories=directories)
        self.change(lambda: self.world.register(wanted))

    @rule(one=BROKERS)
    def take_out(self, one: int) -> None:
        self.change(lambda: self.world.run(lambda image: unregister_broker(image, one, self.world.rules_of)))

    @rule(heard=st.frozensets(BROKERS))
    def another_controller(self, heard: frozenset[int]) -> None:
        self.world.heard = heard

    @rule(one=BROKERS)
    def hear(self, one: int) -> None:
        self.world.heard |= {one}
        self.change(lambda: self.world.run(lambda image: settle_heard(image, one, self.world.rules_of)))

    # -- partitions

    @rule(number=NUMBERS, members=st.frozensets(BROKERS), lag=st.sampled_from((0, 0, 0, 1)))
    def propose(self, number: int, members: frozenset[int], lag: int) -> None:
        one = self.world.at("t", number)
        leader = self.world.image.brokers.get(one.leader)
        if leader is None:
            return
        isr = [IsrMember(member) for member in sorted(members | {one.leader})]
        topic_id = self.world.image.topics_by_name["t"].topic_id
        proposal = IsrProposal(topic_id, number, one.leader_epoch, one.partition_epoch - lag, isr)
        request = AlterPartitions(one.leader, leader.epoch, [proposal])
        errors: list[ErrorCode] = []

        def act() -> None:
            done = self.world.run(lambda image: alter_partitions(image, request, self.world.rules_of))
            errors.extend(outcome.error for outcome in done.outcomes)

        self.change(act, proposed=True)
        known = self.world.image.brokers
        fit = all(member in known and known[member].is_active for member in members)
        places = dict(zip(one.replicas, one.directories))
        joining = (members - set(one.isr)) & places.keys() & known.keys()
        fit &= all(has_directory(known[member], places[member]) for member in joining)
        if lag:
            expected = ErrorCode.INVALID_UPDATE_VERSION
        elif not members <= set(one.replicas):
            expected = ErrorCode.INVALID_REQUEST
        elif not fit:
            expected = ErrorCode.INELIGIBLE_REPLICA
        else:
            moved = self.world.at("t", number).leader != one.leader
            expected = ErrorCode.NEW_LEADER_ELECTED if moved else ErrorCode.NONE
        assert errors == [expected]

    @rule(numbers=st.lists(NUMBERS, max_size=3), unclean=st.booleans(), everything=st.booleans())
    def elect(self, numbers: list[int], unclean: bool, everything: bool) -> None:
        asked = None if everything else [("t", number) for number in numbers]
        self.change(
            lambda: self.world.run(
                lambda image: elect_leaders(image, asked, self.world.rules_of, unclean=unclean)
            ),
            unclean=unclean,
        )

    @rule(number=NUMBERS, wanted=st.none() | st.permutations([1, 2, 3, 4]), count=st.integers(1, 4))
    def reassign(self, number: int, wanted: list[int] | None, count: int) -> None:
        moves = [Wanted("t", number, None if wanted is None else wanted[:count])]
        self.change(
            lambda: self.world.run(lambda image: alter_reassignments(image, moves, self.world.rules_of))
        )

    @rule(one=BROKERS, number=NUMBERS, place=st.integers(0, 3))
    def place(self, one: int, number: int, place: int) -> None:
        known = self.world.image.brokers.get(one)
        if known is None:
            return
        topic_id = self.world.image.topics_by_name["t"].topic_id
        told = directory(one, place) if place else LOST_DIRECTORY
        assignment = DirectoryAssignment(told, topic_id, number)
        request = AssignReplicas(one, known.epoch, [assignment])
        self.change(
            lambda: self.world.run(lambda image: assign_replicas(image, request, self.world.rules_of))
        )

    @rule(percentage=st.integers(0, 50), limit=st.integers(1, 3))
    def balance(self, percentage: int, limit: int) -> None:
        self.change(
            lambda: self.world.run(
                lambda image: balance_leaders(image, percentage, self.world.rules_of, limit)
            )
        )

    # -- rules

    @rule(min_isr=st.integers(1, 3), unclean=st.booleans())
    def configure(self, min_isr: int, unclean: bool) -> None:
        self.world.rules = self.world.rules._replace(min_insync_replicas=min_isr, unclean=unclean)
        self.change(lambda: self.world.commit(follow_rules(self.world.image, None, self.world.rules_of)))

    @rule(level=st.integers(0, 1), kind=st.integers(1, 2))
    def feature(self, level: int, kind: int) -> None:
        wanted = Level("eligible.leader.replicas.version", level, kind)
        self.change(
            lambda: self.world.run(lambda image: update_features(image, [wanted], self.world.rules_of))
        )

    @rule()
    def take_snapshot(self) -> None:
        self.snapshots.append((len(self.world.entries), self.world.state.snapshot()))

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        for start, snapshot in [(0, None), *self.snapshots]:
            again = MetadataState(lambda delta, image: None)
            if snapshot is not None:
                again.restore(snapshot)
            for records in self.world.entries[start:]:
                again.apply(again.image.applied_index + 1, encode_records(records))
            assert again.image == self.world.image
            assert again.snapshot() == self.world.state.snapshot()


Partitions.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
test_partitions = pytest.mark.filterwarnings("default")(Partitions.TestCase)
