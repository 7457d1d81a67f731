from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.node.controller.image_world import ImageWorld, broker, directory

from odradek.node.controller.directories import (
    AssignReplicas,
    AssignReplicasOutcome,
    DirectoryAssignment,
    assign_replicas,
)
from odradek.node.controller.elections import LOST_DIRECTORY, elect_leaders
from odradek.proto.kafka.errors import ErrorCode

NEW = b"\x77" * 16
"""The directory of a disk that was put in for another."""


def assign(
    world: ImageWorld, *places: tuple[bytes, str | bytes, int], epoch: int | None = None, broker_id: int = 1
) -> AssignReplicasOutcome:
    """A broker, 1 if not said, says where its replicas are."""
    assignments = [
        DirectoryAssignment(
            place, name if isinstance(name, bytes) else world.image.topics_by_name[name].topic_id, number
        )
        for place, name, number in places
    ]
    request = AssignReplicas(
        broker_id, world.image.brokers[broker_id].epoch if epoch is None else epoch, assignments
    )
    return world.run(lambda image: assign_replicas(image, request, world.rules_of))


def test_a_broker_says_where_its_replicas_are() -> None:
    world = ImageWorld((1, 2), directories=2)
    world.create("t", (2, 1), (2, 1), (2,))
    outcome = assign(
        world,
        (directory(1, 2), "t", 0),
        (directory(1, 1), "t", 1),
        (directory(1, 1), "t", 2),
        (directory(1, 1), "t", 3),
        (directory(1, 1), b"?" * 16, 0),
    )
    assert sorted(one.error for one in outcome.outcomes) == sorted(
        [
            ErrorCode.NONE,
            ErrorCode.NONE,
            ErrorCode.NOT_LEADER_OR_FOLLOWER,
            ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
            ErrorCode.UNKNOWN_TOPIC_ID,
        ]
    )
    assert world.at("t", 0).directories == (bytes(16), directory(1, 2))
    assert world.at("t", 1).directories == (bytes(16), directory(1, 1))
    assert world.at("t", 0).leader_epoch == 0
    entries = len(world.entries)
    assign(world, (directory(1, 2), "t", 0))
    assert len(world.entries) == entries


def test_a_replica_in_a_directory_that_is_lost_leaves_the_isr() -> None:
    world = ImageWorld((1, 2), directories=2)
    world.create("t", (1, 2))
    assign(world, (b"\x55" * 16, "t", 0))
    assert world.show("t") == "2 leads 1 2, isr 2, elr 1 (epoch 1)"


def test_a_request_of_an_earlier_registration_is_refused() -> None:
    world = ImageWorld()
    world.create("t", (1,))
    outcome = assign(world, (directory(1), "t", 0), epoch=0)
    assert (outcome.error, outcome.outcomes) == (ErrorCode.STALE_BROKER_EPOCH, ())


def with_new_disk(world: ImageWorld, one: int = 1) -> None:
    """The broker comes back with another directory, and is unfenced."""
    again = broker(one, incarnation=1)
    world.register(replace(again, directories=(NEW,)))
    world.unfence(one)


def test_a_replica_that_is_lost_is_no_longer_eligible() -> None:
    world = ImageWorld((1, 2))
    world.create("t", (1, 2))
    with_new_disk(world)
    assert world.show("t") == "2 leads 1 2, isr 2, elr 1 (epoch 1)"
    assign(world, (LOST_DIRECTORY, "t", 0))
    assert world.show("t") == "2 leads 1 2, isr 2 (epoch 1)"
    assign(world, (NEW, "t", 0))
    world.fence(2)
    assert world.show("t") == "nobody leads 1 2, isr -, elr 2, last known 2 (epoch 2)"


def test_a_replica_on_a_new_disk_joins_once_its_directory_is_known_and_may_lead() -> None:
    world = ImageWorld()
    world.create("t", (1, 2, 3))
    for one, leader in ((1, 2), (2, 1)):
        with_new_disk(world, one)
        assert world.propose("t", (1, 2, 3)).error is ErrorCode.INELIGIBLE_REPLICA
        assign(world, (LOST_DIRECTORY, "t", 0), broker_id=one)
        assert world.propose("t", (1, 2, 3)).error is ErrorCode.INELIGIBLE_REPLICA
        (outcome,) = assign(world, (NEW, "t", 0), broker_id=one).outcomes
        assert outcome.error is ErrorCode.NONE
        assert world.propose("t", (1, 2, 3)).error is ErrorCode.NONE
        assert world.at("t").leader == leader
        world.fence(3)
        assert world.at("t").leader == leader
        world.unfence(3)
        world.propose("t", (1, 2, 3))
        elect_again(world)
    world.fence(1)
    world.fence(3)
    assert world.at("t").leader == 2


def elect_again(world: ImageWorld) -> None:
    """The preferred leader, if it may."""
    world.run(lambda image: elect_leaders(image, None, world.rules_of))


def test_a_whole_log_in_a_directory_with_another_id_is_elected_as_soon_as_it_is_known() -> None:
    world = ImageWorld()
    world.create("t", (1, 2, 3))
    for one in (2, 3, 1):
        world.fence(one)
    assert world.show("t") == "nobody leads 1 2 3, isr -, elr 3 1, last known 1 (epoch 1)"
    with_new_disk(world)
    assert world.at("t").leader == -1
    assign(world, (NEW, "t", 0))
    assert world.at("t").leader == 1


@pytest.mark.parametrize("elr", [True, False])
def test_the_last_member_of_an_isr_whose_log_is_lost_is_not_elected_unless_somebody_asks_for_it(
    elr: bool,
) -> None:
    world = ImageWorld((1, 2), elr=elr, min_isr=1)
    world.create("t", (1, 2))
    world.fence(2)
    world.fence(1)
    with_new_disk(world)
    assign(world, (LOST_DIRECTORY, "t", 0))
    (outcome,) = assign(world, (NEW, "t", 0)).outcomes
    assert outcome.error is (ErrorCode.NONE if elr else ErrorCode.INELIGIBLE_REPLICA)
    assert world.at("t").leader == -1
    assert world.at("t").isr == (() if elr else (1,))
    world.unfence(2)
    assert world.at("t").leader == -1, "it was not in sync"
    world.run(lambda image: elect_leaders(image, [("t", 0)], world.rules_of, unclean=True))
    leader = world.at("t").leader
    assert leader == (1 if elr else 2)
    if not elr:
        assign(world, (NEW, "t", 0))
        assert world.propose("t", (1, 2)).error is ErrorCode.NONE


@pytest.mark.parametrize("elr", [True, False])
def test_the_only_replica_goes_on_with_an_empty_log(elr: bool) -> None:
    world = ImageWorld((1, 2), elr=elr)
    world.create("t", (1,))
    with_new_disk(world)
    assert world.at("t").leader == -1
    assign(world, (LOST_DIRECTORY, "t", 0))
    assert world.at("t").leader == -1
    assign(world, (NEW, "t", 0))
    assert world.at("t").leader == 1


def test_a_replica_that_was_left_in_the_isr_though_lost_leaves_it_when_that_may_be_empty() -> None:
    world = ImageWorld((1, 2), elr=True)
    world.create("t", (1, 2))
    world.put("t", 0, isr=(1,), leader=-1, directories=(LOST_DIRECTORY, directory(2)))
    epoch = world.at("t").partition_epoch
    assign(world, (LOST_DIRECTORY, "t", 0))
    assert world.at("t").isr == () and world.at("t").partition_epoch == epoch + 1
