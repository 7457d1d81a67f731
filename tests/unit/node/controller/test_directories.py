from __future__ import annotations

from tests.unit.node.controller.image_world import ImageWorld, directory

from odradek.node.controller.directories import (
    AssignReplicas,
    AssignReplicasOutcome,
    DirectoryAssignment,
    assign_replicas,
)
from odradek.proto.kafka.errors import ErrorCode


def assign(
    world: ImageWorld, *places: tuple[bytes, str | bytes, int], epoch: int | None = None
) -> AssignReplicasOutcome:
    """Broker 1 says where its replicas are."""
    assignments = [
        DirectoryAssignment(
            place, name if isinstance(name, bytes) else world.image.topics_by_name[name].topic_id, number
        )
        for place, name, number in places
    ]
    request = AssignReplicas(1, world.image.brokers[1].epoch if epoch is None else epoch, assignments)
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
