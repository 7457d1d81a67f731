from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.node.controller.metadata_node import CONTEXT, MetadataNode

from odradek.node.app.configs import Described, Source
from odradek.node.controller.configs import ConfigAlteration, ConfigChange, ConfigOperation, ConfigOutcome
from odradek.node.controller.image import ResourceType
from odradek.node.controller.topics import NewTopic
from odradek.proto.kafka.errors import ErrorCode

TOPIC, BROKER, LOGGER, GROUP, METRICS = (
    ResourceType.TOPIC,
    ResourceType.BROKER,
    ResourceType.BROKER_LOGGER,
    ResourceType.GROUP,
    ResourceType.CLIENT_METRICS,
)


async def set_config(
    node: MetadataNode, kind: int, name: str, config: str, value: str, *, try_only: bool = False
) -> ConfigOutcome:
    change = ConfigAlteration(kind, name, [ConfigChange(config, ConfigOperation.SET, value)])
    (outcome,) = await node.configs.alter([change], CONTEXT, incremental=True, validate_only=try_only)
    return outcome


def one(node: MetadataNode, kind: int, name: str, config: str) -> Described:
    (found,) = node.configs.describe(kind, name, [config]).configs
    return found


class TestTopics:
    async def test_all_configs_with_sources_and_synonyms(self) -> None:
        node = await MetadataNode({"log.retention.hours": "5"}).start(NewTopic("t"))
        assert len(node.configs.describe(TOPIC, "t").configs) == 33
        described = one(node, TOPIC, "t", "retention.ms")
        assert (described.value, described.source) == ("18000000", Source.STATIC)
        assert described.synonyms[0] == ("log.retention.hours", "5", Source.STATIC)
        await set_config(node, BROKER, "", "log.retention.ms", "7")
        await set_config(node, TOPIC, "t", "retention.ms", "6")
        described = one(node, TOPIC, "t", "retention.ms")
        assert (described.value, described.source, described.is_read_only) == ("6", Source.TOPIC, False)
        assert [synonym[1:] for synonym in described.synonyms[:3]] == [
            ("6", Source.TOPIC),
            ("7", Source.ALL_BROKERS),
            ("5", Source.STATIC),
        ]

    async def test_topics_without_overrides_share_one_list_until_the_brokers_configs_change(self) -> None:
        node = await MetadataNode().start(NewTopic("t"), NewTopic("u"))
        shared = node.configs.topic_configs({})
        assert node.configs.describe(TOPIC, "u").configs is shared
        await set_config(node, BROKER, "", "log.retention.ms", "7")
        assert node.configs.topic_configs({}) is not shared

    async def test_keys_filter_and_none_of_them_means_all(self) -> None:
        node = await MetadataNode().start(NewTopic("t"))
        names = [config.name for config in node.configs.describe(TOPIC, "t", ["flush.ms", "nope"]).configs]
        assert names == ["flush.ms"]
        assert len(node.configs.describe(TOPIC, "t", []).configs) == 33

    async def test_topics_that_are_not(self) -> None:
        node = await MetadataNode().start()
        for name, error in (
            ("no", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
            ("n o", ErrorCode.INVALID_TOPIC_EXCEPTION),
            ("", ErrorCode.INVALID_TOPIC_EXCEPTION),
        ):
            described = node.configs.describe(TOPIC, name)
            assert (described.error, described.configs) == (error, [])
            assert described.message


class TestBrokers:
    async def test_this_node(self) -> None:
        node = await MetadataNode({"num.partitions": "8"}).start()
        assert len(node.configs.describe(BROKER, "1").configs) > 300
        partitions = one(node, BROKER, "1", "num.partitions")
        assert (partitions.value, partitions.source, partitions.is_read_only) == ("8", Source.STATIC, True)
        await set_config(node, BROKER, "1", "message.max.bytes", "5000")
        limit = one(node, BROKER, "1", "message.max.bytes")
        assert (limit.value, limit.source, limit.is_read_only) == ("5000", Source.BROKER, False)

    async def test_no_name_is_what_was_set_for_all(self) -> None:
        node = await MetadataNode().start()
        assert node.configs.describe(BROKER, "").configs == []
        await set_config(node, BROKER, "", "message.max.bytes", "5000")
        (only,) = node.configs.describe(BROKER, "").configs
        assert (only.name, only.value, only.source) == ("message.max.bytes", "5000", Source.ALL_BROKERS)

    async def test_secrets_stay_secret(self) -> None:
        node = await MetadataNode().start()
        name = "listener.name.internal.ssl.keystore.password"
        await set_config(node, BROKER, "1", name, "hush")
        described = one(node, BROKER, "1", name)
        assert (described.value, described.is_sensitive) == (None, True)
        assert "hush" not in repr(node.configs.describe(BROKER, "1"))

    @pytest.mark.parametrize("kind", [BROKER, LOGGER])
    async def test_other_nodes_are_asked_themselves(self, kind: ResourceType) -> None:
        node = await MetadataNode().start()
        await node.join(node.broker(2))
        for name in ("2", "x"):
            described = node.configs.describe(kind, name)
            assert (described.error, described.configs) == (ErrorCode.INVALID_REQUEST, [])
            outcome = await set_config(node, kind, name, "log.retention.ms", "5")
            assert outcome.error is ErrorCode.INVALID_REQUEST
            assert "this is broker 1" in (outcome.message or "")


async def test_loggers_are_described_and_not_changed() -> None:
    node = await MetadataNode().start()
    assert node.configs.describe(LOGGER, "1").configs == [Described("root", "INFO", Source.LOGGER)]
    assert node.configs.describe(LOGGER, "").error is ErrorCode.INVALID_REQUEST
    assert (await set_config(node, LOGGER, "1", "root", "DEBUG")).error is ErrorCode.INVALID_REQUEST


async def test_groups_fall_back_on_the_brokers_settings() -> None:
    node = await MetadataNode({"group.consumer.session.timeout.ms": "46000"}).start()
    name = "consumer.session.timeout.ms"
    assert len(node.configs.describe(GROUP, "g").configs) == 17
    described = one(node, GROUP, "g", name)
    assert (described.value, described.source) == ("46000", Source.STATIC)
    assert described.synonyms == (("group.consumer.session.timeout.ms", "46000", Source.STATIC),)
    await set_config(node, GROUP, "g", name, "50000")
    described = one(node, GROUP, "g", name)
    assert (described.value, described.source) == ("50000", Source.GROUP)
    assert described.synonyms[0] == (name, "50000", Source.GROUP)
    assert one(node, GROUP, "g", "share.isolation.level").source == Source.DEFAULT
    assert node.configs.describe(GROUP, "").error is ErrorCode.INVALID_REQUEST


async def test_client_metrics() -> None:
    node = await MetadataNode().start()
    assert {config.source for config in node.configs.describe(METRICS, "m").configs} == {Source.DEFAULT}
    await set_config(node, METRICS, "m", "interval.ms", "1000")
    assert one(node, METRICS, "m", "interval.ms").source == Source.CLIENT_METRICS
    assert node.configs.describe(METRICS, "").error is ErrorCode.INVALID_REQUEST
    assert node.configs.describe(3, "m").error is ErrorCode.INVALID_REQUEST


async def test_answers_are_in_the_order_of_the_request() -> None:
    node = await MetadataNode().start(NewTopic("t"))
    change = [ConfigChange("retention.ms", ConfigOperation.SET, "5")]
    asked = [(BROKER, "9"), (TOPIC, "t"), (LOGGER, "1"), (TOPIC, "no")]
    outcomes = await node.configs.alter(
        [ConfigAlteration(kind, name, change) for kind, name in asked],
        CONTEXT,
        incremental=False,
        validate_only=False,
    )
    assert [(one.resource_type, one.resource_name) for one in outcomes] == asked
    assert [one.error for one in outcomes] == [
        ErrorCode.INVALID_REQUEST,
        ErrorCode.NONE,
        ErrorCode.INVALID_REQUEST,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    ]


async def test_a_broker_that_passes_on_changes_to_its_own_configs() -> None:
    node = await MetadataNode().start()
    await node.join(node.broker(2))
    change = [ConfigChange("log.cleaner.threads", ConfigOperation.SET, "2")]
    outcomes = await node.configs.alter(
        [ConfigAlteration(BROKER, name, change) for name in ("1", "2", "")],
        replace(CONTEXT, received_by=2),
        incremental=True,
        validate_only=False,
    )
    assert [one.error for one in outcomes] == [ErrorCode.INVALID_REQUEST, ErrorCode.NONE, ErrorCode.NONE]
    assert "broker 2, not '1'" in str(outcomes[0].message)
    assert node.image.config(BROKER, "2") == {"log.cleaner.threads": "2"}


async def test_trying_changes_nothing() -> None:
    node = await MetadataNode().start(NewTopic("t"))
    outcome = await set_config(node, TOPIC, "t", "retention.ms", "5", try_only=True)
    assert outcome.error is ErrorCode.NONE
    assert not node.image.configs


async def test_without_a_controller_every_resource_has_the_error() -> None:
    node = await MetadataNode().start(NewTopic("t"))
    node.log.is_leader = False
    assert (await set_config(node, TOPIC, "t", "retention.ms", "5")).error is ErrorCode.NOT_CONTROLLER


async def test_resources_that_exist() -> None:
    node = await MetadataNode().start(NewTopic("t"), NewTopic("s"))
    await set_config(node, GROUP, "g", "consumer.session.timeout.ms", "50000")
    await set_config(node, METRICS, "m", "interval.ms", "1000")
    assert node.configs.list_resources([TOPIC]) == [(TOPIC, "s"), (TOPIC, "t")]
    assert node.configs.list_resources([METRICS, GROUP]) == [(METRICS, "m"), (GROUP, "g")]
    assert node.configs.list_resources([]) == [
        (TOPIC, "s"),
        (TOPIC, "t"),
        (BROKER, "1"),
        (LOGGER, "1"),
        (METRICS, "m"),
        (GROUP, "g"),
    ]
    assert node.configs.list_resources([TOPIC, 3]) is ErrorCode.UNSUPPORTED_VERSION
