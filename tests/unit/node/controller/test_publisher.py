from __future__ import annotations

from odradek.node.controller.delta import MetadataDelta
from odradek.node.controller.image import MetadataImage
from odradek.node.controller.publisher import Publisher
from odradek.node.controller.records import (
    ClusterRecord,
    PartitionRun,
    Record,
    RemoveTopicRecord,
    TopicRecord,
    encode_records,
)
from odradek.node.controller.state import MetadataState


class Heard:
    def __init__(self) -> None:
        self.deltas: list[MetadataDelta] = []
        self.images: list[MetadataImage] = []

    def __call__(self, delta: MetadataDelta, image: MetadataImage) -> None:
        self.deltas.append(delta)
        self.images.append(image)


def topic(name: str, number: int) -> TopicRecord:
    return TopicRecord(
        name=name,
        topic_id=bytes([number]) * 16,
        partitions=[PartitionRun(count=1, replicas=[1], leader=1)],
    )


def apply_all(state: MetadataState, *records: Record) -> None:
    for record in records:
        state.apply(state.image.applied_index + 1, encode_records([record]))


def test_every_change_is_handed_out_once_open() -> None:
    publisher, heard = Publisher(), Heard()
    state = MetadataState(publisher.publish)
    publisher.subscribe(heard)
    publisher.open()
    apply_all(state, ClusterRecord(cluster_id="c"), topic("a", 1))
    assert [image.applied_index for image in heard.images] == [1, 2]
    assert [one.name for one in heard.deltas[1].changed_topics.values()] == ["a"]


def test_the_past_is_not_relived_at_a_start() -> None:
    """A deletion that was replayed would take the data of the topic that has the name now."""
    publisher, heard = Publisher(), Heard()
    state = MetadataState(publisher.publish)
    publisher.subscribe(heard)
    apply_all(state, topic("a", 1), RemoveTopicRecord(topic_id=b"\x01" * 16), topic("a", 2))
    assert not heard.deltas
    publisher.open()
    publisher.open()
    (delta,) = heard.deltas
    assert not delta.deleted_topics
    assert list(delta.changed_topics) == [b"\x02" * 16]


def test_a_late_listener_gets_everything_as_one_delta() -> None:
    publisher, early, late = Publisher(), Heard(), Heard()
    state = MetadataState(publisher.publish)
    publisher.open()
    publisher.subscribe(early)
    apply_all(state, topic("a", 1), topic("b", 2))
    publisher.subscribe(late)
    (delta,) = late.deltas
    assert {one.name for one in delta.changed_topics.values()} == {"a", "b"}
    apply_all(state, topic("c", 3))
    assert late.images[-1] is early.images[-1]


def test_nothing_is_handed_out_while_there_is_nothing() -> None:
    publisher, heard = Publisher(), Heard()
    publisher.subscribe(heard)
    publisher.open()
    assert not heard.deltas
