from __future__ import annotations

import pytest

from odradek.node.controller.delta import MetadataDelta
from odradek.node.controller.image import MetadataImage
from odradek.node.controller.records import (
    ClusterRecord,
    ConfigRecord,
    FeatureLevelRecord,
    PartitionRun,
    ProducerIdsRecord,
    Record,
    RegisterBrokerRecord,
    RemoveTopicRecord,
    TopicRecord,
    encode_records,
)
from odradek.node.controller.state import MetadataState

ENTRIES: list[list[Record]] = [
    [ClusterRecord(cluster_id="c"), FeatureLevelRecord(name="f", feature_level=1)],
    [RegisterBrokerRecord(broker_id=1, rack="r", directories=[b"d" * 16])],
    [
        TopicRecord(
            name=name,
            topic_id=name.encode() * 16,
            partitions=[PartitionRun(count=3, replicas=[1], leader=1), PartitionRun(count=1, leader=-1)],
        )
        for name in "zax"
    ],
    [ConfigRecord.of(2, "z", {"b": "1", "a": "2"}), ProducerIdsRecord(broker_id=1, next_producer_id=1000)],
    [RemoveTopicRecord(topic_id=b"a" * 16)],
]


class World:
    def __init__(self) -> None:
        self.published: list[tuple[MetadataDelta, MetadataImage]] = []
        self.leadership: list[tuple[bool, int]] = []
        self.state = MetadataState(
            lambda delta, image: self.published.append((delta, image)),
            lambda is_leader, term: self.leadership.append((is_leader, term)),
        )


def filled() -> World:
    world = World()
    for index, records in enumerate(ENTRIES, start=1):
        world.state.apply(index * 10, encode_records(records))
    return world


def test_each_entry_makes_an_image_and_publishes_it() -> None:
    world = filled()
    assert [image.applied_index for _, image in world.published] == [10, 20, 30, 40, 50]
    assert world.published[-1][1] is world.state.image
    assert set(world.state.image.topics_by_name) == {"z", "x"}


def test_an_entry_is_applied_once_and_in_order() -> None:
    with pytest.raises(AssertionError, match="applied after"):
        filled().state.apply(50, encode_records([]))


def test_a_snapshot_restores_the_image_and_says_what_changed() -> None:
    first, second = filled(), World()
    second.state.apply(3, encode_records(ENTRIES[2]))
    second.state.restore(first.state.snapshot())
    assert second.state.image == first.state.image
    delta, image = second.published[-1]
    assert image is second.state.image
    assert list(delta.deleted_topics) == [b"a" * 16]
    second.state.apply(60, encode_records([]))


def test_equal_images_have_equal_snapshots() -> None:
    first, second = filled(), World()
    second.state.restore(first.state.snapshot())
    assert second.state.snapshot() == first.state.snapshot()


def test_a_preview_changes_nothing() -> None:
    world = filled()
    before = world.state.image
    ahead = world.state.preview(before, [RemoveTopicRecord(topic_id=b"z" * 16)])
    assert ahead.topic("z") is None
    assert world.state.image is before
    assert len(world.published) == 5


def test_leadership_is_passed_on() -> None:
    world = World()
    world.state.on_leadership(True, 4)
    assert world.leadership == [(True, 4)]
    MetadataState(lambda delta, image: None).on_leadership(True, 4)
