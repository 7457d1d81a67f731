from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import NamedTuple, Protocol

from tests.unit.node.controller.active_world import ActiveWorld

from odradek.node.controller.configs import ConfigAlteration, ConfigChange, ConfigOperation
from odradek.node.controller.controller import Controller
from odradek.node.controller.directories import AssignReplicas, DirectoryAssignment
from odradek.node.controller.effective import EffectiveConfigs
from odradek.node.controller.image import BrokerImage, MetadataImage, ResourceType
from odradek.node.controller.membership import NewAlarm
from odradek.node.controller.producer_ids import ProducerIdBlock
from odradek.node.controller.topics import MorePartitions, NewTopic
from odradek.proto.kafka.errors import ErrorCode


class Log(Protocol):
    entries: list[bytes]


class Wanted(NamedTuple):
    topic: str
    partition: int
    replicas: Sequence[int] | None


class Level(NamedTuple):
    name: str
    level: int
    upgrade_type: int


def log_of(controller: Controller) -> Log:
    return controller._operations._log  # type: ignore[return-value]


async def test_start_founds_the_cluster_and_registers_the_node(controller: Controller) -> None:
    assert controller.image.cluster_id == "a-cluster"
    assert controller.image.brokers[1].epoch == 2


async def test_an_answer_means_that_the_image_has_the_change(controller: Controller) -> None:
    heard: list[MetadataImage] = []
    controller.subscribe(lambda delta, image: heard.append(image))
    (outcome,) = await controller.create_topics([NewTopic("t", 2, 1)])
    assert outcome.error is ErrorCode.NONE
    assert controller.image.topics_by_id[outcome.topic_id].name == "t"
    assert heard[-1] is controller.image


async def test_every_kind_of_change(controller: Controller) -> None:
    await controller.create_topics([NewTopic("t", 2, 1)])
    await controller.create_partitions([MorePartitions("t", 3)])
    change = [ConfigChange("retention.ms", ConfigOperation.SET, "5")]
    entry = ConfigAlteration(ResourceType.TOPIC, "t", change)
    assert (await controller.incremental_alter_configs([entry]))[0].error is ErrorCode.NONE
    assert controller.image.config(ResourceType.TOPIC, "t") == {"retention.ms": "5"}
    await controller.alter_configs([ConfigAlteration(ResourceType.TOPIC, "t", [])])
    assert controller.image.config(ResourceType.TOPIC, "t") == {}
    assert controller.image.partition_count == 3
    assert [await controller.allocate_producer_ids(), await controller.allocate_producer_ids(5)] == [0, 1000]
    assert controller.image.next_producer_id == 1005
    await controller.delete_topics(["t"], [])
    assert controller.image.partition_count == 0


async def test_trying_changes_nothing(controller: Controller) -> None:
    entries = len(log_of(controller).entries)
    (created,) = await controller.create_topics([NewTopic("t", 2, 1)], validate_only=True)
    assert (created.error, created.num_partitions) == (ErrorCode.NONE, 2)
    assert len(log_of(controller).entries) == entries
    assert controller.image.topic("t") is None


async def test_listeners_hear_nothing_of_the_past(
    effective: EffectiveConfigs,
    stepped: type,
    make_broker: Callable[..., BrokerImage],
    make_alarm: NewAlarm,
    controller: Controller,
) -> None:
    await controller.create_topics([NewTopic("t")])
    await controller.delete_topics(["t"], [])
    await controller.create_topics([NewTopic("t")])
    again = Controller(1, effective, Random(8), make_alarm)
    heard: list[int] = []
    again.subscribe(lambda delta, image: heard.append(len(delta.deleted_topics)))
    again.attach(stepped(again.machine))
    for index, entry in enumerate(log_of(controller).entries, start=1):
        again.machine.apply(index, entry)
        log_of(again).entries.append(entry)
    assert not heard
    restarted = replace(make_broker(1), incarnation_id=b"again" + bytes(11))
    await again.start("a-cluster", restarted)
    assert heard == [0, 0]
    assert again.image.topics_by_id == controller.image.topics_by_id


async def test_the_state_machine_is_there_before_anything_is_attached(
    effective: EffectiveConfigs, make_alarm: NewAlarm
) -> None:
    controller = Controller(1, effective, Random(1), make_alarm)
    assert controller.machine.image is controller.image
    assert not controller.image.brokers


def settled(name: str, value: str) -> ConfigAlteration:
    return ConfigAlteration(ResourceType.TOPIC, "t", [ConfigChange(name, ConfigOperation.SET, value)])


async def test_a_config_that_changes_the_rules_changes_partitions_with_it() -> None:
    world = await ActiveWorld().start()
    await world.create((1, 2))
    await world.propose(1)
    assert world.show() == "1 leads 1 2, isr 1, elr 2 (epoch 0)"
    entries = world.log.index
    await world.controller.incremental_alter_configs([settled("min.insync.replicas", "1")])
    assert world.show() == "1 leads 1 2, isr 1 (epoch 0)"
    assert world.log.index == entries + 1


async def test_what_nobody_leads_is_led_when_an_unclean_election_is_allowed() -> None:
    world = await ActiveWorld().start()
    await world.create((1, 2))
    await world.controller.alter_configs([settled("min.insync.replicas", "1")])
    await world.propose(1)
    world.listeners.refusing = {1}
    world.controller.on_broker_lost(1)
    await world.settle()
    assert world.show().startswith("nobody")
    await world.controller.incremental_alter_configs([settled("unclean.leader.election.enable", "true")])
    assert world.show() == "2 leads 1 2, isr 2 (epoch 2)"


async def test_leaders_go_back_to_the_preferred_replicas_after_an_interval() -> None:
    world = await ActiveWorld().start()
    await world.create((1, 2, 3), (2, 1, 3))
    world.controller.on_broker_lost(1)
    await world.register(1, incarnation=1)
    await world.beat(1)
    assert world.show() == "2 leads 1 2 3, isr 2 3 (epoch 1)"
    await world.propose(2, 3, 1)
    await world.run_ms(299_750, 1, 2, 3)
    assert world.show() == "2 leads 1 2 3, isr 2 3 1 (epoch 1)"
    await world.run_ms(500, 1, 2, 3)
    assert world.show() == "1 leads 1 2 3, isr 2 3 1 (epoch 2)"
    entries = world.log.index
    await world.run_ms(600_000, 1, 2, 3)
    assert world.log.index == entries


async def test_a_controller_that_is_none_any_more_balances_nothing() -> None:
    world = await ActiveWorld().start()
    await world.create((1, 2, 3))
    world.controller.on_broker_lost(1)
    await world.register(1, incarnation=1)
    await world.propose(2, 3, number=0)
    world.controller.on_leadership(False, 1)
    world.log.is_leader = False
    entries = world.log.index
    world.clock.advance(600_000)
    await world.settle()
    assert world.log.index == entries


async def test_everything_about_partitions_and_features_goes_the_same_way() -> None:
    world = await ActiveWorld().start()
    await world.create((1, 2), (2, 1))
    controller = world.controller
    (elected,) = await controller.elect_leaders([("t", 0)])
    assert elected.error is ErrorCode.ELECTION_NOT_NEEDED
    (moved,) = await controller.alter_reassignments([Wanted("t", 0, (3, 1))])
    assert moved.error is ErrorCode.NONE
    assert [one.topic for one in controller.list_reassignments(None)] == ["t"]
    level = Level("eligible.leader.replicas.version", 0, 3)
    assert (await controller.update_features([level], validate_only=True)).error is ErrorCode.NONE
    assert world.image.features["eligible.leader.replicas.version"] == 1
    assert (await controller.update_features([level])).error is ErrorCode.NONE
    assert "eligible.leader.replicas.version" not in world.image.features
    epoch = world.image.brokers[2].epoch
    assert await controller.allocate_producer_ids_for(2, epoch) == ProducerIdBlock(first=0, count=1000)
    place = DirectoryAssignment(b"?" * 16, world.image.topics_by_name["t"].topic_id, 1)
    placed = await controller.assign_replicas_to_dirs(AssignReplicas(2, epoch, [place]))
    assert [one.error for one in placed.outcomes] == [ErrorCode.NONE]


async def test_where_the_active_controller_is() -> None:
    world = await ActiveWorld().start()
    assert (world.controller.is_active, world.controller.active_controller_id) == (True, 1)
    world.log.is_leader, world.log.leader_id = False, 3
    assert (world.controller.is_active, world.controller.active_controller_id) == (False, 3)
