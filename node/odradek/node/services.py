"""The use cases of one node, constructed and joined: what every door is given.

Metadata flows from the controller's image to the replicas and the coordinators; nothing flows back but requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from odradek.node.app.cluster import ClusterService
from odradek.node.app.configs import ConfigsService
from odradek.node.app.context import RequestContext
from odradek.node.app.fetch import FetchService
from odradek.node.app.groups import Endpoint as CoordinatorEndpoint
from odradek.node.app.groups import GroupsService
from odradek.node.app.list_offsets import ListOffsetsService
from odradek.node.app.metadata import MetadataService
from odradek.node.app.offsets import OffsetsService
from odradek.node.app.produce import ProduceService
from odradek.node.app.producer_ids import ProducerIdService
from odradek.node.app.records import RecordsService
from odradek.node.app.topics import TopicsService
from odradek.node.config import NodeConfig
from odradek.node.controller.controller import Controller
from odradek.node.controller.delta import MetadataDelta
from odradek.node.controller.effective import EffectiveConfigs
from odradek.node.controller.image import EMPTY_IMAGE, MetadataImage, ResourceType, TopicImage
from odradek.node.controller.settings import ControllerSettings
from odradek.node.coordinator.config import GroupConfig
from odradek.node.coordinator.group.shard import member_ids
from odradek.node.coordinator.runtime import CoordinatorRuntime
from odradek.node.partition.fetch_session import FetchSessions
from odradek.node.partition.replicas import Replicas
from odradek.node.ports import NodePorts
from odradek.node.runtime.alarm import Alarm
from odradek.storage.log_config import LogConfig
from odradek.storage.log_dirs import LogDirs

FETCH_SESSION_EVICTION_MS_MIN = 120_000

NewAlarm = Callable[[Callable[[int], int | None]], Alarm]


class ImageView:
    """What the parts below ask the current metadata, each through a small port of its own."""

    def __init__(self, controller: Controller, effective: EffectiveConfigs) -> None:
        self._controller = controller
        self._effective = effective

    @property
    def image(self) -> MetadataImage:
        return self._controller.image

    def current(self) -> MetadataImage:
        return self._controller.image

    def topic(self, name: str) -> TopicImage | None:
        return self.image.topic(name)

    def topic_name(self, topic_id: bytes) -> str | None:
        topic = self.image.topics_by_id.get(topic_id)
        return None if topic is None else topic.name

    def topic_id(self, name: str) -> bytes | None:
        topic = self.image.topic(name)
        return None if topic is None else topic.topic_id

    def partition_count(self, name: str) -> int:
        topic = self.image.topic(name)
        return 0 if topic is None else len(topic.partitions)

    def log_config(self, name: str) -> LogConfig:
        return self._effective.log_config(self.image, name)


def group_config(config: NodeConfig) -> GroupConfig:
    return GroupConfig(
        min_session_timeout_ms=config.group_min_session_timeout_ms,
        max_session_timeout_ms=config.group_max_session_timeout_ms,
        max_size=config.group_max_size,
        initial_rebalance_delay_ms=config.group_initial_rebalance_delay_ms,
        offset_metadata_max_bytes=config.offset_metadata_max_bytes,
        offsets_retention_ms=config.offsets_retention_minutes * 60_000,
        offsets_retention_check_interval_ms=config.offsets_retention_check_interval_ms,
    )


class Services:
    """Use cases by name, and the parts under them that the broker starts and stops."""

    def __init__(
        self,
        config: NodeConfig,
        log_dirs: LogDirs,
        ports: NodePorts,
        loop: asyncio.AbstractEventLoop,
        new_alarm: NewAlarm,
    ) -> None:
        random, wall_ms = ports.random, ports.wall_ms
        groups = group_config(config)
        effective = EffectiveConfigs(config)
        self.controller = Controller(
            config.node_id, effective, random, new_alarm, ControllerSettings.of(config)
        )
        view = ImageView(self.controller, effective)
        self.topic_name = view.topic_name
        self.replicas = Replicas(config.node_id, view, log_dirs, wall_ms, loop.call_soon)
        self.coordinators = CoordinatorRuntime(
            config.node_id,
            config.coordinator_shards,
            groups,
            loop,
            wall_ms,
            member_ids(random),
        )
        sessions = FetchSessions(
            config.max_incremental_fetch_session_cache_slots,
            FETCH_SESSION_EVICTION_MS_MIN,
            lambda: random.randrange(1, 2**31),
        )
        self.produce = ProduceService(self.replicas, wall_ms, new_alarm)
        self.fetch = FetchService(self.replicas, sessions, view.topic_name, config.fetch_max_bytes, new_alarm)
        self.list_offsets = ListOffsetsService(self.replicas)
        self.records = RecordsService(self.replicas, log_dirs)
        self.cluster = ClusterService(config.node_id, config.advertised_listeners, view.current)
        self.metadata = MetadataService(
            view.current,
            self.controller,
            lambda: effective.node(self.controller.image).auto_create_topics_enable,
            lambda: config.max_request_partition_size_limit,
        )
        self.topics = TopicsService(self.controller, lambda: config.delete_topic_enable)
        self.configs = ConfigsService(config.node_id, view.current, effective.node, self.controller)
        self.producer_ids = ProducerIdService(self.controller)
        self.groups = GroupsService(self.coordinators, groups, self._coordinator_endpoint)
        self.offsets = OffsetsService(self.coordinators, view)
        self.controller.subscribe(self._on_image)

    def _coordinator_endpoint(self, context: RequestContext, node_id: int) -> CoordinatorEndpoint | None:
        address = self.cluster.address(context, node_id)
        return None if address is None else CoordinatorEndpoint(node_id, *address)

    def _on_image(self, delta: MetadataDelta, image: MetadataImage) -> None:
        deleted = list(delta.deleted_topics.values())
        reconfigured = [name for resource, name in delta.changed_configs if resource == ResourceType.TOPIC]
        if any(resource == ResourceType.BROKER for resource, _ in delta.changed_configs):
            # Every default may be another.
            reconfigured = list({topic for topic, _ in self.replicas.opened()})
        if delta.before is not EMPTY_IMAGE:  # the first delta is what was there before this life of the node
            self.replicas.on_topics_created(
                topic for topic in delta.changed_topics.values() if delta.is_new(topic)
            )
        if deleted or reconfigured:
            self.replicas.on_topics_changed(deleted, reconfigured)
        if deleted:
            self.coordinators.on_topics_deleted({topic.name: topic.topic_id for topic in deleted})
