from __future__ import annotations

from collections.abc import Callable

import pytest

from odradek.node.controller import configs
from odradek.node.controller.configs import ConfigAlteration, ConfigChange, ConfigOperation, ConfigOutcome
from odradek.node.controller.effective import EffectiveConfigs
from odradek.node.controller.image import MetadataImage, ResourceType
from odradek.node.controller.records import ConfigRecord, PartitionRun, Record, TopicRecord
from odradek.proto.kafka.errors import ErrorCode

TOPIC, BROKER, GROUP, METRICS = (
    ResourceType.TOPIC,
    ResourceType.BROKER,
    ResourceType.GROUP,
    ResourceType.CLIENT_METRICS,
)
SET, DELETE, APPEND, SUBTRACT = ConfigOperation


class World:
    """A topic `t`, and what changes to configs come to."""

    def __init__(
        self,
        image: MetadataImage,
        after: Callable[[MetadataImage, list[Record]], MetadataImage],
        rules: EffectiveConfigs,
    ) -> None:
        topic = TopicRecord(
            name="t",
            topic_id=b"t" * 16,
            partitions=[PartitionRun(count=1, replicas=[1], leader=1)],
        )
        self.after = after
        self.rules = rules
        self.image = after(image, [topic])

    def alter(self, *alterations: ConfigAlteration, replace: bool = False) -> list[ConfigOutcome]:
        operation = configs.replace_configs if replace else configs.incremental_alter_configs
        result = operation(self.image, alterations, self.rules)
        self.image = self.after(self.image, list(result.records))
        return result.response

    def topic(self, *changes: tuple[str, int, str | None], replace: bool = False) -> ErrorCode:
        entry = ConfigAlteration(TOPIC, "t", [ConfigChange(*change) for change in changes])
        (outcome,) = self.alter(entry, replace=replace)
        assert (outcome.message is None) == (outcome.error is ErrorCode.NONE)
        return outcome.error

    @property
    def on_topic(self) -> dict[str, str]:
        return dict(self.image.config(TOPIC, "t"))


@pytest.fixture
def world(
    image: MetadataImage,
    after: Callable[[MetadataImage, list[Record]], MetadataImage],
    effective: EffectiveConfigs,
) -> World:
    return World(image, after, effective)


def test_set_and_delete(world: World) -> None:
    assert world.topic(("retention.ms", SET, "5"), ("segment.ms", SET, "7")) is ErrorCode.NONE
    assert world.topic(("retention.ms", SET, "6"), ("segment.ms", DELETE, None)) is ErrorCode.NONE
    assert world.on_topic == {"retention.ms": "6"}
    assert world.topic(("segment.ms", DELETE, "whatever")) is ErrorCode.NONE
    assert world.on_topic == {"retention.ms": "6"}


def test_append_and_subtract_start_from_the_default(world: World) -> None:
    assert world.topic(("cleanup.policy", APPEND, "compact,delete")) is ErrorCode.NONE
    assert world.on_topic == {"cleanup.policy": "delete,compact"}
    assert world.topic(("cleanup.policy", SUBTRACT, "delete")) is ErrorCode.NONE
    assert world.on_topic == {"cleanup.policy": "compact"}
    assert world.topic(("cleanup.policy", SUBTRACT, "compact")) is ErrorCode.NONE
    assert world.on_topic == {"cleanup.policy": ""}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (("retention.ms", SET, "x"), ErrorCode.INVALID_CONFIG),
        (("nope", SET, "1"), ErrorCode.INVALID_CONFIG),
        (("retention.ms", SET, None), ErrorCode.INVALID_REQUEST),
        (("retention.ms", APPEND, "5"), ErrorCode.INVALID_CONFIG),
        (("nope", SUBTRACT, "5"), ErrorCode.INVALID_CONFIG),
        (("cleanup.policy", APPEND, "melt"), ErrorCode.INVALID_CONFIG),
        (("retention.ms", 9, "5"), ErrorCode.INVALID_REQUEST),
    ],
)
def test_changes_that_are_refused(
    world: World, change: tuple[str, int, str | None], error: ErrorCode
) -> None:
    assert world.topic(("segment.ms", SET, "7"), change) is error
    assert world.on_topic == {}


def test_a_config_twice_for_a_resource(world: World) -> None:
    assert world.topic(("retention.ms", SET, "5"), ("retention.ms", SET, "6")) is ErrorCode.INVALID_REQUEST


def test_a_resource_twice_in_a_request_is_refused_every_time(world: World) -> None:
    one = ConfigAlteration(TOPIC, "t", [ConfigChange("retention.ms", SET, "5")])
    two = ConfigAlteration(GROUP, "g", [ConfigChange("consumer.session.timeout.ms", SET, "50000")])
    outcomes = world.alter(one, two, one)
    assert [outcome.error for outcome in outcomes] == [
        ErrorCode.INVALID_REQUEST,
        ErrorCode.NONE,
        ErrorCode.INVALID_REQUEST,
    ]
    assert set(world.image.configs) == {(GROUP, "g")}


@pytest.mark.parametrize(
    ("kind", "name", "error"),
    [
        (TOPIC, "missing", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (TOPIC, "", ErrorCode.INVALID_REQUEST),
        (BROKER, "2", ErrorCode.INVALID_REQUEST),
        (BROKER, "x", ErrorCode.INVALID_REQUEST),
        (BROKER, "9" * 5000, ErrorCode.INVALID_REQUEST),
        (GROUP, "", ErrorCode.INVALID_REQUEST),
        (METRICS, "", ErrorCode.INVALID_REQUEST),
        (ResourceType.BROKER_LOGGER, "1", ErrorCode.INVALID_REQUEST),
        (3, "x", ErrorCode.INVALID_REQUEST),
    ],
)
def test_resources_that_cannot_be_changed(world: World, kind: int, name: str, error: ErrorCode) -> None:
    (outcome,) = world.alter(ConfigAlteration(kind, name, []))
    assert (outcome.resource_type, outcome.resource_name, outcome.error) == (kind, name, error)
    assert outcome.message


@pytest.mark.parametrize(
    ("kind", "name", "config", "value"),
    [
        (BROKER, "1", "log.retention.ms", "5"),
        (BROKER, "", "message.max.bytes", "5000"),
        (GROUP, "g", "consumer.session.timeout.ms", "50000"),
        (METRICS, "m", "interval.ms", "1000"),
    ],
)
def test_resources_that_can(world: World, kind: int, name: str, config: str, value: str) -> None:
    (outcome,) = world.alter(ConfigAlteration(kind, name, [ConfigChange(config, SET, value)]))
    assert outcome.error is ErrorCode.NONE
    assert world.image.config(kind, name) == {config: value}


def test_a_bad_broker_config_is_a_bad_request_as_in_kafka(world: World) -> None:
    (outcome,) = world.alter(ConfigAlteration(BROKER, "1", [ConfigChange("node.id", SET, "2")]))
    assert outcome.error is ErrorCode.INVALID_REQUEST


def test_replacing_removes_what_is_not_named(world: World) -> None:
    world.topic(("retention.ms", SET, "5"), ("segment.ms", SET, "7"))
    assert world.topic(("segment.ms", SET, "8"), ("flush.ms", SET, "1"), replace=True) is ErrorCode.NONE
    assert world.on_topic == {"segment.ms": "8", "flush.ms": "1"}
    assert world.topic(replace=True) is ErrorCode.NONE
    assert world.on_topic == {}


def test_a_change_that_changes_nothing_writes_nothing(world: World) -> None:
    entry = ConfigAlteration(TOPIC, "t", [ConfigChange("retention.ms", SET, "5")])
    first = configs.incremental_alter_configs(world.image, [entry], world.rules)
    assert first.records == [ConfigRecord.of(TOPIC, "t", {"retention.ms": "5"})]
    world.alter(entry)
    assert not configs.incremental_alter_configs(world.image, [entry], world.rules).records
