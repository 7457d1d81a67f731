from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.unit.node.controller.image_world import ImageWorld, broker, directory

from odradek.node.controller.brokers import (
    BrokerHeartbeat,
    ClusterMismatchError,
    HeartbeatOutcome,
    Registration,
    fence_broker,
    found_cluster,
    on_heartbeat,
    register_broker,
    settle_heard,
    unregister_broker,
)
from odradek.node.controller.elections import ELR_FEATURE, TopicRules
from odradek.node.controller.image import EMPTY_IMAGE, BrokerImage, MetadataImage
from odradek.node.controller.records import (
    ClusterRecord,
    FeatureLevelRecord,
    PartitionChangesRecord,
    RegisterBrokerRecord,
    encode_records,
)
from odradek.proto.kafka.errors import ErrorCode


def test_an_empty_log_is_given_a_cluster() -> None:
    result = found_cluster(EMPTY_IMAGE, "mine", {"b": 2, "a": 1})
    assert result.records == [
        ClusterRecord(cluster_id="mine"),
        FeatureLevelRecord(name="a", feature_level=1),
        FeatureLevelRecord(name="b", feature_level=2),
    ]


def test_a_log_with_a_cluster_keeps_it(image: MetadataImage) -> None:
    assert not found_cluster(image, "a-cluster", {}).records
    with pytest.raises(ClusterMismatchError, match="belongs to cluster a-cluster"):
        found_cluster(image, "other", {})


def rules(topic: str) -> TopicRules:
    return TopicRules(2)


def test_a_registration_is_everything_but_the_epoch_and_fenced(
    image: MetadataImage, make_broker: Callable[..., BrokerImage]
) -> None:
    asked = Registration(make_broker(4, "rack", directories=2), "a-cluster")
    (record,) = register_broker(image, asked, rules).records
    assert isinstance(record, RegisterBrokerRecord)
    registered = record.image(77)
    assert registered.epoch == 77
    assert registered == replace(make_broker(4, "rack", directories=2), epoch=77, fenced=True)


def test_who_is_not_of_this_cluster_or_too_old_is_refused(image: MetadataImage) -> None:
    asked = Registration(broker(4), "another")
    assert register_broker(image, asked, rules).response.error is ErrorCode.INCONSISTENT_CLUSTER_ID
    world = ImageWorld()
    old = Registration(broker(4), "c", {ELR_FEATURE: (0, 0)})
    assert register_broker(world.image, old, rules).response.error is ErrorCode.UNSUPPORTED_VERSION
    fit = Registration(broker(4), "c", {ELR_FEATURE: (0, 1)})
    assert register_broker(world.image, fit, rules).response.error is ErrorCode.NONE


def test_the_same_incarnation_again_keeps_its_epoch_and_state() -> None:
    world = ImageWorld()
    before = world.image.brokers[2]
    assert world.register(broker(2)).broker_epoch == before.epoch
    assert world.image.brokers[2] is before
    world.register(replace(broker(2), rack="r"))
    assert world.image.brokers[2] == replace(before, rack="r")


def test_a_restarted_broker_is_fenced_until_it_has_caught_up() -> None:
    world = ImageWorld()
    world.create("t", (1, 2, 3), (2, 3, 1))
    world.register(broker(1, incarnation=1))
    assert world.image.brokers[1].fenced
    assert world.show("t", 0) == "2 leads 1 2 3, isr 2 3 (epoch 1)"
    assert world.show("t", 1) == "2 leads 2 3 1, isr 2 3 (epoch 0)"
    behind = world.heartbeat(1, metadata_offset=world.image.brokers[1].epoch - 1)
    assert (behind.is_caught_up, behind.is_fenced) == (False, True)
    assert world.heartbeat(1, want_fence=True).is_fenced
    there = world.heartbeat(1)
    assert (there.is_caught_up, there.is_fenced) == (True, False)
    assert (
        world.show("t", 0) == "2 leads 1 2 3, isr 2 3 (epoch 1)"
    )  # it has to catch up with the leader first


def test_a_node_that_is_alone_serves_at_once_and_leads_what_it_led() -> None:
    world = ImageWorld((1,))
    world.create("t", (1,))
    partitions = world.image.topics_by_name["t"]
    world.register(broker(1, incarnation=1), is_alone=True)
    assert not world.image.brokers[1].fenced
    assert world.image.topics_by_name["t"] is partitions
    assert world.image.brokers[1].epoch == world.image.applied_index


def test_a_heartbeat_that_changes_nothing_writes_nothing() -> None:
    world = ImageWorld()
    entries = len(world.entries)
    assert world.heartbeat(1) == HeartbeatOutcome(ErrorCode.NONE, True, False, False)
    assert len(world.entries) == entries
    stale = world.heartbeat(1, broker_epoch=1)
    assert stale.error is ErrorCode.STALE_BROKER_EPOCH
    stranger = on_heartbeat(world.image, BrokerHeartbeat(9, 1, 1), rules)
    assert stranger.response.error is ErrorCode.STALE_BROKER_EPOCH


def test_a_fenced_broker_leaves_isrs_and_leadership_and_the_last_one_waits() -> None:
    world = ImageWorld()
    world.create("t", (1, 2), (1,), (3, 2))
    assert world.fence(1)
    assert not world.fence(1)
    assert world.show("t", 0) == "2 leads 1 2, isr 2, elr 1 (epoch 1)"
    assert world.show("t", 1) == "nobody leads 1, isr -, elr 1, last known 1 (epoch 1)"
    assert world.show("t", 2) == "3 leads 3 2, isr 3 2 (epoch 0)"
    world.unfence(1)
    assert world.show("t", 0) == "2 leads 1 2, isr 2, elr 1 (epoch 1)"
    assert world.show("t", 1) == "1 leads 1, isr 1 (epoch 2)"


def test_a_fence_of_an_earlier_registration_does_nothing() -> None:
    world = ImageWorld()
    result = fence_broker(world.image, 1, world.image.brokers[1].epoch - 1, rules, world.heard)
    assert not result.records


def test_an_isr_is_not_reduced_to_members_that_nobody_has_heard_of() -> None:
    """All nodes were killed and come back one after the other: whoever is first may lead."""
    world = ImageWorld()
    world.create("t", (1, 2, 3))
    world.heard = frozenset()
    for number in (3, 2, 1):
        world.register(broker(number, incarnation=1))
    assert world.show("t") == "nobody leads 1 2 3, isr 1 2 3 (epoch 1)"
    world.unfence(3)
    assert world.show("t") == "3 leads 1 2 3, isr 3, elr 1 2 (epoch 2)"


def test_what_was_left_in_an_isr_goes_once_a_member_is_heard_of() -> None:
    world = ImageWorld()
    world.create("t", (1, 2, 3), (2, 1, 3))
    world.heard = frozenset()
    world.fence(1)
    assert world.show("t") == "2 leads 1 2 3, isr 1 2 3 (epoch 1)"
    world.run(lambda image: settle_heard(image, 3, world.rules_of))
    assert world.show("t") == "2 leads 1 2 3, isr 2 3 (epoch 1)"
    assert world.show("t", 1) == "2 leads 2 1 3, isr 2 3 (epoch 0)"


def test_a_controlled_shutdown_moves_leaders_first() -> None:
    world = ImageWorld()
    world.create("t", (1, 2, 3), (1,))
    asked = world.heartbeat(1, want_shut_down=True)
    assert (asked.is_fenced, asked.should_shut_down) == (False, False)
    assert world.image.brokers[1].in_controlled_shutdown
    assert world.show("t", 0) == "2 leads 1 2 3, isr 2 3 (epoch 1)"
    assert world.show("t", 1) == "nobody leads 1, isr -, elr 1, last known 1 (epoch 1)"
    assert not world.heartbeat(1, want_shut_down=True, may_go=False).should_shut_down
    assert world.heartbeat(1, want_shut_down=True).should_shut_down
    assert world.propose("t", (2, 3, 1)).error is ErrorCode.INELIGIBLE_REPLICA
    world.register(broker(1, incarnation=1))
    assert not world.image.brokers[1].in_controlled_shutdown
    world.unfence(1)
    assert world.show("t", 1) == "1 leads 1, isr 1 (epoch 2)"


def test_a_fenced_broker_may_shut_down_at_once() -> None:
    world = ImageWorld()
    world.fence(1)
    assert world.heartbeat(1, want_shut_down=True).should_shut_down


def test_a_lost_directory_takes_its_replicas_out() -> None:
    world = ImageWorld((1, 2), directories=2)
    world.create("t", (1, 2), (1, 2), (1, 2))
    for number, place in enumerate((directory(1, 1), directory(1, 2))):
        world.put("t", number, directories=(place, directory(2)))
    world.heartbeat(1, offline_directories=[directory(1, 2), b"?" * 16])
    assert world.image.brokers[1].directories == (directory(1, 1),)
    assert world.show("t", 0) == "1 leads 1 2, isr 1 2 (epoch 0)"
    assert world.show("t", 1) == "2 leads 1 2, isr 2, elr 1 (epoch 1)"
    assert world.show("t", 2) == "1 leads 1 2, isr 1 2 (epoch 0)"  # the broker has not said where it is
    entries = len(world.entries)
    world.heartbeat(1, offline_directories=[directory(1, 2)])
    assert len(world.entries) == entries


def test_a_broker_without_any_directory_is_fenced() -> None:
    world = ImageWorld()
    world.create("t", (1, 2))
    assert world.heartbeat(1, offline_directories=[directory(1)]).is_fenced
    assert world.at("t").leader == 2
    assert world.heartbeat(1, offline_directories=[directory(1)]).is_fenced


def test_a_broker_is_taken_out() -> None:
    world = ImageWorld()
    world.create("t", (1, 2))
    missing = world.run(lambda image: unregister_broker(image, 9, world.rules_of))
    assert missing.error is ErrorCode.BROKER_ID_NOT_REGISTERED
    world.run(lambda image: unregister_broker(image, 1, world.rules_of))
    assert 1 not in world.image.brokers
    assert world.show("t") == "2 leads 1 2, isr 2, elr 1 (epoch 1)"
    world.register(broker(1, incarnation=1))
    world.unfence(1)
    assert world.propose("t", (2, 1)).error is ErrorCode.NONE


def test_the_failover_of_a_broker_is_one_small_entry() -> None:
    world = ImageWorld()
    orders = [(1, 2, 3), (2, 3, 1), (3, 1, 2), (1, 3, 2), (2, 1, 3), (3, 2, 1)]
    world.create("t", *[orders[number % 6] for number in range(9_000)])
    world.fence(1)
    (_, changes) = world.entries[-1]
    assert isinstance(changes, PartitionChangesRecord)
    assert len(changes.changes) == 4  # by the new leader, if any, and the new ISR
    assert len(encode_records(world.entries[-1])) < 10_000
    assert sum(partition.leader == 1 for partition in world.image.topics_by_name["t"].partitions) == 0
    assert len({id(partition) for partition in world.image.topics_by_name["t"].partitions}) == 6
