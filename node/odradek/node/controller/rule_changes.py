"""What a changed topic config means for partitions at once: `min.insync.replicas` and `unclean.leader.election.enable`.

Decides which partitions change in the entry that changes the config. A smaller minimum makes an ISR large enough: its
eligible leader replicas must go in the same entry, because from then on records are committed without them. Allowed
unclean elections are held where nobody leads.

Source: KIP-966.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Final

from odradek.node.controller.elections import (
    Electorate,
    RulesOf,
    TopicRules,
    change_partitions,
    next_state,
    unclean_if_allowed,
)
from odradek.node.controller.image import MetadataImage, PartitionImage, ResourceType
from odradek.node.controller.records import ConfigRecord, Record
from odradek.node.controller.replica_index import LEADERLESS, WITH_ELR, index_of

RULES: Final = frozenset(("min.insync.replicas", "unclean.leader.election.enable"))


def touched_topics(records: Sequence[Record]) -> frozenset[str] | None:
    """The topics whose rules the records may change; None for all topics."""
    names: set[str] = set()
    for record in records:
        if isinstance(record, ConfigRecord) and any(change.name in RULES for change in record.changes):
            if record.resource_type != ResourceType.TOPIC:
                return None
            names.add(record.resource_name)
    return frozenset(names)


def follow_rules(image: MetadataImage, names: Container[str] | None, rules_of: RulesOf) -> list[Record]:
    """The changes of partitions in `names`, None for all; `image` and `rules_of` are those after the change."""
    electorate = Electorate.of(image)
    index = index_of(image)
    topics = [
        topic
        for topic_id in {**index.ids(WITH_ELR), **index.ids(LEADERLESS)}
        if (topic := image.topics_by_id[topic_id]) and (names is None or topic.name in names)
    ]

    def follow(before: PartitionImage, rules: TopicRules) -> PartitionImage:
        if before.leader >= 0 and not before.eligible_leader_replicas:
            return before
        return next_state(before, electorate, rules, election=unclean_if_allowed(rules))

    return change_partitions(topics, rules_of, follow).records()
