"""What a batch of records changes in an image: built by replaying records, then turned into the next image.

Decides what each record means. Does not decide whether a change is wise: records in the log have been
agreed on, so one that does not fit the image is a broken invariant and stops the node.

The delta is also what listeners get, beside the new image: created and changed topics, deleted topics,
changed configs and brokers. Its size is that of the change, never that of the cluster. Equal partitions
become one object.

Source: KIP-500 and Kafka's MetadataDelta, for the idea.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from odradek.node.controller.image import (
    BrokerImage,
    ConfigResource,
    Configs,
    MetadataImage,
    PartitionImage,
    ResourceType,
    TopicImage,
    collision_key,
    may_collide,
)
from odradek.node.controller.partition_changes import apply_change, decode_indexes, decoded
from odradek.node.controller.records import (
    BrokerChangeRecord,
    ClusterRecord,
    ConfigRecord,
    FeatureLevelRecord,
    PartitionChangesRecord,
    PartitionRun,
    PartitionsRecord,
    ProducerIdsRecord,
    Record,
    RegisterBrokerRecord,
    RemoveTopicRecord,
    SnapshotRecord,
    TopicRecord,
    UnregisterBrokerRecord,
)
from odradek.node.controller.replica_index import PartitionMove, ReplicaIndex, carry_summary

INTERNED_PARTITIONS_MAX: Final = 4096

Interned = dict[PartitionImage, PartitionImage]


class MetadataDelta:
    """Changes from `before` on. `changed_topics` holds topics as they are now, new ones among them;
    `deleted_topics` as they last were. In `changed_configs` and `changed_brokers` None means gone.
    """

    def __init__(self, before: MetadataImage, interned: Interned | None = None) -> None:
        self.before = before
        self.changed_topics: dict[bytes, TopicImage] = {}
        self.deleted_topics: dict[bytes, TopicImage] = {}
        self.changed_configs: dict[ConfigResource, Configs | None] = {}
        self.changed_brokers: dict[int, BrokerImage | None] = {}
        self.changed_features: dict[str, int] = {}
        self.cluster_id = before.cluster_id
        self.next_producer_id = before.next_producer_id
        self._interned: Interned = {} if interned is None else interned

    def is_new(self, topic: TopicImage) -> bool:
        """Whether a changed topic was created by this delta."""
        return topic.topic_id not in self.before.topics_by_id

    def replay(self, records: Sequence[Record], index: int) -> None:
        """Takes over `records` of the entry `index`."""
        for record in records:
            _REPLAY[type(record)](self, record, index)

    def build(self, index: int) -> MetadataImage:
        """The image after the changes; `index` is the last entry in it."""
        before = self.before
        by_name, by_id, partition_count = self._build_topics()
        return MetadataImage(
            applied_index=index,
            cluster_id=self.cluster_id,
            brokers=_merged(before.brokers, self.changed_brokers),
            topics_by_name=before.topics_by_name.updated(by_name),
            topics_by_id=before.topics_by_id.updated(by_id),
            configs=before.configs.updated(self.changed_configs),
            collisions=before.collisions.updated(self._build_collisions(by_name)),
            next_producer_id=self.next_producer_id,
            features=_merged(before.features, {n: v or None for n, v in self.changed_features.items()}),
            partition_count=partition_count,
            replica_index=self._build_index(),
        )

    def _build_index(self) -> ReplicaIndex | None:
        index = self.before.replica_index
        if index is None or not (self.changed_topics or self.deleted_topics):
            return index
        changes: list[tuple[TopicImage | None, TopicImage | None]] = [
            (topic, None) for topic in self.deleted_topics.values()
        ]
        changes += [
            (self.before.topics_by_id.get(topic_id), topic) for topic_id, topic in self.changed_topics.items()
        ]
        return index.updated(changes)

    def _build_topics(self) -> tuple[dict[str, TopicImage | None], dict[bytes, TopicImage | None], int]:
        by_name: dict[str, TopicImage | None] = {}
        by_id: dict[bytes, TopicImage | None] = {}
        partition_count = self.before.partition_count
        for topic_id, topic in self.deleted_topics.items():
            by_name[topic.name] = by_id[topic_id] = None
            partition_count -= len(topic.partitions)
        for topic_id, topic in self.changed_topics.items():
            earlier = self.before.topics_by_id.get(topic_id)
            by_name[topic.name] = by_id[topic_id] = topic
            partition_count += len(topic.partitions) - (0 if earlier is None else len(earlier.partitions))
        return by_name, by_id, partition_count

    def _build_collisions(self, by_name: dict[str, TopicImage | None]) -> dict[str, tuple[str, ...] | None]:
        changes: dict[str, tuple[str, ...] | None] = {}
        for name, topic in by_name.items():
            if not may_collide(name):
                continue
            key = collision_key(name)
            names = changes[key] if key in changes else self.before.collisions.get(key)
            others = tuple(other for other in names or () if other != name)
            changes[key] = (others if topic is None else (*others, name)) or None
        return changes

    def _find_topic(self, topic_id: bytes) -> TopicImage:
        topic = self.changed_topics.get(topic_id)
        if topic is None and topic_id not in self.deleted_topics:
            topic = self.before.topics_by_id.get(topic_id)
        assert topic is not None, f"a metadata record names topic {topic_id.hex()}, which does not exist"
        return topic

    def _partitions(self, runs: Sequence[PartitionRun]) -> tuple[PartitionImage, ...]:
        partitions: list[PartitionImage] = []
        for run in runs:
            partitions += [self._shared(run.image())] * run.count
        return tuple(partitions)

    def _shared(self, image: PartitionImage) -> PartitionImage:
        shared = self._interned.get(image)
        if shared is None:
            if len(self._interned) >= INTERNED_PARTITIONS_MAX:
                self._interned.clear()
            shared = self._interned[image] = image
        return shared

    def _replay_snapshot(self, record: SnapshotRecord, index: int) -> None:
        """Says where the snapshot stands; changes nothing."""

    def _replay_cluster(self, record: ClusterRecord, index: int) -> None:
        self.cluster_id = record.cluster_id

    def _replay_feature(self, record: FeatureLevelRecord, index: int) -> None:
        self.changed_features[record.name] = record.feature_level

    def _replay_register_broker(self, record: RegisterBrokerRecord, index: int) -> None:
        self.changed_brokers[record.broker_id] = record.image(index)

    def _replay_unregister_broker(self, record: UnregisterBrokerRecord, index: int) -> None:
        self.changed_brokers[record.broker_id] = None

    def _replay_broker_change(self, record: BrokerChangeRecord, index: int) -> None:
        broker = self.changed_brokers.get(record.broker_id, self.before.brokers.get(record.broker_id))
        assert broker is not None and broker.epoch == record.broker_epoch, (
            f"a change of broker {record.broker_id}, epoch {record.broker_epoch}, where {broker} is registered"
        )
        if record.fenced >= 0:
            broker = replace(broker, fenced=bool(record.fenced))
        if record.in_controlled_shutdown >= 0:
            broker = replace(broker, in_controlled_shutdown=bool(record.in_controlled_shutdown))
        if record.directories is not None:
            broker = replace(broker, directories=tuple(record.directories))
        self.changed_brokers[record.broker_id] = broker

    def _replay_topic(self, record: TopicRecord, index: int) -> None:
        self.changed_topics[record.topic_id] = TopicImage(
            record.name, record.topic_id, self._partitions(record.partitions)
        )

    def _replay_partitions(self, record: PartitionsRecord, index: int) -> None:
        topic = self._find_topic(record.topic_id)
        assert record.first_partition == len(topic.partitions), (
            f"partitions from {record.first_partition} on, where {topic.name} has {len(topic.partitions)}"
        )
        self.changed_topics[record.topic_id] = TopicImage(
            topic.name, topic.topic_id, topic.partitions + self._partitions(record.partitions)
        )

    def _replay_partition_changes(self, record: PartitionChangesRecord, index: int) -> None:
        """Visits what changes, and copies the partitions of each changed topic once."""
        topics: dict[bytes, TopicImage] = {}
        changed: dict[bytes, list[PartitionImage]] = {}
        moves: dict[bytes, list[PartitionMove]] = {}
        for coded in record.changes:
            change = decoded(coded)
            made: dict[int, tuple[PartitionImage, PartitionImage]] = {}  # by the id of what was there before
            for part in coded.topics:
                topic_id = part.topic_id
                if topic_id not in topics:
                    topics[topic_id] = self._find_topic(topic_id)
                    changed[topic_id], moves[topic_id] = list(topics[topic_id].partitions), []
                originals, partitions = topics[topic_id].partitions, changed[topic_id]
                counts: dict[int, int] = {}
                for number in decode_indexes(part.partitions):
                    before = originals[number]
                    key = id(before)
                    if key not in made:
                        made[key] = before, self._shared(apply_change(before, change))
                    partitions[number] = made[key][1]
                    counts[key] = counts.get(key, 0) + 1
                moves[topic_id] += [(*made[key], count) for key, count in counts.items()]
        for topic_id, partitions in changed.items():
            topic = TopicImage(topics[topic_id].name, topic_id, tuple(partitions))
            carry_summary(topics[topic_id], topic, moves[topic_id])
            self.changed_topics[topic_id] = topic

    def _replay_remove_topic(self, record: RemoveTopicRecord, index: int) -> None:
        topic = self._find_topic(record.topic_id)
        self.changed_topics.pop(record.topic_id, None)
        earlier = self.before.topics_by_id.get(record.topic_id)
        if earlier is not None:
            self.deleted_topics[record.topic_id] = earlier
        resource = (int(ResourceType.TOPIC), topic.name)
        if resource in self.before.configs:
            self.changed_configs[resource] = None
        else:
            self.changed_configs.pop(resource, None)

    def _replay_config(self, record: ConfigRecord, index: int) -> None:
        resource = (record.resource_type, record.resource_name)
        if resource in self.changed_configs:
            now = self.changed_configs[resource]
        else:
            now = self.before.configs.get(resource)
        configs = dict(now or {})
        for change in record.changes:
            if change.value is None:
                configs.pop(change.name, None)
            else:
                configs[change.name] = change.value
        self.changed_configs[resource] = configs or None

    def _replay_producer_ids(self, record: ProducerIdsRecord, index: int) -> None:
        assert record.next_producer_id >= self.next_producer_id, "producer ids are never given out twice"
        self.next_producer_id = record.next_producer_id


_REPLAY: Final[dict[type[Record], Callable[[MetadataDelta, Any, int], None]]] = {
    SnapshotRecord: MetadataDelta._replay_snapshot,
    ClusterRecord: MetadataDelta._replay_cluster,
    FeatureLevelRecord: MetadataDelta._replay_feature,
    RegisterBrokerRecord: MetadataDelta._replay_register_broker,
    UnregisterBrokerRecord: MetadataDelta._replay_unregister_broker,
    TopicRecord: MetadataDelta._replay_topic,
    PartitionsRecord: MetadataDelta._replay_partitions,
    RemoveTopicRecord: MetadataDelta._replay_remove_topic,
    ConfigRecord: MetadataDelta._replay_config,
    ProducerIdsRecord: MetadataDelta._replay_producer_ids,
    BrokerChangeRecord: MetadataDelta._replay_broker_change,
    PartitionChangesRecord: MetadataDelta._replay_partition_changes,
}


def delta_between(before: MetadataImage, after: MetadataImage) -> MetadataDelta:
    """The delta from one image to another: after a snapshot was loaded, or for a listener that joins late.

    Visits both images once.
    """
    delta = MetadataDelta(before)
    delta.cluster_id = after.cluster_id
    delta.next_producer_id = after.next_producer_id
    for topic_id, topic in after.topics_by_id.items():
        if before.topics_by_id.get(topic_id) != topic:
            delta.changed_topics[topic_id] = topic
    for topic_id, topic in before.topics_by_id.items():
        if topic_id not in after.topics_by_id:
            delta.deleted_topics[topic_id] = topic
    for resource, configs in after.configs.items():
        if before.configs.get(resource) != configs:
            delta.changed_configs[resource] = configs
    delta.changed_configs.update(
        {resource: None for resource in before.configs if resource not in after.configs}
    )
    for broker_id, broker in after.brokers.items():
        if before.brokers.get(broker_id) != broker:
            delta.changed_brokers[broker_id] = broker
    delta.changed_brokers.update({broker: None for broker in before.brokers if broker not in after.brokers})
    delta.changed_features = {n: v for n, v in after.features.items() if before.features.get(n) != v}
    delta.changed_features.update({name: 0 for name in before.features if name not in after.features})
    return delta


def _merged(before: Any, changes: dict[Any, Any]) -> Any:
    """A small mapping with changes, in key order; None removes. The same object when nothing changes."""
    if not changes:
        return before
    merged = {**before, **changes}
    return {key: merged[key] for key in sorted(merged) if merged[key] is not None}
