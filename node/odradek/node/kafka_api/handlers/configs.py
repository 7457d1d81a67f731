"""DescribeConfigs, AlterConfigs, IncrementalAlterConfigs, ListConfigResources.

Keys: 32, 33, 44, 74. Versions: 1-4, 0-2, 0-1, 0-1. Behaviour: one answer per resource of the request.
Resources are topics, brokers, loggers, groups and client metrics subscriptions. Version notes:
DescribeConfigs 3 has types and, where asked for, documentation. ListConfigResources 0 lists client metrics
subscriptions only. Not implemented: changing log levels.
"""

from __future__ import annotations

from odradek.node.app.configs import ConfigsService, Described, DescribedResource
from odradek.node.app.context import RequestContext
from odradek.node.controller.configs import ConfigAlteration, ConfigChange, ConfigOperation
from odradek.node.controller.image import ResourceType
from odradek.node.kafka_api.registry import Route
from odradek.proto.kafka.api import ApiKey
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

_Synonym = DescribeConfigsResponse.DescribeConfigsSynonym


class ConfigsHandlers:
    def __init__(self, service: ConfigsService) -> None:
        self._service = service

    def routes(self) -> list[Route]:
        return [
            Route(ApiKey.DESCRIBE_CONFIGS, 1, 4, self.describe_configs),
            Route(ApiKey.ALTER_CONFIGS, 0, 2, self.alter_configs, to_controller=True),
            Route(ApiKey.INCREMENTAL_ALTER_CONFIGS, 0, 1, self.incremental_alter_configs, to_controller=True),
            Route(ApiKey.LIST_CONFIG_RESOURCES, 0, 1, self.list_config_resources),
        ]

    def describe_configs(
        self, context: RequestContext, request: DescribeConfigsRequest, version: int
    ) -> DescribeConfigsResponse:
        results = []
        for resource in request.resources:
            described = self._service.describe(
                resource.resource_type, resource.resource_name, resource.configuration_keys
            )
            results.append(
                DescribeConfigsResponse.DescribeConfigsResult(
                    error_code=described.error,
                    error_message=described.message,
                    resource_type=resource.resource_type,
                    resource_name=resource.resource_name,
                    configs=_config_results(
                        described, request.include_synonyms, request.include_documentation
                    ),
                )
            )
        return DescribeConfigsResponse(results=results)

    async def alter_configs(
        self, context: RequestContext, request: AlterConfigsRequest, version: int
    ) -> AlterConfigsResponse:
        alterations = [
            ConfigAlteration(
                resource.resource_type,
                resource.resource_name,
                [ConfigChange(config.name, ConfigOperation.SET, config.value) for config in resource.configs],
            )
            for resource in request.resources
        ]
        outcomes = await self._service.alter(
            alterations, context, incremental=False, validate_only=request.validate_only
        )
        return AlterConfigsResponse(
            responses=[
                AlterConfigsResponse.AlterConfigsResourceResponse(
                    error_code=outcome.error,
                    error_message=outcome.message,
                    resource_type=outcome.resource_type,
                    resource_name=outcome.resource_name,
                )
                for outcome in outcomes
            ]
        )

    async def incremental_alter_configs(
        self, context: RequestContext, request: IncrementalAlterConfigsRequest, version: int
    ) -> IncrementalAlterConfigsResponse:
        alterations = [
            ConfigAlteration(
                resource.resource_type,
                resource.resource_name,
                [ConfigChange(one.name, one.config_operation, one.value) for one in resource.configs],
            )
            for resource in request.resources
        ]
        outcomes = await self._service.alter(
            alterations, context, incremental=True, validate_only=request.validate_only
        )
        return IncrementalAlterConfigsResponse(
            responses=[
                IncrementalAlterConfigsResponse.AlterConfigsResourceResponse(
                    error_code=outcome.error,
                    error_message=outcome.message,
                    resource_type=outcome.resource_type,
                    resource_name=outcome.resource_name,
                )
                for outcome in outcomes
            ]
        )

    def list_config_resources(
        self, context: RequestContext, request: ListConfigResourcesRequest, version: int
    ) -> ListConfigResourcesResponse:
        wanted = [int(ResourceType.CLIENT_METRICS)] if version == 0 else request.resource_types
        found = self._service.list_resources(wanted)
        if isinstance(found, ErrorCode):
            return ListConfigResourcesResponse(error_code=found)
        return ListConfigResourcesResponse(
            config_resources=[
                ListConfigResourcesResponse.ConfigResource(resource_name=name, resource_type=kind)
                for kind, name in found
            ]
        )


def _config_results(
    described: DescribedResource, with_synonyms: bool, with_documentation: bool
) -> list[DescribeConfigsResponse.DescribeConfigsResourceResult]:
    return [
        DescribeConfigsResponse.DescribeConfigsResourceResult(
            name=config.name,
            value=config.value,
            read_only=config.is_read_only,
            config_source=config.source,
            is_sensitive=config.is_sensitive,
            synonyms=_synonyms(config) if with_synonyms else [],
            config_type=config.kind,
            documentation=config.documentation if with_documentation else None,
        )
        for config in described.configs
    ]


def _synonyms(config: Described) -> list[_Synonym]:
    return [_Synonym(name=name, value=value, source=source) for name, value, source in config.synonyms]
