from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pytest
from tests.unit.node.controller.image_world import ImageWorld

from odradek.node.controller.reassignment import Reassignment, alter_reassignments, list_reassignments
from odradek.proto.kafka.errors import ErrorCode


class Wanted(NamedTuple):
    topic: str
    partition: int
    replicas: Sequence[int] | None


def move(
    world: ImageWorld, *wanted: int, cancel: bool = False, factor_change: bool = True
) -> tuple[ErrorCode, str | None]:
    """Reassigns t-0."""
    moves = [Wanted("t", 0, None if cancel else wanted)]
    (outcome,) = world.run(
        lambda image: alter_reassignments(
            image, moves, world.rules_of, allow_replication_factor_change=factor_change
        )
    )
    return outcome.error, outcome.message


@pytest.fixture
def world() -> ImageWorld:
    world = ImageWorld((1, 2, 3, 4, 5))
    world.create("t", (1, 2, 3))
    return world


def test_it_begins_with_all_replicas_and_ends_with_the_wanted_ones(world: ImageWorld) -> None:
    assert move(world, 4, 1) == (ErrorCode.NONE, None)
    assert world.show("t") == "1 leads 4 1 2 3, isr 1 2 3, adding 4, removing 2 3 (epoch 0)"
    world.propose("t", (1, 2, 3, 4))
    assert world.show("t") == "1 leads 4 1, isr 1 4 (epoch 1)"
    assert list_reassignments(world.image, None) == []


def test_what_needs_no_copy_is_done_at_once(world: ImageWorld) -> None:
    move(world, 3, 2)
    assert world.show("t") == "3 leads 3 2, isr 2 3 (epoch 1)"
    move(world, 2, 3)
    assert world.show("t") == "3 leads 2 3, isr 2 3 (epoch 1)"
    epoch = world.at("t").partition_epoch
    move(world, 2, 3)
    assert world.at("t").partition_epoch == epoch


def test_a_replica_that_is_let_go_and_comes_back_is_told_by_the_epoch_from_what_it_was(
    world: ImageWorld,
) -> None:
    """Its log was deleted meanwhile: a fetch from before must not count, also where nothing else has changed."""
    move(world, 1, 2)
    assert world.show("t") == "1 leads 1 2, isr 1 2 (epoch 1)"
    move(world, 1, 2, 3)
    assert world.show("t") == "1 leads 1 2 3, isr 1 2, adding 3 (epoch 1)"


def test_a_cancel_goes_back(world: ImageWorld) -> None:
    move(world, 4, 5)
    world.propose("t", (1, 2, 3, 4))
    move(world, cancel=True)
    assert world.show("t") == "1 leads 1 2 3, isr 1 2 3 (epoch 1)"
    assert move(world, cancel=True)[0] is ErrorCode.NO_REASSIGNMENT_IN_PROGRESS


def test_a_cancel_while_only_new_replicas_are_in_sync_needs_an_unclean_election(world: ImageWorld) -> None:
    move(world, 4, 5)
    world.put("t", 0, leader=4, isr=(4,))
    error, message = move(world, cancel=True)
    assert error is ErrorCode.INVALID_REPLICA_ASSIGNMENT
    assert message is not None and "unclean" in message
    world.rules = world.rules._replace(unclean=True)
    assert move(world, cancel=True)[0] is ErrorCode.NONE
    assert world.show("t") == "1 leads 1 2 3, isr 1 (epoch 2)"


def test_a_second_one_starts_from_the_original_replicas(world: ImageWorld) -> None:
    move(world, 4, 2)
    world.propose("t", (1, 2, 3, 4))  # all wanted ones
    assert world.show("t") == "4 leads 4 2, isr 2 4 (epoch 1)"
    move(world, 1, 3)
    move(world, 5, 2)
    assert world.show("t") == "4 leads 5 2 4, isr 2 4, adding 5, removing 4 (epoch 2)"
    move(world, cancel=True)
    assert world.show("t") == "4 leads 2 4, isr 2 4 (epoch 3)"


def test_a_replica_that_was_added_and_is_not_wanted_any_more_goes_at_once(world: ImageWorld) -> None:
    move(world, 4, 5)
    world.put("t", 0, leader=4, isr=(4, 1))
    move(world, 5, 1)
    assert world.show("t") == "1 leads 5 1 2 3, isr 1, adding 5, removing 2 3 (epoch 2)"


def test_unless_it_is_the_only_one_in_sync(world: ImageWorld) -> None:
    move(world, 4, 5)
    world.put("t", 0, leader=4, isr=(4,))
    move(world, 5, 1)
    assert world.show("t") == "4 leads 5 1 2 3 4, isr 4, adding 5, removing 2 3 4 (epoch 1)"
    world.propose("t", (4, 5, 1))
    assert world.show("t") == "5 leads 5 1, isr 5 1 (epoch 2)"


@pytest.mark.parametrize(
    ("wanted", "says"), [((), "empty"), ((1, 1), "twice"), ((1, 9), "broker 9, which is not registered")]
)
def test_what_cannot_be_wanted(world: ImageWorld, wanted: tuple[int, ...], says: str) -> None:
    error, message = move(world, *wanted)
    assert error is ErrorCode.INVALID_REPLICA_ASSIGNMENT
    assert message is not None and says in message


def test_the_replication_factor_may_be_held(world: ImageWorld) -> None:
    assert move(world, 4, 5, factor_change=False)[0] is ErrorCode.INVALID_REPLICATION_FACTOR
    assert move(world, 1, 2, 4, factor_change=False)[0] is ErrorCode.NONE
    assert len(world.at("t").replicas) == 4
    # The factor is that of the original replicas, not of those that there are for the moment.
    assert move(world, 1, 2, 5, factor_change=False)[0] is ErrorCode.NONE
    assert move(world, 1, 2, 3, 5, factor_change=False)[0] is ErrorCode.INVALID_REPLICATION_FACTOR


def test_each_partition_is_judged_alone_and_once(world: ImageWorld) -> None:
    world.create("u", (1,), (1,))
    moves = [
        Wanted("u", 1, (2,)),
        Wanted("t", 7, (1,)),
        Wanted("u", 0, (2,)),
        Wanted("u", 0, (3,)),
        Wanted("v", 0, None),
    ]
    outcomes = world.run(lambda image: alter_reassignments(image, moves, world.rules_of))
    assert [(one.topic, one.partition, one.error) for one in outcomes] == [
        ("u", 0, ErrorCode.INVALID_REQUEST),
        ("u", 1, ErrorCode.NONE),
        ("t", 7, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        ("v", 0, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
    ]


def test_what_is_under_way_is_listed(world: ImageWorld) -> None:
    world.create("u", (1,), (1,))
    move(world, 4, 1)
    world.run(lambda image: alter_reassignments(image, [Wanted("u", 1, (2,))], world.rules_of))
    of_t = Reassignment("t", 0, (4, 1, 2, 3), (4,), (2, 3))
    of_u = Reassignment("u", 1, (2, 1), (2,), (1,))
    assert list_reassignments(world.image, None) == [of_t, of_u]
    assert list_reassignments(world.image, [("u", [0, 1, 9]), ("v", [0])]) == [of_u]


def test_a_dead_broker_is_replaced(world: ImageWorld) -> None:
    world.fence(1)
    move(world, 4, 2, 3)
    assert world.show("t") == "2 leads 4 2 3 1, isr 2 3, adding 4, removing 1 (epoch 1)"
    world.propose("t", (2, 3, 4))
    assert world.show("t") == "2 leads 4 2 3, isr 2 3 4 (epoch 2)"
