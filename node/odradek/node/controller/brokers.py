"""Which brokers belong to the cluster: its identity and the registration of its nodes.

Decides the records that found a cluster and register a broker. A broker is live from its registration on:
heartbeats and fencing do not exist yet, with one node there is nobody to miss them.

Source: KIP-631.
"""

from __future__ import annotations

from collections.abc import Mapping

from odradek.node.controller.image import BrokerImage, MetadataImage
from odradek.node.controller.records import (
    ClusterRecord,
    FeatureLevelRecord,
    Record,
    RegisterBrokerRecord,
    Result,
)


class ClusterMismatchError(Exception):
    """The metadata log belongs to another cluster; the text is a sentence for the operator."""


def found_cluster(image: MetadataImage, cluster_id: str, features: Mapping[str, int]) -> Result[str]:
    """Names a new cluster, or checks the name of an existing one. Raises `ClusterMismatchError`."""
    if image.cluster_id:
        if image.cluster_id != cluster_id:
            raise ClusterMismatchError(
                f"the metadata log belongs to cluster {image.cluster_id}, this node to cluster {cluster_id}"
            )
        return Result([], image.cluster_id)
    records: list[Record] = [ClusterRecord(cluster_id=cluster_id)]
    records += [
        FeatureLevelRecord(name=name, feature_level=level) for name, level in sorted(features.items())
    ]
    return Result(records, cluster_id)


def register_broker(image: MetadataImage, broker: BrokerImage) -> Result[None]:
    """Registers a starting broker; its epoch becomes the index of the record, whatever `broker.epoch` is."""
    record = RegisterBrokerRecord.of(broker)
    record.broker_epoch = -1
    return Result([record], None)
