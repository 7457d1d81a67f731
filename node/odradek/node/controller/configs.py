"""Changing the dynamic configs of topics, brokers, groups and client metrics subscriptions.

Decides: what the operations SET, DELETE, APPEND and SUBTRACT do, what replace-all does, which requests are
refused, and which records make the change. Does not decide what a config name or value means
(`effective`), nor who may ask.

Each resource of a request succeeds or fails alone and as a whole.
Source: KIP-133, KIP-226, KIP-339; Kafka 4.3 ConfigAdminManager and ConfigurationControlManager, observed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from odradek.node.controller.image import ConfigResource, MetadataImage, ResourceType
from odradek.node.controller.records import ConfigRecord, Record, Result
from odradek.proto.kafka.errors import ErrorCode
from odradek.storage.config_types import ConfigDefinition, ConfigType, split_list


class ConfigOperation(IntEnum):
    """What to do with one config, with the numbers of the wire."""

    SET = 0
    DELETE = 1
    APPEND = 2
    SUBTRACT = 3


@dataclass(frozen=True, slots=True)
class ConfigChange:
    name: str
    operation: int
    value: str | None


@dataclass(frozen=True, slots=True)
class ConfigAlteration:
    """Changes to one resource; `resource_type` as the client sent it."""

    resource_type: int
    resource_name: str
    changes: Sequence[ConfigChange]


@dataclass(frozen=True, slots=True)
class ConfigOutcome:
    resource_type: int
    resource_name: str
    error: ErrorCode = ErrorCode.NONE
    message: str | None = None


class Rules(Protocol):
    """What names and values mean; see `effective`."""

    def definition(self, resource_type: int, name: str) -> ConfigDefinition | None: ...

    def check(
        self,
        image: MetadataImage,
        resource: ConfigResource,
        configs: Mapping[str, str],
        changed: Iterable[str],
    ) -> str | None:
        """What is wrong with the configs that `resource` would have; `changed` names those in the request."""


class _Refused(Exception):
    def __init__(self, error: ErrorCode, message: str) -> None:
        self.error = error
        self.message = message
        super().__init__(message)


def incremental_alter_configs(
    image: MetadataImage, alterations: Sequence[ConfigAlteration], rules: Rules
) -> Result[list[ConfigOutcome]]:
    """Applies operations to what is there; one outcome per entry of the request."""
    return _alter(image, alterations, rules, replace=False)


def replace_configs(
    image: MetadataImage, alterations: Sequence[ConfigAlteration], rules: Rules
) -> Result[list[ConfigOutcome]]:
    """The old AlterConfigs: the SET changes of each entry become all there is."""
    return _alter(image, alterations, rules, replace=True)


def resource_error(image: MetadataImage, resource_type: int, name: str) -> tuple[ErrorCode, str] | None:
    """Why a resource cannot have configs, or None where it can."""
    if resource_type == ResourceType.TOPIC:
        if not name:
            return ErrorCode.INVALID_REQUEST, "a topic resource needs a name"
        if name not in image.topics_by_name:
            return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"there is no topic '{name}'"
    elif resource_type == ResourceType.BROKER:
        if name and (not _is_node_id(name) or int(name) not in image.brokers):
            return (
                ErrorCode.INVALID_REQUEST,
                f"'{name}' is not a registered broker: name one, or none for all",
            )
    elif resource_type in (ResourceType.GROUP, ResourceType.CLIENT_METRICS):
        if not name:
            return ErrorCode.INVALID_REQUEST, f"a {ResourceType(resource_type).name} resource needs a name"
    else:
        return ErrorCode.INVALID_REQUEST, f"resource type {resource_type} has no configs that can be changed"
    return None


def _alter(
    image: MetadataImage, alterations: Sequence[ConfigAlteration], rules: Rules, *, replace: bool
) -> Result[list[ConfigOutcome]]:
    seen: set[ConfigResource] = set()
    repeated: set[ConfigResource] = set()
    for entry in alterations:
        resource = (entry.resource_type, entry.resource_name)
        (repeated if resource in seen else seen).add(resource)
    records: list[Record] = []
    outcomes: list[ConfigOutcome] = []
    for entry in alterations:
        resource = (entry.resource_type, entry.resource_name)
        try:
            if resource in repeated:
                raise _Refused(ErrorCode.INVALID_REQUEST, "the resource is in the request more than once")
            changes = _judge(image, entry, rules, replace=replace)
        except _Refused as refused:
            outcomes.append(ConfigOutcome(*resource, refused.error, refused.message))
            continue
        if changes:
            records.append(ConfigRecord.of(*resource, changes))
        outcomes.append(ConfigOutcome(*resource))
    return Result(records, outcomes)


def _judge(
    image: MetadataImage, entry: ConfigAlteration, rules: Rules, *, replace: bool
) -> dict[str, str | None]:
    """The changes that one entry comes down to; None removes a config."""
    resource = (entry.resource_type, entry.resource_name)
    _check_shape(entry)
    wrong = resource_error(image, *resource)
    if wrong is not None:
        raise _Refused(*wrong)
    before = image.config(*resource)
    after: dict[str, str] = {} if replace else dict(before)
    for change in entry.changes:
        _change(after, change, rules.definition(entry.resource_type, change.name))
    changes: dict[str, str | None] = {name: None for name in before if name not in after}
    changes.update({name: value for name, value in after.items() if before.get(name) != value})
    touched = [change.name for change in entry.changes]
    message = rules.check(image, resource, after, touched if not replace else [*touched, *changes])
    if message is not None:
        is_broker = entry.resource_type == ResourceType.BROKER
        raise _Refused(ErrorCode.INVALID_REQUEST if is_broker else ErrorCode.INVALID_CONFIG, message)
    return changes


def _check_shape(entry: ConfigAlteration) -> None:
    names = [change.name for change in entry.changes]
    if len(set(names)) != len(names):
        raise _Refused(
            ErrorCode.INVALID_REQUEST, "a config is in the request more than once for its resource"
        )
    for change in entry.changes:
        if change.value is None and change.operation != ConfigOperation.DELETE:
            raise _Refused(ErrorCode.INVALID_REQUEST, f"{change.name} needs a value")


def _change(after: dict[str, str], change: ConfigChange, definition: ConfigDefinition | None) -> None:
    if change.operation == ConfigOperation.DELETE:
        after.pop(change.name, None)
        return
    assert change.value is not None, "checked by _check_shape"
    if change.operation == ConfigOperation.SET:
        after[change.name] = change.value
        return
    if change.operation not in (ConfigOperation.APPEND, ConfigOperation.SUBTRACT):
        raise _Refused(ErrorCode.INVALID_REQUEST, f"{change.operation} is not an operation on a config")
    if definition is None or definition.type is not ConfigType.LIST:
        operation = ConfigOperation(change.operation).name
        raise _Refused(ErrorCode.INVALID_CONFIG, f"{operation} needs a list, and {change.name} is not one")
    elements = list(split_list(after.get(change.name, definition.default or "")))
    given = split_list(change.value)
    if change.operation == ConfigOperation.APPEND:
        elements += [element for element in given if element not in elements]
    else:
        elements = [element for element in elements if element not in given]
    after[change.name] = ",".join(elements)


def _is_node_id(name: str) -> bool:
    return name.isascii() and name.isdigit() and len(name) <= 10
