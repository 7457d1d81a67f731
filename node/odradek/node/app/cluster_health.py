"""How the cluster is, as one image has it: what each node has, and how many partitions are in need. Pure.

Decides what is counted, and how: a partition cannot have more in-sync replicas than replicas, so `min.insync.replicas`
asks for no more either, as where records are taken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

from odradek.node.controller.image import NO_LEADER, MetadataImage


class ClusterHealth(NamedTuple):
    """Numbers of partitions; `leaders` and `replicas` by node id."""

    partitions: int
    leaderless: int
    under_replicated: int
    under_min_in_sync: int
    leaders: Mapping[int, int]
    replicas: Mapping[int, int]


def health_of(image: MetadataImage, min_insync_replicas: Callable[[str], int]) -> ClusterHealth:
    """`min_insync_replicas` is the setting of a topic by its name."""
    partitions = leaderless = under_replicated = under_min_in_sync = 0
    leaders: Counter[int] = Counter()
    replicas: Counter[int] = Counter()
    for name, topic in image.topics_by_name.items():
        min_in_sync = min_insync_replicas(name)
        for place in topic.partitions:
            partitions += 1
            replicas.update(place.replicas)
            if place.leader == NO_LEADER:
                leaderless += 1
            else:
                leaders[place.leader] += 1
            in_sync = len(place.isr)
            under_replicated += in_sync < len(place.replicas)
            under_min_in_sync += in_sync < min(min_in_sync, len(place.replicas))
    return ClusterHealth(partitions, leaderless, under_replicated, under_min_in_sync, leaders, replicas)
