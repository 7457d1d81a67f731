from __future__ import annotations

import pytest
from tests.unit.node.controller.metadata_node import CONTEXT, MetadataNode, over_the_wire

from odradek.node.controller.topics import NewTopic
from odradek.node.kafka_api.handlers.configs import ConfigsHandlers
from odradek.proto.kafka.codec import decode_exactly, encode_to_bytes
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.configs import (
    AlterConfigsRequest,
    AlterConfigsResponse,
    DescribeConfigsRequest,
    DescribeConfigsResponse,
    IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
    ListConfigResourcesRequest,
    ListConfigResourcesResponse,
)

TOPIC, BROKER, METRICS = 2, 4, 16
Resource = DescribeConfigsRequest.DescribeConfigsResource


def describe(node: MetadataNode, version: int, request: DescribeConfigsRequest) -> DescribeConfigsResponse:
    request = decode_exactly(DescribeConfigsRequest, version, encode_to_bytes(request, version))
    return over_the_wire(ConfigsHandlers(node.configs).describe_configs(CONTEXT, request, version), version)


async def alter(node: MetadataNode, version: int, request: AlterConfigsRequest) -> AlterConfigsResponse:
    request = decode_exactly(AlterConfigsRequest, version, encode_to_bytes(request, version))
    return over_the_wire(
        await ConfigsHandlers(node.configs).alter_configs(CONTEXT, request, version), version
    )


async def alter_incrementally(
    node: MetadataNode, version: int, request: IncrementalAlterConfigsRequest
) -> IncrementalAlterConfigsResponse:
    request = decode_exactly(IncrementalAlterConfigsRequest, version, encode_to_bytes(request, version))
    handlers = ConfigsHandlers(node.configs)
    return over_the_wire(await handlers.incremental_alter_configs(CONTEXT, request, version), version)


def list_resources(node: MetadataNode, version: int, kinds: list[int]) -> ListConfigResourcesResponse:
    request = ListConfigResourcesRequest(resource_types=kinds)
    request = decode_exactly(ListConfigResourcesRequest, version, encode_to_bytes(request, version))
    return over_the_wire(
        ConfigsHandlers(node.configs).list_config_resources(CONTEXT, request, version), version
    )


@pytest.mark.parametrize("version", range(1, 5))
async def test_describing_in_each_version(version: int) -> None:
    node = await MetadataNode().start(NewTopic("t", configs={"retention.ms": "5"}))
    request = DescribeConfigsRequest(
        resources=[
            Resource(resource_type=TOPIC, resource_name="t", configuration_keys=["retention.ms"]),
            Resource(resource_type=TOPIC, resource_name="no", configuration_keys=None),
            Resource(resource_type=BROKER, resource_name="1", configuration_keys=["node.id"]),
        ],
        include_synonyms=True,
        include_documentation=True,
    )
    topic, missing, broker = describe(node, version, request).results
    assert (topic.error_code, topic.resource_type, topic.resource_name) == (0, TOPIC, "t")
    (config,) = topic.configs
    assert (config.name, config.value, config.config_source) == ("retention.ms", "5", 1)
    assert (config.synonyms[0].name, config.synonyms[0].source) == ("retention.ms", 1)
    assert config.config_type == (5 if version >= 3 else 0)
    assert bool(config.documentation) == (version >= 3)
    assert (missing.error_code, missing.resource_name) == (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, "no")
    assert missing.error_message
    assert broker.configs[0].read_only


async def test_synonyms_and_documentation_only_where_asked_for() -> None:
    node = await MetadataNode().start(NewTopic("t"))
    resource = Resource(resource_type=TOPIC, resource_name="t", configuration_keys=None)
    (result,) = describe(node, 4, DescribeConfigsRequest(resources=[resource])).results
    assert len(result.configs) == 33
    assert not any(config.synonyms or config.documentation for config in result.configs)


async def test_every_kind_of_resource_can_be_written_down() -> None:
    node = await MetadataNode().start(NewTopic("t"))
    asked = [(2, "t"), (4, "1"), (4, ""), (8, "1"), (16, "m"), (32, "g"), (2, "t"), (3, "x"), (-1, "x")]
    request = DescribeConfigsRequest(
        resources=[
            Resource(resource_type=kind, resource_name=name, configuration_keys=None) for kind, name in asked
        ],
        include_synonyms=True,
        include_documentation=True,
    )
    results = describe(node, 4, request).results
    assert [(one.resource_type, one.resource_name) for one in results] == asked
    assert [one.error_code for one in results] == [0] * 7 + [ErrorCode.INVALID_REQUEST] * 2


@pytest.mark.parametrize("version", range(3))
async def test_replacing_configs(version: int) -> None:
    node = await MetadataNode().start(NewTopic("t", configs={"flush.ms": "9"}))
    resource, config = AlterConfigsRequest.AlterConfigsResource, AlterConfigsRequest.AlterableConfig
    request = AlterConfigsRequest(
        resources=[
            resource(
                resource_type=TOPIC, resource_name="t", configs=[config(name="retention.ms", value="5")]
            ),
            resource(resource_type=TOPIC, resource_name="no", configs=[]),
        ],
        validate_only=True,
    )
    first = await alter(node, version, request)
    assert [one.error_code for one in first.responses] == [0, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION]
    assert first.responses[1].error_message
    assert node.image.config(TOPIC, "t") == {"flush.ms": "9"}
    request.validate_only = False
    await alter(node, version, request)
    assert node.image.config(TOPIC, "t") == {"retention.ms": "5"}


@pytest.mark.parametrize("version", range(2))
async def test_changing_configs_one_by_one(version: int) -> None:
    node = await MetadataNode().start(NewTopic("t", configs={"flush.ms": "9"}))
    resource = IncrementalAlterConfigsRequest.AlterConfigsResource
    config = IncrementalAlterConfigsRequest.AlterableConfig
    changes = [
        config(name="flush.ms", config_operation=1, value=None),
        config(name="cleanup.policy", config_operation=2, value="compact"),
    ]
    request = IncrementalAlterConfigsRequest(
        resources=[
            resource(resource_type=TOPIC, resource_name="t", configs=changes),
            resource(
                resource_type=BROKER,
                resource_name="1",
                configs=[config(name="node.id", config_operation=0, value="2")],
            ),
        ]
    )
    response = await alter_incrementally(node, version, request)
    assert [(one.resource_type, one.resource_name, one.error_code) for one in response.responses] == [
        (TOPIC, "t", 0),
        (BROKER, "1", ErrorCode.INVALID_REQUEST),
    ]
    assert node.image.config(TOPIC, "t") == {"cleanup.policy": "delete,compact"}


async def test_listing_resources() -> None:
    node = await MetadataNode().start(NewTopic("t"))
    await alter(
        node,
        2,
        AlterConfigsRequest(
            resources=[
                AlterConfigsRequest.AlterConfigsResource(
                    resource_type=METRICS,
                    resource_name="m",
                    configs=[AlterConfigsRequest.AlterableConfig(name="interval.ms", value="1000")],
                )
            ]
        ),
    )
    old = list_resources(node, 0, [])
    assert [(one.resource_type, one.resource_name) for one in old.config_resources] == [(METRICS, "m")]
    new = list_resources(node, 1, [])
    assert [(one.resource_type, one.resource_name) for one in new.config_resources] == [
        (2, "t"),
        (4, "1"),
        (8, "1"),
        (16, "m"),
    ]
    assert list_resources(node, 1, [3]).error_code == ErrorCode.UNSUPPORTED_VERSION
