"""Which config counts: dynamic over static over default, for topics, brokers, groups and client metrics.

Decides the value behind every config name as the image stands, whether a changed value is acceptable, and
what new topics get by default. Does not decide how configs change (`configs`), nor what single names mean
(`odradek.node.config`, `resource_definitions`).

The order for a topic config: the topic's own, this broker's dynamic, all brokers' dynamic, the static file,
the default. A node's configuration is rebuilt only when a dynamic broker config changed; topics without
configs of their own share one `LogConfig`, and so do topics with equal ones.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from odradek.node.config import ConfigError, NodeConfig, check_dynamic
from odradek.node.config.definitions import UpdateMode, broker_definition, closest_name, is_foreign
from odradek.node.controller.elections import TopicRules
from odradek.node.controller.image import ConfigResource, Configs, MetadataImage, ResourceType
from odradek.node.controller.resource_definitions import (
    GroupConfig,
    check_match,
    check_offset_reset,
    client_metrics_definitions,
    group_configs,
)
from odradek.node.controller.topics import TopicDefaults
from odradek.storage.config_types import ConfigDefinition
from odradek.storage.log_config import LogConfig, topic_definitions

_log = logging.getLogger(__name__)

_THROTTLES = frozenset(
    (
        "leader.replication.throttled.rate",
        "follower.replication.throttled.rate",
        "replica.alter.log.dirs.io.max.bytes.per.second",
    )
)


class EffectiveConfigs:
    """What this node's settings and the image come to together. `static` is the node as it was started."""

    def __init__(self, static: NodeConfig) -> None:
        self._static = static
        self._node = static
        self._for_brokers: tuple[Configs | None, Configs | None] = (None, None)
        self._log_configs: dict[tuple[tuple[str, str], ...], LogConfig] = {}

    def node(self, image: MetadataImage) -> NodeConfig:
        """The node's settings with what was changed while running."""
        own = image.configs.get((ResourceType.BROKER, str(self._static.node_id)))
        everyone = image.configs.get((ResourceType.BROKER, ""))
        if own is not self._for_brokers[0] or everyone is not self._for_brokers[1]:
            self._for_brokers = (own, everyone)
            self._log_configs.clear()
            try:
                self._node = self._static.with_dynamic(everyone or {}, own or {})
            except ConfigError as error:
                # Checked when it was changed, but by another release or against another node's file.
                _log.error("dynamic broker configs have no effect here: %s", error)
                self._node = self._static
        return self._node

    def log_config(self, image: MetadataImage, topic: str) -> LogConfig:
        """What the logs of a topic work with."""
        node = self.node(image)
        overrides = image.configs.get((ResourceType.TOPIC, topic))
        if overrides is None:
            return node.topic_defaults
        key = tuple(sorted(overrides.items()))
        config = self._log_configs.get(key)
        if config is None:
            try:
                config = node.topic_log_config(overrides)
            except ConfigError as error:
                _log.error("configs of topic %s have no effect here: %s", topic, error)
                config = node.topic_defaults
            self._log_configs[key] = config
        return config

    # -- what the controller asks

    def topic_defaults(self, image: MetadataImage) -> TopicDefaults:
        node = self.node(image)
        return TopicDefaults(node.num_partitions, node.default_replication_factor)

    def topic_rules(self, image: MetadataImage, topic: str) -> TopicRules:
        config = self.log_config(image, topic)
        return TopicRules(config.min_insync_replicas, config.unclean_leader_election_enable)

    def check_topic_configs(self, overrides: Mapping[str, str], image: MetadataImage) -> str | None:
        try:
            self.node(image).topic_log_config(overrides)
        except ConfigError as error:
            return str(error)
        return None

    def definition(self, resource_type: int, name: str) -> ConfigDefinition | None:
        """The definition of a config of that kind of resource, None for an unknown name."""
        if resource_type == ResourceType.TOPIC:
            return topic_definitions().get(name)
        if resource_type == ResourceType.BROKER:
            broker = broker_definition(name)
            return None if broker is None else broker.value
        if resource_type == ResourceType.GROUP:
            group = group_configs().get(name)
            return None if group is None else group.definition
        if resource_type == ResourceType.CLIENT_METRICS:
            return client_metrics_definitions().get(name)
        return None

    def check(
        self,
        image: MetadataImage,
        resource: ConfigResource,
        configs: Mapping[str, str],
        changed: Iterable[str],
    ) -> str | None:
        """What is wrong with the configs that a resource would have; `changed` names those in the request."""
        resource_type, name = resource
        try:
            if resource_type == ResourceType.TOPIC:
                self.node(image).topic_log_config(configs)
            elif resource_type == ResourceType.BROKER:
                self._check_broker(image, name, configs, changed)
            elif resource_type == ResourceType.GROUP:
                self._check_group(image, configs)
            else:
                _check_client_metrics(configs)
        except ConfigError as error:
            return str(error)
        return None

    def _check_broker(
        self, image: MetadataImage, name: str, configs: Mapping[str, str], changed: Iterable[str]
    ) -> None:
        for config in changed:
            if is_foreign(config) or config in _THROTTLES:
                continue
            definition = broker_definition(config)
            if definition is None:
                closest = closest_name(config)
                hint = f": did you mean {closest}?" if closest else ""
                raise ConfigError(f"{config} is not a broker configuration{hint}")
            if config in configs:
                check_dynamic(config, configs[config], per_broker=bool(name))
            elif definition.update_mode is UpdateMode.READ_ONLY:
                raise ConfigError(f"{config} cannot be changed while the node runs")
        own = image.config(ResourceType.BROKER, str(self._static.node_id))
        everyone = image.config(ResourceType.BROKER, "")
        if name == "":
            self._static.with_dynamic(configs, own)
        elif name == str(self._static.node_id):
            self._static.with_dynamic(everyone, configs)

    def _check_group(self, image: MetadataImage, configs: Mapping[str, str]) -> None:
        node = self.node(image)
        for name, text in configs.items():
            group = group_configs().get(name)
            if group is None:
                raise ConfigError(f"{name} is not a group configuration")
            value = group.definition.parse(text)
            if isinstance(value, int) and not isinstance(value, bool):
                _check_bounds(group, value, node)
            if name == "share.auto.offset.reset":
                check_offset_reset(text)


def _check_bounds(group: GroupConfig, value: int, node: NodeConfig) -> None:
    name = group.definition.name
    lower = node.value(group.lower_bound_setting) if group.lower_bound_setting else None
    if isinstance(lower, int) and value < lower:
        raise ConfigError(f"{name}={value} is below {group.lower_bound_setting}, which is {lower}")
    upper = node.value(group.upper_bound_setting) if group.upper_bound_setting else None
    if isinstance(upper, int) and value > upper:
        raise ConfigError(f"{name}={value} is above {group.upper_bound_setting}, which is {upper}")


def _check_client_metrics(configs: Mapping[str, str]) -> None:
    for name, text in configs.items():
        definition = client_metrics_definitions().get(name)
        if definition is None:
            raise ConfigError(f"{name} is not a client metrics configuration")
        definition.parse(text)
        if name == "match":
            check_match(text)
