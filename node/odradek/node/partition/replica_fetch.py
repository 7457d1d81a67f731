"""A follower's requests in Kafka's protocol: Fetch with a session, ListOffsets for what is out of range. Pure.

Translates only. Source: KIP-227, KIP-903 (the replica's broker epoch), KIP-595.
"""

from __future__ import annotations

from typing import Final

from odradek.node.partition.fetch_schedule import Ask
from odradek.node.partition.partition import Partition
from odradek.node.partition.replication_config import ReplicationConfig
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.fetch import FetchRequest, FetchResponse
from odradek.proto.kafka.messages.list_offsets import ListOffsetsRequest, ListOffsetsResponse

__all__ = ["FetchRequest", "FetchResponse", "ListOffsetsRequest", "ListOffsetsResponse"]

FETCH_VERSION: Final = 17
LIST_OFFSETS_VERSION: Final = 8
LATEST: Final = -1
EARLIEST: Final = -2


def fetch_request(ask: Ask, node_id: int, broker_epoch: int, config: ReplicationConfig) -> FetchRequest:
    topics: dict[bytes, FetchRequest.FetchTopic] = {}
    for one in ask.mentioned:
        topic = topics.get(one.topic_id)
        if topic is None:
            topic = topics[one.topic_id] = FetchRequest.FetchTopic(topic_id=one.topic_id, partitions=[])
        topic.partitions.append(
            FetchRequest.FetchPartition(
                partition=one.index,
                current_leader_epoch=one.leader_epoch,
                fetch_offset=one.fetch_offset,
                last_fetched_epoch=one.last_epoch,
                log_start_offset=one.log_start_offset,
                partition_max_bytes=config.fetch_bytes_max,
            )
        )
    forgotten: dict[bytes, FetchRequest.ForgottenTopic] = {}
    for topic_id, index in ask.forgotten:
        gone = forgotten.get(topic_id)
        if gone is None:
            gone = forgotten[topic_id] = FetchRequest.ForgottenTopic(topic_id=topic_id, partitions=[])
        gone.partitions.append(index)
    return FetchRequest(
        replica_state=FetchRequest.ReplicaState(replica_id=node_id, replica_epoch=broker_epoch),
        max_wait_ms=ask.max_wait_ms,
        min_bytes=config.fetch_bytes_min,
        max_bytes=config.response_bytes_max,
        session_id=ask.session_id,
        session_epoch=ask.session_epoch,
        topics=list(topics.values()),
        forgotten_topics_data=list(forgotten.values()),
    )


def list_offsets_request(partition: Partition, node_id: int, position: int) -> ListOffsetsRequest:
    """For the leader's log end (LATEST) or log start (EARLIEST)."""
    asked = ListOffsetsRequest.ListOffsetsPartition(
        partition_index=partition.index,
        current_leader_epoch=partition.replica.leader_epoch,
        timestamp=position,
    )
    topic = ListOffsetsRequest.ListOffsetsTopic(name=partition.topic, partitions=[asked])
    return ListOffsetsRequest(replica_id=node_id, topics=[topic])


def listed_offset(response: ListOffsetsResponse) -> int | ErrorCode:
    """The one offset that was asked for."""
    for topic in response.topics:
        for answered in topic.partitions:
            error = ErrorCode(answered.error_code)
            return answered.offset if error is ErrorCode.NONE else error
    return ErrorCode.UNKNOWN_SERVER_ERROR
