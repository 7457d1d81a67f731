"""Which topics a broker is in, and which need attention: what the controller must find without visiting all partitions.

Decides what is indexed: for every broker the topics with a replica on it; the topics with a partition that has no
leader, is not led by its preferred replica, has eligible leader replicas, or is being reassigned; and how many
partitions prefer each broker as leader. The unit is a topic: whoever asks looks through the partitions of those found.

An image has no index until `index_of` is first asked for one; from then on each next image's is derived from the one
before, at the cost of what changed. So a node that is no controller pays nothing.

Invariant: the derived index equals one made from nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from odradek.node.controller.image import (
    EMPTY_IMAGE,
    MetadataImage,
    PartitionImage,
    TopicImage,
    TopicSummary,
)
from odradek.node.controller.persistent_map import PersistentMap

LEADERLESS: Final = -1
UNBALANCED: Final = -2
WITH_ELR: Final = -3
REASSIGNING: Final = -4

TopicSet = PersistentMap[bytes, bool]
PartitionMove = tuple[PartitionImage, PartitionImage, int]
"""(before, after, number of partitions)"""
_NO_TOPICS: Final[TopicSet] = PersistentMap()


class ReplicaIndex(NamedTuple):
    """`topics` by broker id, and by the negative numbers above. `preferred`: partitions by preferred leader."""

    topics: Mapping[int, TopicSet]
    preferred: Mapping[int, int]

    def ids(self, key: int) -> TopicSet:
        return self.topics.get(key, _NO_TOPICS)

    def updated(self, changes: Iterable[tuple[TopicImage | None, TopicImage | None]]) -> ReplicaIndex:
        """The index after topics became others; None is a topic that is not there."""
        edits: dict[int, dict[bytes, bool | None]] = {}
        preferred = dict(self.preferred)
        for before, after in changes:
            old = _NOTHING if before is None else summary_of(before)
            new = _NOTHING if after is None else summary_of(after)
            either = after or before
            assert either is not None, "a change from nothing to nothing"
            old_keys, new_keys = _keys(old), _keys(new)
            if old_keys != new_keys:
                for key in old_keys - new_keys:
                    edits.setdefault(key, {})[either.topic_id] = None
                for key in new_keys - old_keys:
                    edits.setdefault(key, {})[either.topic_id] = True
            if old.preferred is not new.preferred:
                for broker, count in old.preferred.items():
                    preferred[broker] = preferred.get(broker, 0) - count
                for broker, count in new.preferred.items():
                    preferred[broker] = preferred.get(broker, 0) + count
        topics = dict(self.topics)
        for key, edit in edits.items():
            edited = self.ids(key).updated(edit)
            if edited:
                topics[key] = edited
            else:
                topics.pop(key, None)
        return ReplicaIndex(topics, {broker: count for broker, count in preferred.items() if count})


_NOTHING: Final = TopicSummary(frozenset(), {}, 0, 0, 0, 0)
_EMPTY_INDEX: Final = ReplicaIndex({}, {})


def index_of(image: MetadataImage) -> ReplicaIndex:
    """The image's index, made now if nobody asked before."""
    index = image.replica_index
    if image is EMPTY_IMAGE:
        return _EMPTY_INDEX  # shared: kept there, it would be derived from by everybody
    if index is None:
        index = _EMPTY_INDEX.updated((None, topic) for topic in image.topics_by_id.values())
        object.__setattr__(image, "replica_index", index)  # derived: the image's value stays the same
    return index


def topics_under(image: MetadataImage, key: int) -> Iterator[TopicImage]:
    """The topics that the index has under a broker id, or under one of the negative numbers above."""
    for topic_id in index_of(image).ids(key):
        yield image.topics_by_id[topic_id]


def summary_of(topic: TopicImage) -> TopicSummary:
    summary = topic.summary
    if summary is None:
        summary = topic.summary = _summarize(topic.partitions)
    return summary


def carry_summary(before: TopicImage, after: TopicImage, moves: Iterable[PartitionMove]) -> None:
    """Gives `after` its summary from that of `before` and the partitions that changed."""
    summary = before.summary
    if summary is None:
        return
    leaderless, unbalanced, with_elr, reassigning = summary[2:]
    for old, new, count in moves:
        if old.replicas != new.replicas:
            return  # rare: counted anew when somebody asks
        if not new.replicas:
            continue
        leaderless += count * ((new.leader < 0) - (old.leader < 0))
        unbalanced += count * ((new.leader != new.replicas[0]) - (old.leader != old.replicas[0]))
        with_elr += count * (bool(new.eligible_leader_replicas) - bool(old.eligible_leader_replicas))
        reassigning += count * (is_reassigning(new) - is_reassigning(old))
    after.summary = TopicSummary(
        summary.brokers, summary.preferred, leaderless, unbalanced, with_elr, reassigning
    )


def is_reassigning(partition: PartitionImage) -> bool:
    return bool(partition.adding_replicas or partition.removing_replicas)


def _summarize(partitions: tuple[PartitionImage, ...]) -> TopicSummary:
    """Equal partitions are mostly one object: counting objects first makes a large topic cheap."""
    objects = {id(partition): partition for partition in partitions}
    brokers: set[int] = set()
    preferred: dict[int, int] = {}
    leaderless = unbalanced = with_elr = reassigning = 0
    for key, count in Counter(map(id, partitions)).items():
        partition = objects[key]
        if not partition.replicas:
            continue
        brokers.update(partition.replicas)
        first = partition.replicas[0]
        preferred[first] = preferred.get(first, 0) + count
        leaderless += count * (partition.leader < 0)
        unbalanced += count * (partition.leader != first)
        with_elr += count * bool(partition.eligible_leader_replicas)
        reassigning += count * is_reassigning(partition)
    return TopicSummary(frozenset(brokers), preferred, leaderless, unbalanced, with_elr, reassigning)


def _keys(summary: TopicSummary) -> frozenset[int]:
    marks = [
        mark for mark, count in zip((LEADERLESS, UNBALANCED, WITH_ELR, REASSIGNING), summary[2:]) if count
    ]
    return summary.brokers.union(marks) if marks else summary.brokers
