from __future__ import annotations

from collections.abc import Callable

import pytest

from odradek.node.config import NodeConfig
from odradek.node.controller.effective import EffectiveConfigs
from odradek.node.controller.image import MetadataImage, ResourceType
from odradek.node.controller.records import ConfigRecord, Record

After = Callable[[MetadataImage, list[Record]], MetadataImage]

TOPIC, BROKER, GROUP, METRICS = (
    ResourceType.TOPIC,
    ResourceType.BROKER,
    ResourceType.GROUP,
    ResourceType.CLIENT_METRICS,
)


def set_config(kind: int, name: str, **configs: str) -> ConfigRecord:
    return ConfigRecord.of(kind, name, {key.replace("_", "."): value for key, value in configs.items()})


class TestWhichValueCounts:
    def test_topic_over_broker_over_all_brokers_over_file_over_default(
        self, image: MetadataImage, after: After
    ) -> None:
        def retention(effective: EffectiveConfigs, image: MetadataImage) -> int:
            return effective.log_config(image, "t").retention_ms

        assert retention(EffectiveConfigs(NodeConfig()), image) == 604_800_000
        effective = EffectiveConfigs(NodeConfig({"log.retention.ms": "1000"}))
        assert retention(effective, image) == 1000
        image = after(image, [set_config(BROKER, "", log_retention_ms="2000")])
        assert retention(effective, image) == 2000
        image = after(image, [set_config(BROKER, "1", log_retention_ms="3000")])
        assert retention(effective, image) == 3000
        image = after(image, [set_config(TOPIC, "t", retention_ms="4000")])
        assert retention(effective, image) == 4000
        assert effective.log_config(image, "u").retention_ms == 3000

    def test_another_brokers_configs_do_not_count(
        self, image: MetadataImage, after: After, effective: EffectiveConfigs
    ) -> None:
        image = after(image, [set_config(BROKER, "2", log_retention_ms="9")])
        assert effective.log_config(image, "t").retention_ms == 604_800_000

    def test_equal_overrides_share_one_config(
        self, image: MetadataImage, after: After, effective: EffectiveConfigs
    ) -> None:
        image = after(
            image, [set_config(TOPIC, name, retention_ms="5", segment_bytes="1048576") for name in "ab"]
        )
        assert effective.log_config(image, "a") is effective.log_config(image, "b")
        assert effective.log_config(image, "c") is effective.log_config(image, "d")

    def test_a_node_is_made_again_only_when_its_configs_changed(
        self, image: MetadataImage, after: After, effective: EffectiveConfigs
    ) -> None:
        node = effective.node(image)
        image = after(image, [set_config(TOPIC, "t", retention_ms="5")])
        assert effective.node(image) is node
        image = after(image, [set_config(BROKER, "", message_max_bytes="77")])
        assert effective.node(image).message_max_bytes == 77

    def test_configs_that_cannot_be_used_here_are_left_out(
        self, image: MetadataImage, after: After, effective: EffectiveConfigs
    ) -> None:
        image = after(
            image,
            [set_config(BROKER, "", message_max_bytes="many"), set_config(TOPIC, "t", retention_ms="x")],
        )
        assert effective.node(image).message_max_bytes == 1_048_588
        assert effective.log_config(image, "t").retention_ms == 604_800_000

    def test_defaults_of_new_topics(self, image: MetadataImage, effective: EffectiveConfigs) -> None:
        assert effective.topic_defaults(image).num_partitions == 3
        assert effective.topic_defaults(image).replication_factor == 1


class TestChecks:
    @pytest.mark.parametrize(
        ("kind", "name", "configs"),
        [
            (TOPIC, "t", {"retention.ms": "5", "cleanup.policy": "compact,delete"}),
            (BROKER, "1", {"log.retention.ms": "5"}),
            (BROKER, "", {"message.max.bytes": "5"}),
            (BROKER, "1", {"leader.replication.throttled.rate": "5"}),
            (BROKER, "1", {"listener.name.internal.ssl.keystore.location": "/x"}),
            (GROUP, "g", {"consumer.session.timeout.ms": "50000"}),
            (GROUP, "g", {"share.auto.offset.reset": "earliest"}),
            (METRICS, "m", {"interval.ms": "1000", "match": "client_id=a.*", "metrics": "*"}),
        ],
    )
    def test_accepted(
        self,
        image: MetadataImage,
        effective: EffectiveConfigs,
        kind: ResourceType,
        name: str,
        configs: dict[str, str],
    ) -> None:
        assert effective.check(image, (kind, name), configs, configs) is None

    @pytest.mark.parametrize(
        ("kind", "name", "config", "value", "wrong"),
        [
            (TOPIC, "t", "retention.ms", "x", "retention.ms=x"),
            (TOPIC, "t", "nope", "x", "nope is not a topic"),
            (BROKER, "1", "node.id", "2", "cannot be changed while the node runs"),
            (BROKER, "1", "log.retention.hours", "2", "cannot be changed while the node runs"),
            (BROKER, "", "ssl.keystore.location", "/x", "single brokers"),
            (BROKER, "1", "log.retention.ms", "x", "log.retention.ms=x"),
            (BROKER, "1", "log.retenton.ms", "1", "did you mean log.retention.ms"),
            (GROUP, "g", "consumer.session.timeout.ms", "500", "below group.consumer.min.session.timeout.ms"),
            (GROUP, "g", "share.delivery.count.limit", "100", "above group.share.max.delivery.count.limit"),
            (GROUP, "g", "share.auto.offset.reset", "never", "by_duration"),
            (GROUP, "g", "nope", "1", "nope is not a group"),
            (METRICS, "m", "interval.ms", "1", "from 100 to 3600000"),
            (METRICS, "m", "match", "nope=a", "client_id"),
            (METRICS, "m", "nope", "a", "nope is not a client metrics"),
        ],
    )
    def test_refused_with_a_sentence(
        self,
        image: MetadataImage,
        effective: EffectiveConfigs,
        kind: ResourceType,
        name: str,
        config: str,
        value: str,
        wrong: str,
    ) -> None:
        message = effective.check(image, (kind, name), {config: value}, [config])
        assert message is not None
        assert wrong in message

    def test_a_removed_config_is_checked_for_its_right_to_change(
        self, image: MetadataImage, effective: EffectiveConfigs
    ) -> None:
        assert effective.check(image, (BROKER, "1"), {}, ["node.id"]) is not None
        assert effective.check(image, (BROKER, "1"), {}, ["log.retention.ms"]) is None

    def test_topic_configs_are_checked_together(
        self, image: MetadataImage, effective: EffectiveConfigs
    ) -> None:
        configs = {"min.compaction.lag.ms": "9", "max.compaction.lag.ms": "5"}
        assert effective.check_topic_configs(configs, image) is not None
        assert effective.check_topic_configs({"retention.ms": "5"}, image) is None


@pytest.mark.parametrize(
    ("kind", "known"),
    [
        (TOPIC, "retention.ms"),
        (BROKER, "node.id"),
        (GROUP, "consumer.session.timeout.ms"),
        (METRICS, "match"),
    ],
)
def test_definitions_by_kind_of_resource(effective: EffectiveConfigs, kind: ResourceType, known: str) -> None:
    found = effective.definition(kind, known)
    assert found is not None
    assert found.name == known
    assert effective.definition(kind, "nope") is None
    assert effective.definition(99, known) is None
