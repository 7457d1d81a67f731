"""Describing and changing configs of topics, brokers, groups, client metrics subscriptions and loggers.

Decides: which entries a description has and which value counts in them, and that a request for another node's
broker configs is refused. How configs change is the controller's.

Loggers are described, not changed: each is at the level of the root.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from odradek.node.app.context import RequestContext
from odradek.node.config.definitions import broker_definition
from odradek.node.config.describe import ConfigEntry, broker_entries, cluster_entries, topic_entries
from odradek.node.config.node_config import ConfigSource, NodeConfig
from odradek.node.controller.configs import ConfigAlteration, ConfigOutcome
from odradek.node.controller.controller import ControllerError
from odradek.node.controller.image import Configs, MetadataImage, ResourceType
from odradek.node.controller.resource_definitions import client_metrics_definitions, group_configs
from odradek.node.controller.topics import name_error
from odradek.proto.kafka.errors import ErrorCode
from odradek.storage.config_types import ConfigDefinition, ConfigType, format_value


class Source(IntEnum):
    """Where a described value came from, with the numbers of the wire."""

    TOPIC = 1
    BROKER = 2
    ALL_BROKERS = 3
    STATIC = 4
    DEFAULT = 5
    LOGGER = 6
    CLIENT_METRICS = 7
    GROUP = 8


@dataclass(frozen=True, slots=True)
class Described:
    """One described config. `synonyms`: (name, value, source), strongest first. `kind` 0: unknown type."""

    name: str
    value: str | None
    source: int
    is_read_only: bool = False
    is_sensitive: bool = False
    synonyms: tuple[tuple[str, str | None, int], ...] = ()
    kind: int = 0
    documentation: str | None = None


@dataclass(frozen=True, slots=True)
class DescribedResource:
    error: ErrorCode
    message: str | None
    configs: list[Described]


class ConfigController(Protocol):
    """The controller, as far as it is needed here."""

    async def alter_configs(
        self, alterations: Sequence[ConfigAlteration], *, validate_only: bool = False
    ) -> list[ConfigOutcome]: ...

    async def incremental_alter_configs(
        self, alterations: Sequence[ConfigAlteration], *, validate_only: bool = False
    ) -> list[ConfigOutcome]: ...


Refusal = tuple[ErrorCode, str]


class ConfigsService:
    """`node` gives the settings of this node as an image leaves them (`EffectiveConfigs.node`)."""

    def __init__(
        self,
        node_id: int,
        image: Callable[[], MetadataImage],
        node: Callable[[MetadataImage], NodeConfig],
        controller: ConfigController,
    ) -> None:
        self._node_id = node_id
        self._image = image
        self._node = node
        self._controller = controller
        self._defaults: tuple[NodeConfig, list[Described]] | None = None

    def topic_configs(self, overrides: Configs) -> list[Described]:
        """Every config of a topic with these overrides. One shared list for all topics without any."""
        node = self._node(self._image())
        if overrides:
            return [_described(entry) for entry in topic_entries(overrides, node)]
        if self._defaults is None or self._defaults[0] is not node:
            self._defaults = node, [_described(entry) for entry in topic_entries({}, node)]
        return self._defaults[1]

    def describe(
        self, resource_type: int, name: str, names: Iterable[str] | None = None
    ) -> DescribedResource:
        """The configs of one resource, all of them where `names` is None or empty."""
        described = self._describe(resource_type, name)
        if isinstance(described, tuple):
            return DescribedResource(*described, [])
        wanted = frozenset(names or ())
        if wanted:
            described = [config for config in described if config.name in wanted]
        return DescribedResource(ErrorCode.NONE, None, described)

    async def alter(
        self,
        alterations: Sequence[ConfigAlteration],
        context: RequestContext,
        *,
        incremental: bool,
        validate_only: bool,
    ) -> list[ConfigOutcome]:
        """One outcome per entry of the request, in its order."""
        # Why: a broker's own configs are changed through that broker, which may have passed the request on.
        asked = self._node_id if context.received_by is None else context.received_by
        refused = [_refusal(asked, entry.resource_type, entry.resource_name) for entry in alterations]
        rest = [entry for entry, refusal in zip(alterations, refused, strict=True) if refusal is None]
        if incremental:
            work = self._controller.incremental_alter_configs(rest, validate_only=validate_only)
        else:
            work = self._controller.alter_configs(rest, validate_only=validate_only)
        done = iter(await _or_fail_all(work, rest))
        return [
            next(done)
            if refusal is None
            else ConfigOutcome(entry.resource_type, entry.resource_name, *refusal)
            for entry, refusal in zip(alterations, refused, strict=True)
        ]

    def list_resources(self, resource_types: Iterable[int]) -> list[tuple[int, str]] | ErrorCode:
        """(type, name) of the resources of these types that exist; no types: of all types.

        UNSUPPORTED_VERSION for a type that cannot be listed.
        """
        listable = tuple(ResourceType)
        wanted = tuple(dict.fromkeys(resource_types)) or listable
        if any(kind not in listable for kind in wanted):
            return ErrorCode.UNSUPPORTED_VERSION
        image = self._image()
        found: list[tuple[int, str]] = []
        for kind in wanted:
            if kind == ResourceType.TOPIC:
                names = sorted(image.topics_by_name)
            elif kind in (ResourceType.BROKER, ResourceType.BROKER_LOGGER):
                names = [str(broker) for broker in sorted(image.brokers)]
            else:
                names = sorted(name for resource_type, name in image.configs if resource_type == kind)
            found.extend((int(kind), name) for name in names)
        return found

    def _describe(self, resource_type: int, name: str) -> list[Described] | Refusal:
        image = self._image()
        node = self._node(image)
        if resource_type == ResourceType.TOPIC:
            wrong = name_error(name)
            if wrong is not None:
                return ErrorCode.INVALID_TOPIC_EXCEPTION, wrong
            if name not in image.topics_by_name:
                return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"there is no topic '{name}'"
            return self.topic_configs(image.config(ResourceType.TOPIC, name))
        if resource_type == ResourceType.BROKER:
            if name == "":
                entries = cluster_entries(node)
                return [
                    *map(_described, entries),
                    *_unknown(image.config(resource_type, ""), Source.ALL_BROKERS),
                ]
            refusal = _other_broker(self._node_id, name)
            return refusal or [
                *map(_described, broker_entries(node)),
                *_unknown(image.config(resource_type, name), Source.BROKER),
            ]
        if resource_type == ResourceType.BROKER_LOGGER:
            return _other_broker(self._node_id, name) or [Described("root", "INFO", Source.LOGGER)]
        if resource_type not in (ResourceType.CLIENT_METRICS, ResourceType.GROUP):
            return ErrorCode.INVALID_REQUEST, f"resource type {resource_type} has no configs"
        if not name:
            return ErrorCode.INVALID_REQUEST, f"a {ResourceType(resource_type).name} resource needs a name"
        own = image.config(resource_type, name)
        if resource_type == ResourceType.GROUP:
            return [
                _group_config(group.definition, group.default_setting, own, node)
                for group in group_configs().values()
            ]
        return [
            _plain(definition, own.get(definition.name), Source.CLIENT_METRICS)
            for definition in client_metrics_definitions().values()
        ]


def _refusal(asked: int, resource_type: int, name: str) -> Refusal | None:
    """Why a change is not for the controller. `asked`: the node that the client sent it to."""
    if resource_type == ResourceType.BROKER and name:
        return _other_broker(asked, name)
    if resource_type == ResourceType.BROKER_LOGGER:
        return _other_broker(asked, name) or (
            ErrorCode.INVALID_REQUEST,
            "log levels cannot be changed while the node runs",
        )
    return None


def _other_broker(asked: int, name: str) -> Refusal | None:
    if name == str(asked):
        return None
    return ErrorCode.INVALID_REQUEST, f"this is broker {asked}, not '{name}': ask that broker"


async def _or_fail_all(
    work: Awaitable[list[ConfigOutcome]], asked: Sequence[ConfigAlteration]
) -> list[ConfigOutcome]:
    try:
        return await work
    except ControllerError as error:
        return [
            ConfigOutcome(entry.resource_type, entry.resource_name, error.error, str(error))
            for entry in asked
        ]


def _described(entry: ConfigEntry) -> Described:
    return Described(
        entry.name,
        entry.value,
        int(entry.source),
        entry.is_read_only,
        entry.is_sensitive,
        tuple((name, value, int(source)) for name, value, source in entry.synonyms),
        int(entry.type),
        entry.documentation or None,
    )


def _unknown(configs: Mapping[str, str], source: Source) -> list[Described]:
    """Dynamic broker configs of plugins: no definition says whether they are secret, so they are."""
    return [
        Described(name, None, source, is_sensitive=True)
        for name in sorted(configs)
        if broker_definition(name) is None
    ]


def _group_config(definition: ConfigDefinition, setting: str, own: Configs, node: NodeConfig) -> Described:
    if not setting:
        return _plain(definition, own.get(definition.name), Source.GROUP)
    value = format_value(node.value(setting))
    given = node.set_values(setting)
    source = int(given[0].source) if given else int(ConfigSource.DEFAULT_CONFIG)
    synonyms: tuple[tuple[str, str | None, int], ...] = ((setting, value, source),)
    mine = own.get(definition.name)
    if mine is not None:
        value, source = mine, int(Source.GROUP)
        synonyms = ((definition.name, mine, int(Source.GROUP)), *synonyms)
    return Described(
        definition.name,
        value,
        source,
        synonyms=synonyms,
        kind=int(definition.type),
        documentation=definition.documentation or None,
    )


def _plain(definition: ConfigDefinition, mine: str | None, source: Source) -> Described:
    secret = definition.type is ConfigType.PASSWORD
    value = definition.default if mine is None else mine
    found = Source.DEFAULT if mine is None else source
    shown = None if secret else value
    return Described(
        definition.name,
        shown,
        found,
        is_sensitive=secret,
        synonyms=() if mine is None else ((definition.name, shown, int(found)),),
        kind=int(definition.type),
        documentation=definition.documentation or None,
    )
