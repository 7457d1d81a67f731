from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from odradek.node.controller.brokers import (
    ClusterMismatchError,
    Registration,
    found_cluster,
    register_broker,
)
from odradek.node.controller.elections import TopicRules
from odradek.node.controller.image import EMPTY_IMAGE, BrokerImage, MetadataImage
from odradek.node.controller.records import ClusterRecord, FeatureLevelRecord, RegisterBrokerRecord


def test_an_empty_log_is_given_a_cluster() -> None:
    result = found_cluster(EMPTY_IMAGE, "mine", {"b": 2, "a": 1})
    assert result.records == [
        ClusterRecord(cluster_id="mine"),
        FeatureLevelRecord(name="a", feature_level=1),
        FeatureLevelRecord(name="b", feature_level=2),
    ]


def test_a_log_with_a_cluster_keeps_it(image: MetadataImage) -> None:
    assert not found_cluster(image, "a-cluster", {}).records
    with pytest.raises(ClusterMismatchError, match="belongs to cluster a-cluster"):
        found_cluster(image, "other", {})


def rules(topic: str) -> TopicRules:
    return TopicRules(2)


def test_a_registration_is_everything_but_the_epoch_and_fenced(
    image: MetadataImage, make_broker: Callable[..., BrokerImage]
) -> None:
    asked = Registration(make_broker(4, "rack", directories=2), "a-cluster")
    (record,) = register_broker(image, asked, rules).records
    assert isinstance(record, RegisterBrokerRecord)
    registered = record.image(77)
    assert registered.epoch == 77
    assert registered == replace(make_broker(4, "rack", directories=2), epoch=77, fenced=True)
