"""Giving leadership back to the preferred replicas, a few partitions at a time.

Decides which brokers lead too little and which partitions go back to them. Does not decide when to look: the shell
looks at an interval, and only while the index has partitions that are not led by their preferred replica.

Source: Kafka's `auto.leader.rebalance.enable` and `leader.imbalance.per.broker.percentage`.
"""

from __future__ import annotations

from typing import Final

from odradek.node.controller.elections import Election, Electorate, RulesOf, next_state
from odradek.node.controller.image import MetadataImage, PartitionImage
from odradek.node.controller.partition_changes import PartitionChanges
from odradek.node.controller.records import Result
from odradek.node.controller.replica_index import UNBALANCED, index_of, topics_under

ELECTIONS_PER_ENTRY_MAX: Final = 100


def needs_balance(image: MetadataImage) -> bool:
    """Whether any partition is not led by its preferred replica: one look-up."""
    return bool(index_of(image).ids(UNBALANCED))


def balance_leaders(
    image: MetadataImage, percentage: int, rules_of: RulesOf, limit: int = ELECTIONS_PER_ENTRY_MAX
) -> Result[bool]:
    """Elects preferred leaders of brokers of whose partitions more than `percentage` are led elsewhere.

    At most `limit` partitions; the response says whether there is more to do.
    """
    electorate = Electorate.of(image)
    lost: dict[int, int] = {}
    found: list[tuple[bytes, int, PartitionImage, str]] = []
    for topic in topics_under(image, UNBALANCED):
        for number, partition in enumerate(topic.partitions):
            preferred = partition.replicas[0]
            if partition.leader != preferred:
                lost[preferred] = lost.get(preferred, 0) + 1
                if preferred in partition.isr and electorate.is_active(preferred):
                    found.append((topic.topic_id, number, partition, topic.name))
    preferred_of = index_of(image).preferred
    over = {broker for broker, count in lost.items() if count * 100 > percentage * preferred_of[broker]}
    changes = PartitionChanges()
    for topic_id, number, partition, name in found:
        if partition.replicas[0] not in over:
            continue
        if changes.count == limit:
            return Result(changes.records(), True)
        after = next_state(partition, electorate, rules_of(name), election=Election.PREFERRED)
        changes.add(topic_id, number, partition, after)
    return Result(changes.records(), False)
