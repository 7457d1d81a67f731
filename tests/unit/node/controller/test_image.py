from __future__ import annotations

from odradek.node.controller.image import (
    BrokerImage,
    MetadataImage,
    PartitionImage,
    TopicImage,
    collision_key,
    may_collide,
)
from odradek.node.controller.persistent_map import PersistentMap

PARTITION = PartitionImage((1,), (1,), 1)
TOPIC = TopicImage("t", b"t" * 16, (PARTITION, PARTITION))
IMAGE = MetadataImage(
    brokers={2: BrokerImage(2, 1, bytes(16), {}), 1: BrokerImage(1, 1, bytes(16), {}, fenced=True)},
    topics_by_name=PersistentMap({"t": TOPIC}),
    configs=PersistentMap({(2, "t"): {"a": "1"}}),
)


def test_look_ups() -> None:
    assert IMAGE.topic("t") is TOPIC
    assert IMAGE.topic("u") is None
    assert IMAGE.partition("t", 1) is PARTITION
    assert [IMAGE.partition("t", index) for index in (-1, 2)] == [None, None]
    assert IMAGE.partition("u", 0) is None
    assert IMAGE.config(2, "t") == {"a": "1"}
    assert IMAGE.config(2, "u") == {}
    assert [broker.broker_id for broker in IMAGE.live_brokers] == [2]


def test_topics_are_equal_by_value_and_cheap_keys() -> None:
    same = TopicImage("t", b"t" * 16, (PartitionImage((1,), (1,), 1), PARTITION))
    assert same == TOPIC
    assert hash(same) == hash(TOPIC)
    assert TopicImage("t", b"t" * 16, (PARTITION,)) != TOPIC
    assert "2 partitions" in repr(TOPIC)


def test_names_that_metrics_cannot_tell_apart() -> None:
    assert collision_key("a.b_c") == collision_key("a_b.c")
    assert may_collide("a.b")
    assert may_collide("a_b")
    assert not may_collide("a-b")
