from __future__ import annotations

import pytest

from odradek.node.controller.delta import MetadataDelta, delta_between
from odradek.node.controller.image import EMPTY_IMAGE, MetadataImage
from odradek.node.controller.partition_changes import encode_indexes
from odradek.node.controller.records import (
    BrokerChangeRecord,
    ConfigRecord,
    FeatureLevelRecord,
    PartitionChangesRecord,
    PartitionRun,
    PartitionsRecord,
    ProducerIdsRecord,
    Record,
    RegisterBrokerRecord,
    RemoveTopicRecord,
    TopicRecord,
    UnregisterBrokerRecord,
)

ID = b"i" * 16


def run(count: int = 1, leader: int = 1) -> PartitionRun:
    return PartitionRun(count=count, replicas=[leader], leader=leader)


def changed(image: MetadataImage, *records: Record, index: int = 1) -> tuple[MetadataDelta, MetadataImage]:
    delta = MetadataDelta(image)
    delta.replay(records, index)
    return delta, delta.build(index)


def test_equal_partitions_are_one_object_within_and_across_topics() -> None:
    _, image = changed(
        EMPTY_IMAGE,
        TopicRecord(name="a", topic_id=ID, partitions=[run(1000), run(5, leader=2)]),
        TopicRecord(name="b", topic_id=b"j" * 16, partitions=[run(1000)]),
    )
    objects = {id(partition) for topic in image.topics_by_id.values() for partition in topic.partitions}
    assert len(objects) == 2
    assert image.partition_count == 2005


def test_what_did_not_change_is_the_same_object() -> None:
    _, before = changed(
        EMPTY_IMAGE,
        RegisterBrokerRecord(broker_id=1),
        ConfigRecord.of(2, "a", {"x": "1"}),
        TopicRecord(name="a", topic_id=ID, partitions=[run()]),
    )
    _, after = changed(before, TopicRecord(name="b", topic_id=b"j" * 16, partitions=[run()]), index=2)
    assert after.brokers is before.brokers
    assert after.configs is before.configs
    assert after.topics_by_name["a"] is before.topics_by_name["a"]
    assert before.topic("b") is None


def test_new_topics_are_told_from_changed_ones() -> None:
    delta, image = changed(EMPTY_IMAGE, TopicRecord(name="a", topic_id=ID, partitions=[run()]))
    assert delta.is_new(image.topics_by_id[ID])
    more = PartitionsRecord(topic_id=ID, first_partition=1, partitions=[run(2)])
    delta, image = changed(image, more, index=2)
    assert not delta.is_new(delta.changed_topics[ID])
    assert len(image.topics_by_name["a"].partitions) == 3


def test_a_topic_created_and_deleted_in_one_entry_was_never_there() -> None:
    delta, image = changed(
        EMPTY_IMAGE,
        TopicRecord(name="a.b", topic_id=ID, partitions=[run()]),
        ConfigRecord.of(2, "a.b", {"x": "1"}),
        RemoveTopicRecord(topic_id=ID),
    )
    assert not delta.changed_topics
    assert not delta.deleted_topics
    assert not image.configs
    assert not image.collisions
    assert image.partition_count == 0


def test_a_name_deleted_and_created_again_in_one_entry_is_another_topic() -> None:
    _, before = changed(
        EMPTY_IMAGE,
        TopicRecord(name="a.b", topic_id=ID, partitions=[run(4)]),
        ConfigRecord.of(2, "a.b", {"x": "1"}),
    )
    delta, after = changed(
        before,
        RemoveTopicRecord(topic_id=ID),
        TopicRecord(name="a.b", topic_id=b"j" * 16, partitions=[run()]),
        ConfigRecord.of(2, "a.b", {"y": "2"}),
        index=2,
    )
    assert list(delta.deleted_topics) == [ID]
    assert after.topics_by_name["a.b"].topic_id == b"j" * 16
    assert after.topics_by_id.get(ID) is None
    assert after.config(2, "a.b") == {"y": "2"}
    assert after.collisions["a_b"] == ("a.b",)
    assert after.partition_count == 1


def test_configs_change_one_by_one_and_vanish_with_the_last() -> None:
    _, image = changed(EMPTY_IMAGE, ConfigRecord.of(4, "", {"a": "1", "b": "2"}))
    _, image = changed(image, ConfigRecord.of(4, "", {"a": None, "c": "3"}), index=2)
    assert image.config(4, "") == {"b": "2", "c": "3"}
    _, image = changed(image, ConfigRecord.of(4, "", {"b": None, "c": None}), index=3)
    assert not image.configs


def test_brokers_get_the_index_as_epoch_and_leave() -> None:
    _, image = changed(EMPTY_IMAGE, RegisterBrokerRecord(broker_id=2), index=5)
    assert image.brokers[2].epoch == 5
    delta, image = changed(image, UnregisterBrokerRecord(broker_id=2), index=6)
    assert delta.changed_brokers == {2: None}
    assert not image.brokers


def test_a_broker_change_is_what_it_names() -> None:
    _, image = changed(EMPTY_IMAGE, RegisterBrokerRecord(broker_id=2, fenced=True), index=5)
    _, image = changed(image, BrokerChangeRecord(broker_id=2, broker_epoch=5, fenced=0), index=6)
    assert (image.brokers[2].fenced, image.brokers[2].in_controlled_shutdown) == (False, False)
    left = BrokerChangeRecord(broker_id=2, broker_epoch=5, in_controlled_shutdown=1, directories=[b"d" * 16])
    _, image = changed(image, left, index=7)
    assert image.brokers[2].in_controlled_shutdown
    assert image.brokers[2].directories == (b"d" * 16,)
    assert image.brokers[2].epoch == 5
    with pytest.raises(AssertionError):
        changed(image, BrokerChangeRecord(broker_id=2, broker_epoch=4, fenced=1), index=8)


def test_partition_changes_share_what_is_equal() -> None:
    _, before = changed(
        EMPTY_IMAGE, TopicRecord(name="a", topic_id=ID, partitions=[run(6), run(1, leader=2)])
    )
    change = PartitionChangesRecord.Change(
        leader=3,
        isr=[3],
        topics=[PartitionChangesRecord.Partitions(topic_id=ID, partitions=encode_indexes([1, 4]))],
    )
    delta, after = changed(before, PartitionChangesRecord(changes=[change]), index=2)
    partitions = after.topics_by_name["a"].partitions
    assert [one.leader for one in partitions] == [1, 3, 1, 1, 3, 1, 2]
    assert partitions[1] is partitions[4]
    assert partitions[0] is before.topics_by_name["a"].partitions[0]
    assert (partitions[1].leader_epoch, partitions[1].partition_epoch) == (1, 1)
    assert list(delta.changed_topics) == [ID]
    assert not delta.is_new(delta.changed_topics[ID])


def test_a_feature_at_level_0_is_gone() -> None:
    _, image = changed(EMPTY_IMAGE, FeatureLevelRecord(name="f", feature_level=3))
    assert image.features == {"f": 3}
    assert not changed(image, FeatureLevelRecord(name="f", feature_level=0), index=2)[1].features


@pytest.mark.parametrize(
    "record",
    [
        RemoveTopicRecord(topic_id=b"?" * 16),
        PartitionsRecord(topic_id=b"?" * 16, first_partition=0, partitions=[run()]),
        PartitionsRecord(topic_id=ID, first_partition=5, partitions=[run()]),
        ProducerIdsRecord(broker_id=1, next_producer_id=1),
    ],
)
def test_a_record_that_does_not_fit_stops_the_node(record: Record) -> None:
    _, image = changed(
        EMPTY_IMAGE,
        TopicRecord(name="a", topic_id=ID, partitions=[run()]),
        ProducerIdsRecord(broker_id=1, next_producer_id=1000),
    )
    with pytest.raises(AssertionError):
        changed(image, record)


def test_the_delta_between_two_images_leads_from_one_to_the_other() -> None:
    _, one = changed(
        EMPTY_IMAGE,
        TopicRecord(name="a", topic_id=ID, partitions=[run()]),
        TopicRecord(name="b", topic_id=b"j" * 16, partitions=[run()]),
        ConfigRecord.of(2, "a", {"x": "1"}),
        RegisterBrokerRecord(broker_id=1),
        FeatureLevelRecord(name="f", feature_level=3),
    )
    _, two = changed(
        one,
        RemoveTopicRecord(topic_id=ID),
        PartitionsRecord(topic_id=b"j" * 16, first_partition=1, partitions=[run()]),
        ConfigRecord.of(4, "", {"z": "1"}),
        UnregisterBrokerRecord(broker_id=1),
        FeatureLevelRecord(name="f", feature_level=0),
        ProducerIdsRecord(broker_id=1, next_producer_id=1000),
        index=2,
    )
    for before, after in ((one, two), (two, one), (EMPTY_IMAGE, two), (one, one)):
        delta = delta_between(before, after)
        assert delta.build(after.applied_index) == after
    assert list(delta_between(one, two).deleted_topics) == [ID]
