"""ConfigService: settings of topics and nodes, from any node. Translates only.

What a node works with is told by that node; all changes are the active controller's.
Source: proto/odradek/v1/config_service.proto.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from odradek.node.app.configs import ConfigsService, Described, Source
from odradek.node.controller.configs import ConfigAlteration, ConfigChange, ConfigOperation
from odradek.node.controller.image import ResourceType
from odradek.node.grpc_api.arguments import chosen, required, some
from odradek.node.grpc_api.methods import Call, Location, Method, OtherNodes
from odradek.node.grpc_api.paging import Paging
from odradek.node.grpc_api.refusal import invalid, refused
from odradek.proto.kafka.errors import ErrorCode
from odradek.v1 import config_service_pb2 as pb

ASK_TIMEOUT_S: Final = 5.0
NODE_ID_LENGTH_MAX: Final = 10
_SOURCES: Final[Mapping[int, pb.ConfigSource]] = MappingProxyType(
    {
        Source.TOPIC: pb.CONFIG_SOURCE_TOPIC,
        Source.BROKER: pb.CONFIG_SOURCE_NODE,
        Source.ALL_BROKERS: pb.CONFIG_SOURCE_CLUSTER,
        Source.STATIC: pb.CONFIG_SOURCE_STATIC,
        Source.DEFAULT: pb.CONFIG_SOURCE_DEFAULT,
    }
)
_OPERATIONS: Final[Mapping[int, ConfigOperation]] = MappingProxyType(
    {
        pb.CONFIG_OPERATION_UNSPECIFIED: ConfigOperation.SET,
        pb.CONFIG_OPERATION_SET: ConfigOperation.SET,
        pb.CONFIG_OPERATION_DELETE: ConfigOperation.DELETE,
        pb.CONFIG_OPERATION_APPEND: ConfigOperation.APPEND,
        pb.CONFIG_OPERATION_SUBTRACT: ConfigOperation.SUBTRACT,
    }
)


class ConfigServicer:
    service: Final = "odradek.v1.ConfigService"

    def __init__(self, configs: ConfigsService, location: Location, others: OtherNodes) -> None:
        self._configs = configs
        self._location = location
        self._others = others

    def methods(self) -> list[Method]:
        return [
            Method("ListConfigs", pb.ListConfigsRequest, self.list_configs),
            Method(
                "UpdateConfigs",
                pb.UpdateConfigsRequest,
                self.update_configs,
                where=lambda _: self._location.active_controller_id,
            ),
        ]

    async def list_configs(self, call: Call, request: pb.ListConfigsRequest) -> pb.ListConfigsResponse:
        resource, own_id = request.resource, self._location.node_id
        node_id = self._node_of(resource)
        if node_id not in (None, own_id) and not call.is_forwarded:
            path = f"/{self.service}/ListConfigs"
            return await self._others.ask(node_id, path, call, request, pb.ListConfigsResponse, ASK_TIMEOUT_S)
        paging = Paging(
            "configs",
            [resource.type, resource.name, *sorted(request.names)],
            request.page_size,
            request.page_token,
        )
        name = resource.name if node_id is None else str(node_id)
        described = self._configs.describe(_type(resource), name, request.names)
        if described.error is not ErrorCode.NONE:
            raise refused(described.error, described.message, name=resource.name)
        entries = sorted(described.configs, key=lambda config: config.name)
        page, token = paging.take(entries, lambda config: (config.name,))
        return pb.ListConfigsResponse(configs=[_config(one) for one in page], next_page_token=token)

    async def update_configs(self, call: Call, request: pb.UpdateConfigsRequest) -> pb.UpdateConfigsResponse:
        resource = request.resource
        node_id = self._node_of(resource)
        some(request.changes, "changes")
        changes = [_change(one) for one in request.changes]
        repeated = sorted(name for name, count in Counter(one.name for one in changes).items() if count > 1)
        if repeated:
            raise invalid(f"changes has {', '.join(repeated)} more than once")
        name = resource.name if node_id is None else str(node_id)
        # Why: the use case lets a node's settings be changed through that node alone; here any node serves.
        context = replace(call.context, received_by=node_id)
        (outcome,) = await self._configs.alter(
            [ConfigAlteration(_type(resource), name, changes)],
            context,
            incremental=True,
            validate_only=request.validate_only,
        )
        if outcome.error is not ErrorCode.NONE:
            # What else can be wrong with the request was looked at above; Kafka has this name for topics only.
            is_of_node = _type(resource) is ResourceType.BROKER
            is_setting = is_of_node and outcome.error is ErrorCode.INVALID_REQUEST
            error = ErrorCode.INVALID_CONFIG if is_setting else outcome.error
            raise refused(error, outcome.message, name=resource.name)
        return pb.UpdateConfigsResponse()

    def _node_of(self, resource: pb.ConfigResource) -> int | None:
        """The node whose settings are meant; None for a topic and for the default of all nodes. Refuses what cannot be
        meant."""
        if _type(resource) is ResourceType.TOPIC:
            required(resource.name, "resource.name")
            return None
        name = resource.name
        if not name:
            return None
        is_number = name.isascii() and name.isdigit() and len(name) <= NODE_ID_LENGTH_MAX
        if not is_number:
            raise invalid(
                f"resource.name '{name}': a node is named by its id; the empty name means all nodes"
            )
        if int(name) not in self._location.image.brokers:
            raise refused(ErrorCode.BROKER_ID_NOT_REGISTERED, f"there is no node {name}", name=name)
        return int(name)


def _type(resource: pb.ConfigResource) -> ResourceType:
    if resource.type == pb.CONFIG_RESOURCE_TYPE_TOPIC:
        return ResourceType.TOPIC
    if resource.type == pb.CONFIG_RESOURCE_TYPE_NODE:
        return ResourceType.BROKER
    allowed = [name for name, number in pb.ConfigResourceType.items() if number]
    raise invalid(f"resource.type {resource.type}: allowed are {', '.join(allowed)}")


def _change(change: pb.ConfigChange) -> ConfigChange:
    required(change.name, "name of a change")
    chosen(change.operation, dict(pb.ConfigOperation.items()), "operation")
    operation = _OPERATIONS[change.operation]
    if operation is ConfigOperation.DELETE and change.value:
        raise invalid(f"{change.name} is deleted: it cannot have the value '{change.value}'")
    return ConfigChange(change.name, operation, None if operation is ConfigOperation.DELETE else change.value)


def _config(described: Described) -> pb.Config:
    return pb.Config(
        name=described.name,
        value=described.value,
        source=_SOURCES.get(described.source, pb.CONFIG_SOURCE_UNSPECIFIED),
        read_only=described.is_read_only,
        sensitive=described.is_sensitive,
        documentation=described.documentation or "",
    )
