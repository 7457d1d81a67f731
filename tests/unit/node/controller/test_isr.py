from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.node.controller.image_world import ImageWorld, broker

from odradek.node.controller.isr import (
    RECOVERING,
    AlterPartitions,
    AlterPartitionsOutcome,
    IsrMember,
    IsrProposal,
    alter_partitions,
    broker_epoch_error,
)
from odradek.proto.kafka.errors import ErrorCode


def proposal(world: ImageWorld, **fields: object) -> IsrProposal:
    """What the leader of t-0 may propose, with what makes it wrong."""
    partition = world.at("t")
    members = [IsrMember(one, world.image.brokers[one].epoch) for one in (1, 2)]
    good = IsrProposal(
        world.image.topics_by_name["t"].topic_id,
        0,
        partition.leader_epoch,
        partition.partition_epoch,
        members,
    )
    return replace(good, **fields)  # type: ignore[arg-type]


def asked(world: ImageWorld, *proposals: IsrProposal, broker_id: int = 1) -> AlterPartitionsOutcome:
    request = AlterPartitions(broker_id, world.image.brokers[broker_id].epoch, proposals)
    return world.run(lambda image: alter_partitions(image, request, world.rules_of))


def error(world: ImageWorld, one: IsrProposal, broker_id: int = 1) -> ErrorCode:
    return asked(world, one, broker_id=broker_id).outcomes[0].error


@pytest.fixture
def world() -> ImageWorld:
    world = ImageWorld()
    world.create("t", (1, 2, 3))
    world.put("t", 0, leader=2)
    world.put("t", 0, leader=1)
    return world


def test_an_accepted_proposal_answers_with_the_new_state(world: ImageWorld) -> None:
    (outcome,) = asked(world, proposal(world)).outcomes
    assert outcome.error is ErrorCode.NONE
    assert outcome.state == world.at("t")
    assert world.show("t") == "1 leads 1 2 3, isr 1 2 (epoch 2)"
    assert world.at("t").partition_epoch == 3


def test_the_isr_as_it_is_changes_nothing(world: ImageWorld) -> None:
    entries = len(world.entries)
    members = [IsrMember(one) for one in (3, 2, 1)]
    (outcome,) = asked(world, proposal(world, new_isr=members)).outcomes
    assert outcome.state == world.at("t")
    assert len(world.entries) == entries


def test_epochs_newer_than_the_controllers_mean_that_it_is_behind(world: ImageWorld) -> None:
    assert error(world, proposal(world, leader_epoch=3)) is ErrorCode.NOT_CONTROLLER
    assert error(world, proposal(world, partition_epoch=3)) is ErrorCode.NOT_CONTROLLER


def test_older_epochs_mean_that_the_leader_is_behind(world: ImageWorld) -> None:
    assert error(world, proposal(world, leader_epoch=1)) is ErrorCode.FENCED_LEADER_EPOCH
    assert error(world, proposal(world, partition_epoch=1)) is ErrorCode.INVALID_UPDATE_VERSION


def test_what_a_leader_may_not_propose(world: ImageWorld) -> None:
    assert error(world, proposal(world), broker_id=2) is ErrorCode.INVALID_REQUEST
    for members in ((), (2, 3), (1, 9), (1, 2, 2)):
        wrong = proposal(world, new_isr=[IsrMember(one) for one in members])
        assert error(world, wrong) is ErrorCode.INVALID_REQUEST, members
    assert error(world, proposal(world, leader_recovery_state=RECOVERING)) is ErrorCode.INVALID_REQUEST


def test_only_a_broker_that_is_there_can_be_in_sync(world: ImageWorld) -> None:
    members = [IsrMember(1), IsrMember(2, world.image.brokers[2].epoch - 1)]
    assert error(world, proposal(world, new_isr=members)) is ErrorCode.INELIGIBLE_REPLICA
    world.fence(2)
    assert error(world, proposal(world)) is ErrorCode.INELIGIBLE_REPLICA
    world.register(broker(2, incarnation=1))
    world.unfence(2)
    assert error(world, proposal(world)) is ErrorCode.NONE
    world.heartbeat(2, want_shut_down=True)
    world.propose("t", (1,))
    assert error(world, proposal(world)) is ErrorCode.INELIGIBLE_REPLICA


def test_every_proposal_is_judged_alone(world: ImageWorld) -> None:
    world.create("u", (1, 2), (1, 2))
    there = world.image.topics_by_name["u"].topic_id
    small = replace(
        proposal(world), topic_id=there, leader_epoch=0, partition_epoch=0, new_isr=[IsrMember(1)]
    )
    outcome = asked(
        world,
        replace(small, partition=1),
        small,
        replace(small, partition=7),
        replace(small, topic_id=b"?" * 16),
        replace(small, partition=1),
    )
    assert [(one.topic_id, one.partition, one.error) for one in outcome.outcomes] == [
        (b"?" * 16, 0, ErrorCode.UNKNOWN_TOPIC_ID),
        (there, 0, ErrorCode.NONE),
        (there, 1, ErrorCode.NONE),
        (there, 1, ErrorCode.INVALID_REQUEST),
        (there, 7, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
    ]
    assert world.show("u", 1) == "1 leads 1 2, isr 1, elr 2 (epoch 0)"


def test_a_request_of_an_earlier_registration_is_refused_as_a_whole(world: ImageWorld) -> None:
    request = AlterPartitions(1, world.image.brokers[1].epoch - 1, [proposal(world)])
    result = alter_partitions(world.image, request, world.rules_of)
    assert (result.response.error, result.response.outcomes) == (ErrorCode.STALE_BROKER_EPOCH, ())
    assert "registered with epoch" in str(broker_epoch_error(world.image, 1, 0))
    assert "not registered" in str(broker_epoch_error(world.image, 9, 0))
    assert broker_epoch_error(world.image, 1, world.image.brokers[1].epoch) is None


def test_the_proposal_that_ends_a_reassignment_may_cost_its_author_the_leadership() -> None:
    world = ImageWorld((1, 2, 3, 4))
    world.create("t", (1, 2))
    world.put("t", 0, replicas=(3, 4, 1, 2), adding_replicas=(3, 4), removing_replicas=(1, 2))
    assert world.propose("t", (1, 2, 3)).error is ErrorCode.NONE
    outcome = world.propose("t", (1, 2, 3, 4))
    assert (outcome.error, outcome.state) == (ErrorCode.NEW_LEADER_ELECTED, None)
    assert world.show("t") == "3 leads 3 4, isr 3 4 (epoch 1)"
