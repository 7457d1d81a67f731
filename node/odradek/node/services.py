"""The use cases of one node, constructed and joined: what every door is given.

Metadata flows from the controller's image to the replicas and the coordinators; nothing flows back but requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from odradek.node.app.brokers import BrokersService
from odradek.node.app.cluster import ClusterService
from odradek.node.app.configs import ConfigsService
from odradek.node.app.consume.consumer import Surroundings
from odradek.node.app.consume.service import ConsumeService
from odradek.node.app.context import RequestContext
from odradek.node.app.coordinators import Coordinators
from odradek.node.app.elections import ElectionsService
from odradek.node.app.features import FeaturesService
from odradek.node.app.fetch import FetchService
from odradek.node.app.groups import Endpoint as CoordinatorEndpoint
from odradek.node.app.groups import GroupsService
from odradek.node.app.image_changes import ImageChanges
from odradek.node.app.leaders import Leaders
from odradek.node.app.list_offsets import ListOffsetsService
from odradek.node.app.log_dirs import LogDirsService
from odradek.node.app.metadata import MetadataService
from odradek.node.app.offsets import OffsetsService
from odradek.node.app.produce import ProduceService
from odradek.node.app.producer_ids import ProducerIdService
from odradek.node.app.publish import PublishService
from odradek.node.app.quorum import QuorumListener, QuorumService, Voters
from odradek.node.app.reassignments import ReassignmentsService
from odradek.node.app.records import RecordsService
from odradek.node.app.topics import TopicsService
from odradek.node.config import NodeConfig
from odradek.node.config.identity import random_uuid
from odradek.node.controller.controller import Controller
from odradek.node.controller.delta import MetadataDelta
from odradek.node.controller.effective import EffectiveConfigs
from odradek.node.controller.image import BrokerImage, MetadataImage, TopicImage
from odradek.node.controller.settings import ControllerSettings
from odradek.node.coordinator.config import GroupConfig
from odradek.node.coordinator.group.shard import member_ids
from odradek.node.coordinator.runtime import CoordinatorRuntime
from odradek.node.interbroker.controller_channel import Dispatch
from odradek.node.interbroker.elsewhere import ElsewhereOverKafka
from odradek.node.interbroker.outward import Outward
from odradek.node.net.peer import Peers
from odradek.node.partition.fetch_session import FetchSessions
from odradek.node.partition.replication import Replication, ReplicationPorts
from odradek.node.partition.replication_config import replication_config
from odradek.node.ports import NodePorts
from odradek.node.runtime.alarm import Alarm
from odradek.raft.group import RaftGroup
from odradek.storage.log import PartitionLog
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

    def broker(self, broker_id: int) -> BrokerImage | None:
        return self.image.brokers.get(broker_id)

    def broker_epoch(self, broker_id: int) -> int:
        broker = self.image.brokers.get(broker_id)
        return -1 if broker is None else broker.epoch

    @property
    def is_active(self) -> bool:
        return self._controller.is_active

    @property
    def active_controller_id(self) -> int | None:
        return self._controller.active_controller_id

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


def quorum_listeners(config: NodeConfig) -> dict[int, list[QuorumListener]]:
    """Where the voters of `controller.quorum.voters` listen for each other, by node."""
    name = config.controller_listener_names[0] if config.controller_listener_names else "CONTROLLER"
    return {voter.node_id: [QuorumListener(name, voter.host, voter.port)] for voter in config.quorum_voters}


class Services:
    """Use cases by name, and the parts under them that the broker starts and stops."""

    def __init__(
        self,
        config: NodeConfig,
        log_dirs: LogDirs,
        ports: NodePorts,
        loop: asyncio.AbstractEventLoop,
        new_alarm: NewAlarm,
        dispatch: Dispatch,
    ) -> None:
        """`dispatch` carries out a request of this node to itself."""
        self._node_id = config.node_id
        self._loop = loop
        self.wall_ms = ports.wall_ms
        self.inter_broker_listener = config.inter_broker_listener_name
        self.directory_ids: Mapping[str, bytes] = {}
        """Of the log directories by path, once they are known."""
        self._effective = EffectiveConfigs(config)
        settings = ControllerSettings.of(config)
        peers = Peers(self._peer_address)
        self.controller = Controller(
            config.node_id, self._effective, ports.random, new_alarm, settings, peers
        )
        self._view = ImageView(self.controller, self._effective)
        self.topic_name = self._view.topic_name
        self.log_config = self._view.log_config
        self.outward = Outward(
            config, self._view, peers, dispatch, self.monotonic_ms, is_alone=settings.is_alone
        )
        self._make_data_path(config, log_dirs, ports, new_alarm)
        self._make_use_cases(config, log_dirs, ports, new_alarm)
        self._make_wide_use_cases(ports)
        self.controller.subscribe(self._on_image)

    def _make_data_path(
        self, config: NodeConfig, log_dirs: LogDirs, ports: NodePorts, new_alarm: NewAlarm
    ) -> None:
        outward = self.outward
        self.replication = Replication(
            config.node_id,
            self._view,
            log_dirs,
            replication_config(config),
            ReplicationPorts(
                ports.wall_ms,
                self.monotonic_ms,
                self._loop.call_soon,
                new_alarm,
                outward.lease,
                outward.broker_epoch,
                outward.peers,
                outward,
                self.controller.on_broker_lost,
            ),
        )
        self.replication.throttle_rates = self._throttle_rates
        self.replication.directories.ids = lambda: self.directory_ids
        self.replication.directories.report = outward.directory_reports.report
        self.replicas = self.replication.replicas
        self.coordinators = CoordinatorRuntime(
            config.node_id,
            config.coordinator_shards,
            group_config(config),
            self._loop,
            ports.wall_ms,
            member_ids(ports.random),
        )

    def _make_use_cases(
        self, config: NodeConfig, log_dirs: LogDirs, ports: NodePorts, new_alarm: NewAlarm
    ) -> None:
        random, wall_ms, view, effective = ports.random, ports.wall_ms, self._view, self._effective
        remote = self.outward.remote_controller
        sessions = FetchSessions(
            config.max_incremental_fetch_session_cache_slots,
            FETCH_SESSION_EVICTION_MS_MIN,
            lambda: random.randrange(1, 2**31),
        )
        self.produce = ProduceService(self.replicas, wall_ms, new_alarm)
        self.fetch = FetchService(self.replicas, sessions, view.topic_name, config.fetch_max_bytes, new_alarm)
        self.fetch.serve(self.replication)
        self.list_offsets = ListOffsetsService(self.replicas)
        self.records = RecordsService(self.replicas)
        self.log_dirs = LogDirsService(
            self.replicas,
            log_dirs,
            wall_ms,
            lambda: random_uuid(random.randbytes).hex(),
            lambda: effective.node(self.controller.image).replica_alter_log_dirs_bytes_per_second,
        )
        self.log_dirs.on_moved = self._on_log_moved
        self.cluster = ClusterService(config.node_id, config.advertised_listeners, view.current)
        self.metadata = MetadataService(
            view.current,
            remote,
            lambda: effective.node(self.controller.image).auto_create_topics_enable,
            lambda: config.max_request_partition_size_limit,
        )
        self.topics = TopicsService(self.controller, lambda: config.delete_topic_enable)
        self.configs = ConfigsService(config.node_id, view.current, effective.node, self.controller)
        self.producer_ids = ProducerIdService(remote)
        self.brokers = BrokersService(self.controller, config.inter_broker_listener_name)
        self.groups = GroupsService(self.coordinators, group_config(config), self._coordinator_endpoint)
        self.offsets = OffsetsService(self.coordinators, view)
        self.elections = ElectionsService(self.controller)
        self.reassignments = ReassignmentsService(self.controller)
        self.features = FeaturesService(self.controller, view.current)
        self.quorum = QuorumService(
            view.current, quorum_listeners(config), lambda: (self.monotonic_ms(), wall_ms())
        )

    def _make_wide_use_cases(self, ports: NodePorts) -> None:
        """Those that any node serves, wherever partitions and groups are."""
        self.image_changes = ImageChanges()
        elsewhere = ElsewhereOverKafka(self.outward.peers)
        self.leaders = Leaders(
            self._node_id, self._view.current, self.produce, self.fetch, self.list_offsets, elsewhere
        )
        self.publish = PublishService(
            self.leaders,
            self.metadata,
            self.image_changes,
            lambda topic: self.log_config(topic).max_message_bytes,
            ports.wall_ms,
            ports.random,
        )
        coordinators = Coordinators(
            self._node_id, self.coordinators.leader_of, self.groups, self.offsets, elsewhere
        )
        self.consume = ConsumeService(
            Surroundings(
                self.leaders,
                coordinators,
                lambda: list(self._view.image.topics_by_name),
                self._view.partition_count,
            )
        )

    def attach(self, metadata: RaftGroup, shards: Sequence[RaftGroup], voters: Voters | None = None) -> None:
        """The Raft groups are open. `voters` changes who votes; None where nobody can."""
        self.controller.attach(metadata)
        self.quorum.attach(metadata, voters)
        for index, shard in enumerate(shards):
            self.coordinators.attach(index, shard)

    def stop(self) -> None:
        """Answer what is parked, ask nothing of anybody any more."""
        self.replication.stop()
        self.coordinators.stop()
        self.outward.stop()

    def monotonic_ms(self) -> int:
        return int(self._loop.time() * 1000)

    def _throttle_rates(self) -> tuple[int, int]:
        """Of replication, in bytes a second, as leader and as follower."""
        node = self._effective.node(self.controller.image)
        return node.leader_replication_throttled_rate, node.follower_replication_throttled_rate

    def _peer_address(self, node_id: int) -> tuple[str, int] | None:
        broker = self.controller.image.brokers.get(node_id)
        endpoint = None if broker is None else broker.endpoints.get(self.inter_broker_listener)
        return None if endpoint is None else (endpoint.host, endpoint.port)

    def _on_log_moved(self, log: PartitionLog) -> None:
        topic = self._view.topic(log.topic)
        place = None if topic is None else self._view.image.partition(log.topic, log.partition)
        if topic is not None and place is not None and self._node_id in place.replicas:
            self.replication.directories.may_be_followed(topic, log.partition, place)

    def _coordinator_endpoint(self, context: RequestContext, node_id: int) -> CoordinatorEndpoint | None:
        address = self.cluster.address(context, node_id)
        return None if address is None else CoordinatorEndpoint(node_id, *address)

    def _on_image(self, delta: MetadataDelta, image: MetadataImage) -> None:
        self.replication.on_image(delta, image)
        self.image_changes.announce()
        if len(self.consume) and (delta.changed_topics or delta.deleted_topics):
            topics = (*delta.changed_topics.values(), *delta.deleted_topics.values())
            self.consume.on_image({topic.name for topic in topics})
        deleted = delta.deleted_topics.values()
        if deleted:
            self.coordinators.on_topics_deleted({topic.name: topic.topic_id for topic in deleted})
