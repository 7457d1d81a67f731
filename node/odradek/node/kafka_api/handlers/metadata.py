"""Metadata, DescribeTopicPartitions.

Keys: 3, 75. Versions: 0-13, 0. Behaviour: topics by name, by id (from 12) or all; naming a topic may create
it; pages of partitions by topic name. Version notes: an empty list asks for all topics in 0 and for none
from 1 on, where null asks for all; 4 brings allow_auto_topic_creation (true before); 10 and 11 carry topic
ids in requests that must not be used; 11 drops the operations on the cluster; 12 answers an unknown id with
a null name. A leader that does not serve the client's listener is LISTENER_NOT_FOUND from 6 on, before that and
where there is none LEADER_NOT_AVAILABLE; 0 has no offline replicas and leaves those out that are not alive, with
REPLICA_NOT_AVAILABLE. Not implemented: nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from odradek.node.app.cluster import CLUSTER_OPERATIONS, TOPIC_OPERATIONS, ClusterService
from odradek.node.app.context import RequestContext
from odradek.node.app.metadata import INTERNAL_TOPICS, AskedTopic, FoundTopic, MetadataService
from odradek.node.controller.image import BrokerImage, PartitionImage, TopicImage
from odradek.node.kafka_api.registry import Route
from odradek.proto.kafka.api import ApiKey
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.metadata import (
    DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsResponse,
    MetadataRequest,
    MetadataResponse,
)

_NOT_ASKED: Final = -(2**31)
_FIRST_VERSION_BY_ID: Final = 12
_FIRST_VERSION_WITH_OFFLINE: Final = 1
_FIRST_VERSION_WITH_LISTENERS: Final = 6
_NO_DIRECTORY: Final = bytes(16)

_Topic = MetadataResponse.MetadataResponseTopic
_Partition = MetadataResponse.MetadataResponsePartition


class MetadataHandlers:
    def __init__(self, service: MetadataService, cluster: ClusterService) -> None:
        self._service = service
        self._cluster = cluster
        # Answers by topic id: a topic image never changes, and which brokers are up only through `brokers`.
        self._remembered: dict[tuple[str, bool], dict[bytes, tuple[TopicImage, list[_Partition]]]] = {}
        self._brokers: Mapping[int, BrokerImage] | None = None

    def routes(self) -> list[Route]:
        return [
            Route(ApiKey.METADATA, 0, 13, self.metadata),
            Route(ApiKey.DESCRIBE_TOPIC_PARTITIONS, 0, 0, self.describe_topic_partitions),
        ]

    def metadata(self, context: RequestContext, request: MetadataRequest, version: int) -> MetadataResponse:
        wants_all = request.topics is None or (version == 0 and not request.topics)
        by_id_too_early = version < _FIRST_VERSION_BY_ID and any(
            topic.name is None or topic.topic_id != bytes(16) for topic in request.topics or ()
        )
        if wants_all:
            found = self._service.all_topics()
        elif by_id_too_early:
            found = [
                FoundTopic(ErrorCode.INVALID_REQUEST, topic.name or "", topic.topic_id)
                for topic in request.topics or ()
            ]
        else:
            found = self._service.find_topics(
                [AskedTopic(topic.name, topic.topic_id) for topic in request.topics or ()],
                allow_auto_creation=request.allow_auto_topic_creation,
            )
        asks_operations = version >= 8 and request.include_topic_authorized_operations
        operations = TOPIC_OPERATIONS if asks_operations else _NOT_ASKED
        return MetadataResponse(
            brokers=[
                MetadataResponse.MetadataResponseBroker(
                    node_id=broker.broker_id, host=broker.host, port=broker.port, rack=broker.rack
                )
                for broker in self._cluster.brokers(context)
            ],
            cluster_id=self._cluster.cluster_id,
            controller_id=self._cluster.controller_id,
            topics=[self._topic(topic, operations, context.listener, version) for topic in found],
            cluster_authorized_operations=(
                CLUSTER_OPERATIONS if request.include_cluster_authorized_operations else _NOT_ASKED
            ),
        )

    def describe_topic_partitions(
        self, context: RequestContext, request: DescribeTopicPartitionsRequest, version: int
    ) -> DescribeTopicPartitionsResponse:
        cursor = (
            None if request.cursor is None else (request.cursor.topic_name, request.cursor.partition_index)
        )
        names = [topic.name for topic in request.topics]
        page = self._service.partitions_page(names, cursor, request.response_partition_limit)
        if isinstance(page, ErrorCode):
            failed = DescribeTopicPartitionsResponse.DescribeTopicPartitionsResponseTopic
            return DescribeTopicPartitionsResponse(
                topics=[failed(error_code=page, name=name) for name in dict.fromkeys(names)]
            )
        view = _View(self._service.image.brokers, context.listener, tells_listeners=True)
        response = DescribeTopicPartitionsResponse(
            topics=[_described_topic(topic, indexes, view) for topic, indexes in page.topics]
        )
        if page.next is not None:
            response.next_cursor = DescribeTopicPartitionsResponse.Cursor(
                topic_name=page.next[0], partition_index=page.next[1]
            )
        return response

    def _topic(self, found: FoundTopic, operations: int, listener: str, version: int) -> _Topic:
        if found.topic is None:
            unknown_id = found.error in (ErrorCode.UNKNOWN_TOPIC_ID, ErrorCode.INVALID_REQUEST)
            return _Topic(
                error_code=found.error,
                name=found.name if found.name is not None or version >= _FIRST_VERSION_BY_ID else "",
                topic_id=found.topic_id,
                is_internal=found.name in INTERNAL_TOPICS,
                topic_authorized_operations=_NOT_ASKED if unknown_id else operations,
            )
        return _Topic(
            name=found.name,
            topic_id=found.topic_id,
            is_internal=found.name in INTERNAL_TOPICS,
            partitions=self._partitions(found.topic, listener, version),
            topic_authorized_operations=operations,
        )

    def _partitions(self, topic: TopicImage, listener: str, version: int) -> list[_Partition]:
        image = self._service.image
        tells_listeners = version >= _FIRST_VERSION_WITH_LISTENERS
        view = _View(image.brokers, listener, tells_listeners)
        if version < _FIRST_VERSION_WITH_OFFLINE:
            return [view.only_alive(partition) for partition in _partitions(topic, view)]
        if image.brokers is not self._brokers:
            self._brokers = image.brokers
            self._remembered.clear()
        remembered = self._remembered.setdefault((listener, tells_listeners), {})
        if len(remembered) > 2 * len(image.topics_by_id):
            remembered.clear()
        known = remembered.get(topic.topic_id)
        if known is not None and known[0] is topic:
            return known[1]
        partitions = _partitions(topic, view)
        remembered[topic.topic_id] = topic, partitions
        return partitions


class _View:
    """The brokers as a client of one listener sees them."""

    def __init__(self, brokers: Mapping[int, BrokerImage], listener: str, tells_listeners: bool) -> None:
        self._brokers = brokers
        self._listener = listener
        self._tells_listeners = tells_listeners

    def leader(self, image: PartitionImage) -> tuple[int, ErrorCode]:
        leader = self._brokers.get(image.leader)
        if leader is None or leader.fenced:
            return -1, ErrorCode.LEADER_NOT_AVAILABLE
        if self._listener not in leader.endpoints:
            error = ErrorCode.LISTENER_NOT_FOUND if self._tells_listeners else ErrorCode.LEADER_NOT_AVAILABLE
            return -1, error
        return image.leader, ErrorCode.NONE

    def offline(self, image: PartitionImage) -> list[int]:
        """The replicas whose broker is not alive here, or has lost their log directory."""
        offline = []
        for place, broker_id in enumerate(image.replicas):
            broker = self._brokers.get(broker_id)
            directory = image.directories[place] if image.directories else _NO_DIRECTORY
            if not self._is_alive(broker_id) or (
                broker is not None
                and broker.directories
                and directory != _NO_DIRECTORY
                and directory not in broker.directories
            ):
                offline.append(broker_id)
        return offline

    def only_alive(self, partition: _Partition) -> _Partition:
        replicas = [broker_id for broker_id in partition.replica_nodes if self._is_alive(broker_id)]
        isr = [broker_id for broker_id in partition.isr_nodes if self._is_alive(broker_id)]
        error = partition.error_code
        if not error and (len(replicas), len(isr)) != (
            len(partition.replica_nodes),
            len(partition.isr_nodes),
        ):
            error = ErrorCode.REPLICA_NOT_AVAILABLE
        return _Partition(
            error_code=error,
            partition_index=partition.partition_index,
            leader_id=partition.leader_id,
            replica_nodes=replicas,
            isr_nodes=isr,
        )

    def _is_alive(self, broker_id: int) -> bool:
        broker = self._brokers.get(broker_id)
        return broker is not None and not broker.fenced and self._listener in broker.endpoints


def _partitions(topic: TopicImage, view: _View) -> list[_Partition]:
    """Equal neighbours, which are one object in the image, share their lists of brokers."""
    partitions = []
    previous: PartitionImage | None = None
    for index, image in enumerate(topic.partitions):
        if image is not previous:
            previous = image
            leader, error = view.leader(image)
            replicas, isr = list(image.replicas), list(image.isr)
            offline = view.offline(image)
        partitions.append(
            _Partition(
                error_code=error,
                partition_index=index,
                leader_id=leader,
                leader_epoch=image.leader_epoch,
                replica_nodes=replicas,
                isr_nodes=isr,
                offline_replicas=offline,
            )
        )
    return partitions


def _described_topic(
    found: FoundTopic, indexes: range, view: _View
) -> DescribeTopicPartitionsResponse.DescribeTopicPartitionsResponseTopic:
    partitions = []
    for index in indexes if found.topic is not None else ():
        assert found.topic is not None
        image = found.topic.partitions[index]
        leader, _ = view.leader(image)  # no error here: the leader -1 says it
        partitions.append(
            DescribeTopicPartitionsResponse.DescribeTopicPartitionsResponsePartition(
                partition_index=index,
                leader_id=leader,
                leader_epoch=image.leader_epoch,
                replica_nodes=list(image.replicas),
                isr_nodes=list(image.isr),
                eligible_leader_replicas=list(image.eligible_leader_replicas),
                last_known_elr=list(image.last_known_elr),
                offline_replicas=view.offline(image),
            )
        )
    return DescribeTopicPartitionsResponse.DescribeTopicPartitionsResponseTopic(
        error_code=found.error,
        name=found.name,
        topic_id=found.topic_id,
        is_internal=found.name in INTERNAL_TOPICS,
        partitions=partitions,
        topic_authorized_operations=TOPIC_OPERATIONS,
    )
