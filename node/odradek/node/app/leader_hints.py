"""Whom to ask instead: the leader of a partition that this node does not lead, and where it is (KIP-951).

With it a client moves to the new leader without asking for the metadata first. Decides nothing: the image knows.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from odradek.node.app.cluster import BrokerAddress
from odradek.node.app.context import RequestContext
from odradek.node.controller.image import PartitionImage


class Cluster(Protocol):
    """`ClusterService`."""

    def partition(self, topic: str, index: int) -> PartitionImage | None: ...
    def broker(self, context: RequestContext, broker_id: int) -> BrokerAddress | None: ...


class LeaderHint(NamedTuple):
    """`address` is None where this client cannot reach the leader, or there is none."""

    leader_id: int
    leader_epoch: int
    address: BrokerAddress | None


class LeaderHints:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def of(self, context: RequestContext, topic: str, index: int) -> LeaderHint | None:
        """None for a partition that nobody knows."""
        place = self._cluster.partition(topic, index)
        if place is None:
            return None
        address = self._cluster.broker(context, place.leader) if place.leader >= 0 else None
        return LeaderHint(place.leader, place.leader_epoch, address)
