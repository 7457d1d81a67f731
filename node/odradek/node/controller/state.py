"""The metadata state machine: entries of the metadata log in, images out.

Decides how a frame becomes an image and what a snapshot is (the records that rebuild the image). Does not
decide who may write. Every node runs it; only the leader of the metadata group proposes.

Invariants: entries are applied in index order, each once; the image after a snapshot and the entries behind
it equals the image of those who applied every entry; a snapshot of the same image has the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from odradek.node.controller.delta import Interned, MetadataDelta, delta_between
from odradek.node.controller.image import EMPTY_IMAGE, MetadataImage, PartitionImage
from odradek.node.controller.records import (
    ClusterRecord,
    ConfigRecord,
    FeatureLevelRecord,
    PartitionRun,
    ProducerIdsRecord,
    Record,
    RegisterBrokerRecord,
    SnapshotRecord,
    TopicRecord,
    decode_records,
    encode_records,
)

Publish = Callable[[MetadataDelta, MetadataImage], None]
OnLeadership = Callable[[bool, int], None]


class MetadataState:
    """A Raft state machine (`apply`, `snapshot`, `restore`, `on_leadership`) whose state is one image."""

    def __init__(self, publish: Publish, on_leadership: OnLeadership | None = None) -> None:
        self.image = EMPTY_IMAGE
        self._publish = publish
        self._on_leadership = on_leadership
        self._interned: Interned = {}

    def preview(self, image: MetadataImage, records: Sequence[Record]) -> MetadataImage:
        """`image` as it will be once `records` are agreed on; changes nothing."""
        delta = MetadataDelta(image, self._interned)
        delta.replay(records, image.applied_index)
        return delta.build(image.applied_index)

    def apply(self, index: int, data: bytes) -> None:
        assert index > self.image.applied_index, f"entry {index} applied after {self.image.applied_index}"
        delta = MetadataDelta(self.image, self._interned)
        delta.replay(decode_records(data), index)
        self.image = delta.build(index)
        self._publish(delta, self.image)

    def snapshot(self) -> bytes:
        return encode_records(image_records(self.image))

    def restore(self, data: bytes) -> None:
        before = self.image
        records = decode_records(data)
        head = records[0] if records else None
        assert isinstance(head, SnapshotRecord), f"a metadata snapshot begins with {head!r}"
        loaded = MetadataDelta(EMPTY_IMAGE, self._interned)
        loaded.replay(records, head.applied_index)
        self.image = loaded.build(head.applied_index)
        self._publish(delta_between(before, self.image), self.image)

    def on_leadership(self, is_leader: bool, term: int) -> None:
        if self._on_leadership is not None:
            self._on_leadership(is_leader, term)


def image_records(image: MetadataImage) -> Iterator[Record]:
    """The records that build `image` from nothing, in an order that depends on the image alone."""
    yield SnapshotRecord(applied_index=image.applied_index)
    if image.cluster_id:
        yield ClusterRecord(cluster_id=image.cluster_id)
    for name, level in sorted(image.features.items()):
        yield FeatureLevelRecord(name=name, feature_level=level)
    for _, broker in sorted(image.brokers.items()):
        yield RegisterBrokerRecord.of(broker)
    for topic in sorted(image.topics_by_id.values(), key=lambda topic: topic.name):
        yield TopicRecord(name=topic.name, topic_id=topic.topic_id, partitions=_runs(topic.partitions))
    for (resource_type, name), configs in sorted(image.configs.items(), key=lambda item: item[0]):
        yield ConfigRecord.of(resource_type, name, dict(sorted(configs.items())))
    if image.next_producer_id:
        yield ProducerIdsRecord(broker_id=-1, next_producer_id=image.next_producer_id)


def _runs(partitions: tuple[PartitionImage, ...]) -> list[PartitionRun]:
    runs: list[PartitionRun] = []
    previous: PartitionImage | None = None
    for partition in partitions:
        if partition is previous or partition == previous:
            runs[-1].count += 1
            continue
        previous = partition
        runs.append(PartitionRun.of(1, partition))
    return runs
