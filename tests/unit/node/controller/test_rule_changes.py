from __future__ import annotations

from tests.unit.node.controller.image_world import ImageWorld

from odradek.node.controller.records import ConfigRecord, RemoveTopicRecord
from odradek.node.controller.rule_changes import follow_rules, touched_topics


def test_which_topics_a_change_touches() -> None:
    assert touched_topics([RemoveTopicRecord(topic_id=bytes(16))]) == frozenset()
    assert touched_topics([ConfigRecord.of(2, "t", {"retention.ms": "1"})]) == frozenset()
    small = ConfigRecord.of(2, "t", {"min.insync.replicas": "1"})
    unclean = ConfigRecord.of(2, "u", {"unclean.leader.election.enable": None})
    assert touched_topics([small, unclean]) == frozenset(("t", "u"))
    assert touched_topics([small, ConfigRecord.of(4, "", {"min.insync.replicas": None})]) is None


def test_a_smaller_minimum_ends_eligibility_at_once() -> None:
    world = ImageWorld()
    world.create("t", (1, 2))
    world.create("u", (1, 2))
    world.propose("t", (1,))
    world.propose("u", (1,))
    world.rules = world.rules._replace(min_insync_replicas=1)
    world.commit(follow_rules(world.image, {"t"}, world.rules_of))
    assert not world.at("t").eligible_leader_replicas
    assert world.at("u").eligible_leader_replicas == (2,)
    world.commit(follow_rules(world.image, None, world.rules_of))
    assert not world.at("u").eligible_leader_replicas
    assert not follow_rules(world.image, None, world.rules_of)


def test_unclean_elections_that_are_allowed_now_are_held_at_once() -> None:
    world = ImageWorld(min_isr=1)
    world.create("t", (1, 2))
    world.propose("t", (1,))
    world.fence(1)
    assert world.at("t").leader == -1
    world.rules = world.rules._replace(unclean=True)
    world.commit(follow_rules(world.image, {"t"}, world.rules_of))
    assert world.show("t") == "2 leads 1 2, isr 2 (epoch 2)"
