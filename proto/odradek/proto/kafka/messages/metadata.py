"""Derived from kafka-clients-4.4.0 by `proto/tools/derive_messages.py`: metadata.

Do not edit. The notation is explained in `odradek.proto.kafka.schema`.
"""

from __future__ import annotations

from odradek.proto.kafka.schema import (
    Message,
    Struct,
    array,
    boolean,
    int16,
    int32,
    string,
    struct,
    uuid,
)


class MetadataRequest(Message, key=3, versions="0-13", flexible="9+"):
    topics: list[MetadataRequest.MetadataRequestTopic] | None = array(
        "MetadataRequestTopic", "0+", nullable="1+"
    )
    allow_auto_topic_creation: bool = boolean("4+", default=True)
    include_cluster_authorized_operations: bool = boolean("8-10")
    include_topic_authorized_operations: bool = boolean("8+")

    class MetadataRequestTopic(Struct):
        topic_id: bytes = uuid("10+")
        name: str | None = string("0+", nullable="10+")


class MetadataResponse(Message, key=3, versions="0-13", flexible="9+"):
    throttle_time_ms: int = int32("3+")
    brokers: list[MetadataResponse.MetadataResponseBroker] = array("MetadataResponseBroker", "0+")
    cluster_id: str | None = string("2+", nullable="2+", default=None)
    controller_id: int = int32("1+", default=-1)
    topics: list[MetadataResponse.MetadataResponseTopic] = array("MetadataResponseTopic", "0+")
    cluster_authorized_operations: int = int32("8-10", default=-2147483648)
    error_code: int = int16("13+")

    class MetadataResponseBroker(Struct):
        node_id: int = int32("0+")
        host: str = string("0+")
        port: int = int32("0+")
        rack: str | None = string("1+", nullable="1+", default=None)

    class MetadataResponseTopic(Struct):
        error_code: int = int16("0+")
        name: str | None = string("0+", nullable="12+")
        topic_id: bytes = uuid("10+")
        is_internal: bool = boolean("1+")
        partitions: list[MetadataResponse.MetadataResponsePartition] = array(
            "MetadataResponsePartition", "0+"
        )
        topic_authorized_operations: int = int32("8+", default=-2147483648)

    class MetadataResponsePartition(Struct):
        error_code: int = int16("0+")
        partition_index: int = int32("0+")
        leader_id: int = int32("0+")
        leader_epoch: int = int32("7+", default=-1)
        replica_nodes: list[int] = array(int32, "0+")
        isr_nodes: list[int] = array(int32, "0+")
        offline_replicas: list[int] = array(int32, "5+")


class DescribeTopicPartitionsRequest(Message, key=75, versions="0", flexible="0+"):
    topics: list[DescribeTopicPartitionsRequest.TopicRequest] = array("TopicRequest", "0+")
    response_partition_limit: int = int32("0+", default=2000)
    cursor: DescribeTopicPartitionsRequest.Cursor | None = struct("Cursor", "0+", nullable="0+", default=None)

    class TopicRequest(Struct):
        name: str = string("0+")

    class Cursor(Struct):
        topic_name: str = string("0+")
        partition_index: int = int32("0+")


class DescribeTopicPartitionsResponse(Message, key=75, versions="0", flexible="0+"):
    throttle_time_ms: int = int32("0+")
    topics: list[DescribeTopicPartitionsResponse.DescribeTopicPartitionsResponseTopic] = array(
        "DescribeTopicPartitionsResponseTopic", "0+"
    )
    next_cursor: DescribeTopicPartitionsResponse.Cursor | None = struct(
        "Cursor", "0+", nullable="0+", default=None
    )

    class DescribeTopicPartitionsResponseTopic(Struct):
        error_code: int = int16("0+")
        name: str | None = string("0+", nullable="0+")
        topic_id: bytes = uuid("0+")
        is_internal: bool = boolean("0+")
        partitions: list[DescribeTopicPartitionsResponse.DescribeTopicPartitionsResponsePartition] = array(
            "DescribeTopicPartitionsResponsePartition", "0+"
        )
        topic_authorized_operations: int = int32("0+", default=-2147483648)

    class Cursor(Struct):
        topic_name: str = string("0+")
        partition_index: int = int32("0+")

    class DescribeTopicPartitionsResponsePartition(Struct):
        error_code: int = int16("0+")
        partition_index: int = int32("0+")
        leader_id: int = int32("0+")
        leader_epoch: int = int32("0+", default=-1)
        replica_nodes: list[int] = array(int32, "0+")
        isr_nodes: list[int] = array(int32, "0+")
        eligible_leader_replicas: list[int] | None = array(int32, "0+", nullable="0+", default=None)
        last_known_elr: list[int] | None = array(int32, "0+", nullable="0+", default=None)
        offline_replicas: list[int] = array(int32, "0+")
