from __future__ import annotations

import pytest
from tests.unit.node.controller.image_world import ImageWorld, broker, directory

from odradek.node.controller.elections import (
    LOST_DIRECTORY,
    Election,
    ElectionOutcome,
    Electorate,
    Target,
    TopicRules,
    change_partitions,
    elect_leaders,
    has_directory,
    next_state,
)
from odradek.node.controller.image import PartitionImage
from odradek.proto.kafka.errors import ErrorCode

PARTITION = PartitionImage(
    (1, 2, 3), (1, 2, 3), 1, 5, 9, directories=(directory(1), directory(2), directory(3))
)


def electorate(*fenced: int, elr: bool = True) -> Electorate:
    world = ImageWorld(elr=elr)
    for broker_id in fenced:
        world.fence(broker_id)
    return Electorate.of(world.image)


def test_nothing_that_changes_is_the_same_object() -> None:
    assert next_state(PARTITION, electorate(), TopicRules(2)) is PARTITION


def test_every_change_is_a_partition_epoch_and_a_new_leader_a_leader_epoch() -> None:
    smaller = next_state(PARTITION, electorate(), TopicRules(2), Target(isr=(1, 2)))
    assert (smaller.leader, smaller.leader_epoch, smaller.partition_epoch) == (1, 5, 10)
    moved = next_state(PARTITION, electorate(1), TopicRules(2), Target(isr=(2, 3)))
    assert (moved.leader, moved.leader_epoch, moved.partition_epoch) == (2, 6, 10)


def test_the_leader_stays_while_it_may_and_then_the_first_replica_in_sync_follows() -> None:
    second = next_state(PARTITION, electorate(1), TopicRules(2), Target(isr=(3, 2)))
    assert second.leader == 2  # the order is that of the replicas, not of the ISR
    back = next_state(second, electorate(), TopicRules(2), Target(isr=(1, 2, 3)))
    assert back.leader == 2
    preferred = next_state(back, electorate(), TopicRules(2), election=Election.PREFERRED)
    assert (preferred.leader, preferred.leader_epoch) == (1, 7)


def test_who_leaves_an_isr_below_the_minimum_is_eligible_until_it_is_large_enough() -> None:
    rules = TopicRules(2)
    first = next_state(PARTITION, electorate(), rules, Target(isr=(1, 2)))
    assert first.eligible_leader_replicas == ()
    second = next_state(first, electorate(), rules, Target(isr=(1,)))
    assert second.eligible_leader_replicas == (
        2,
    )  # 3 left while the ISR was large enough: it may lack records
    third = next_state(second, electorate(), rules, Target(isr=(1, 3)))
    assert third.eligible_leader_replicas == ()


def test_the_minimum_is_never_more_than_the_replicas() -> None:
    one = PartitionImage((1,), (1,), 1)
    assert next_state(one, electorate(), TopicRules(3), Target(isr=(1,))) is one
    gone = next_state(one, electorate(1), TopicRules(3), Target(isr=()))
    assert (gone.leader, gone.isr, gone.eligible_leader_replicas, gone.last_known_elr) == (-1, (), (1,), (1,))


def test_an_eligible_replica_leads_when_nobody_in_sync_may() -> None:
    waiting = PartitionImage((1, 2, 3), (), -1, eligible_leader_replicas=(3, 2))
    led = next_state(waiting, electorate(2), TopicRules(2))
    assert (led.leader, led.isr, led.eligible_leader_replicas) == (3, (3,), (2,))
    # With a minimum of one, the new ISR is large enough by itself.
    led = next_state(waiting, electorate(2), TopicRules(1))
    assert (led.leader, led.isr, led.eligible_leader_replicas) == (3, (3,), ())


def test_members_of_an_isr_that_cannot_lead_become_eligible_when_an_eligible_one_leads() -> None:
    waiting = PartitionImage((1, 2, 3), (1,), -1, eligible_leader_replicas=(2,))
    led = next_state(waiting, electorate(1), TopicRules(2))
    assert (led.leader, led.isr, led.eligible_leader_replicas) == (2, (2,), (1,))


def test_the_last_known_leader_leads_only_when_nobody_is_left_in_isr_and_elr() -> None:
    lost = PartitionImage((1, 2, 3), (), -1, last_known_elr=(2,))
    led = next_state(lost, electorate(), TopicRules(2))
    assert (led.leader, led.isr, led.last_known_elr) == (2, (2,), ())
    assert next_state(lost, electorate(2), TopicRules(2)) is lost
    two = PartitionImage((1, 2, 3), (), -1, last_known_elr=(2, 3))
    assert next_state(two, electorate(), TopicRules(2)).leader == -1
    eligible = PartitionImage((1, 2, 3), (), -1, eligible_leader_replicas=(1,), last_known_elr=(2,))
    assert next_state(eligible, electorate(1), TopicRules(2)).leader == -1


def test_without_eligible_replicas_the_last_member_stays_in_the_isr() -> None:
    alone = PartitionImage((1, 2, 3), (1,), 1)
    gone = next_state(alone, electorate(1, elr=False), TopicRules(2), Target(isr=()))
    assert (gone.leader, gone.isr, gone.eligible_leader_replicas) == (-1, (1,), ())
    assert next_state(gone, electorate(elr=False), TopicRules(2)).leader == 1


def test_an_unclean_election_takes_anybody_and_forgets_who_knew_more() -> None:
    lost = PartitionImage((1, 2, 3), (1,), -1, eligible_leader_replicas=(3,))
    assert next_state(lost, electorate(1, 3), TopicRules(2)) is lost
    led = next_state(lost, electorate(1, 3), TopicRules(2), election=Election.UNCLEAN)
    assert (led.leader, led.isr, led.eligible_leader_replicas) == (2, (2,), ())
    clean = next_state(lost, electorate(1), TopicRules(2), election=Election.UNCLEAN)
    assert clean.leader == 3  # a clean leader comes first, whatever is allowed


def test_a_lost_directory_makes_a_replica_unable_to_lead() -> None:
    lost = PartitionImage((1, 2), (1, 2), 1, directories=(b"\x09" * 16, directory(2)))
    assert next_state(lost, electorate(), TopicRules(1)).leader == 2
    world = ImageWorld()
    assert has_directory(world.image.brokers[1], bytes(16))
    assert not has_directory(world.image.brokers[1], LOST_DIRECTORY)


def test_a_reassignment_ends_when_all_wanted_replicas_are_in_sync() -> None:
    places = tuple(directory(one) for one in (4, 2, 1, 3))
    moving = PartitionImage(
        (4, 2, 1, 3), (1, 2, 3), 1, directories=places, adding_replicas=(4,), removing_replicas=(1, 3)
    )
    world = ImageWorld((1, 2, 3, 4))
    voters = Electorate.of(world.image)
    assert next_state(moving, voters, TopicRules(2), Target(isr=(1, 2))).adding_replicas == (4,)
    partly = next_state(moving, voters, TopicRules(2), Target(isr=(1, 4)))
    assert partly.adding_replicas == (4,)  # 2 is wanted too
    done = next_state(moving, voters, TopicRules(2), Target(isr=(1, 2, 3, 4)))
    assert (done.replicas, done.isr, done.adding_replicas, done.removing_replicas) == (
        (4, 2),
        (2, 4),
        (),
        (),
    )
    assert (done.leader, done.leader_epoch) == (4, 1)
    assert done.directories == (directory(4), directory(2))


def test_partitions_are_changed_by_object() -> None:
    world = ImageWorld()
    topic = world.create("t", *[(1, 2, 3)] * 50, (2, 1))
    asked: list[PartitionImage] = []

    def change(before: PartitionImage, rules: TopicRules) -> PartitionImage:
        asked.append(before)
        return next_state(before, electorate(), rules, Target(isr=before.isr[:1]))

    changes = change_partitions([topic], world.rules_of, change)
    assert len(asked) == 2
    assert changes.count == 51
    world.commit(changes.records())
    assert world.show("t", 7) == "1 leads 1 2 3, isr 1, elr 2 3 (epoch 0)"
    assert world.show("t", 50) == "2 leads 2 1, isr 2, elr 1 (epoch 0)"


def asked(
    world: ImageWorld, *partitions: tuple[str, int], unclean: bool = False
) -> dict[tuple[str, int], ErrorCode]:
    outcomes: list[ElectionOutcome] = world.run(
        lambda image: elect_leaders(image, partitions or None, world.rules_of, unclean=unclean)
    )
    return {(one.topic, one.partition): one.error for one in outcomes}


def test_preferred_leaders_on_request() -> None:
    world = ImageWorld()
    world.create("t", (1, 2, 3), (2, 1, 3), (3, 2, 1))
    world.fence(1)
    world.register(broker(1, incarnation=1))
    world.unfence(1)
    assert asked(world, ("t", 0), ("t", 1), ("t", 9), ("u", 0)) == {
        ("t", 0): ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE,
        ("t", 1): ErrorCode.ELECTION_NOT_NEEDED,
        ("t", 9): ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ("u", 0): ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    }
    world.propose("t", (2, 3, 1), 0)
    assert asked(world) == {("t", 0): ErrorCode.NONE}
    assert world.show("t", 0) == "1 leads 1 2 3, isr 2 3 1 (epoch 2)"
    assert asked(world) == {}


def test_a_leader_at_any_price_only_where_nobody_leads() -> None:
    world = ImageWorld()
    world.create("t", (1, 2), (2, 1), (3,))
    world.propose("t", (1,), 0)
    world.put("t", 0, eligible_leader_replicas=())
    world.fence(1)
    world.fence(3)
    assert world.show("t", 0) == "nobody leads 1 2, isr -, elr 1, last known 1 (epoch 1)"
    assert asked(world, ("t", 0), ("t", 1), ("t", 2), unclean=True) == {
        ("t", 0): ErrorCode.NONE,
        ("t", 1): ErrorCode.ELECTION_NOT_NEEDED,
        ("t", 2): ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE,
    }
    assert world.show("t", 0) == "2 leads 1 2, isr 2 (epoch 2)"
    assert asked(world, unclean=True) == {("t", 2): ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE}


@pytest.mark.parametrize("unclean", [False, True])
def test_a_topic_may_allow_unclean_elections(unclean: bool) -> None:
    world = ImageWorld(min_isr=1, unclean=unclean)
    world.create("t", (1, 2))
    world.propose("t", (1,))
    world.fence(1)
    assert world.at("t").leader == (2 if unclean else -1)
