"""Derived from kafka-clients-4.4.0 by `proto/tools/derive_messages.py`: topics.

Do not edit. The notation is explained in `odradek.proto.kafka.schema`.
"""

from __future__ import annotations

from odradek.proto.kafka.schema import (
    Message,
    Struct,
    array,
    boolean,
    int8,
    int16,
    int32,
    int64,
    string,
    uuid,
)


class CreateTopicsRequest(Message, key=19, versions="2-7", flexible="5+"):
    topics: list[CreateTopicsRequest.CreatableTopic] = array("CreatableTopic", "0+")
    timeout_ms: int = int32("0+", default=60000)
    validate_only: bool = boolean("1+")

    class CreatableTopic(Struct):
        name: str = string("0+")
        num_partitions: int = int32("0+")
        replication_factor: int = int16("0+")
        assignments: list[CreateTopicsRequest.CreatableReplicaAssignment] = array(
            "CreatableReplicaAssignment", "0+"
        )
        configs: list[CreateTopicsRequest.CreatableTopicConfig] = array("CreatableTopicConfig", "0+")

    class CreatableReplicaAssignment(Struct):
        partition_index: int = int32("0+")
        broker_ids: list[int] = array(int32, "0+")

    class CreatableTopicConfig(Struct):
        name: str = string("0+")
        value: str | None = string("0+", nullable="0+")


class CreateTopicsResponse(Message, key=19, versions="2-7", flexible="5+"):
    throttle_time_ms: int = int32("2+")
    topics: list[CreateTopicsResponse.CreatableTopicResult] = array("CreatableTopicResult", "0+")

    class CreatableTopicResult(Struct):
        name: str = string("0+")
        topic_id: bytes = uuid("7+")
        error_code: int = int16("0+")
        error_message: str | None = string("1+", nullable="0+")
        topic_config_error_code: int = int16("5+", tag=0)
        num_partitions: int = int32("5+", default=-1)
        replication_factor: int = int16("5+", default=-1)
        configs: list[CreateTopicsResponse.CreatableTopicConfigs] | None = array(
            "CreatableTopicConfigs", "5+", nullable="5+"
        )

    class CreatableTopicConfigs(Struct):
        name: str = string("5+")
        value: str | None = string("5+", nullable="5+")
        read_only: bool = boolean("5+")
        config_source: int = int8("5+", default=-1)
        is_sensitive: bool = boolean("5+")


class DeleteTopicsRequest(Message, key=20, versions="1-6", flexible="4+"):
    topics: list[DeleteTopicsRequest.DeleteTopicState] = array("DeleteTopicState", "6+")
    topic_names: list[str] = array(string, "0-5")
    timeout_ms: int = int32("0+")

    class DeleteTopicState(Struct):
        name: str | None = string("6+", nullable="6+", default=None)
        topic_id: bytes = uuid("6+")


class DeleteTopicsResponse(Message, key=20, versions="1-6", flexible="4+"):
    throttle_time_ms: int = int32("1+")
    responses: list[DeleteTopicsResponse.DeletableTopicResult] = array("DeletableTopicResult", "0+")

    class DeletableTopicResult(Struct):
        name: str | None = string("0+", nullable="6+")
        topic_id: bytes = uuid("6+")
        error_code: int = int16("0+")
        error_message: str | None = string("5+", nullable="5+", default=None)


class DeleteRecordsRequest(Message, key=21, versions="0-2", flexible="2+"):
    topics: list[DeleteRecordsRequest.DeleteRecordsTopic] = array("DeleteRecordsTopic", "0+")
    timeout_ms: int = int32("0+")

    class DeleteRecordsTopic(Struct):
        name: str = string("0+")
        partitions: list[DeleteRecordsRequest.DeleteRecordsPartition] = array("DeleteRecordsPartition", "0+")

    class DeleteRecordsPartition(Struct):
        partition_index: int = int32("0+")
        offset: int = int64("0+")


class DeleteRecordsResponse(Message, key=21, versions="0-2", flexible="2+"):
    throttle_time_ms: int = int32("0+")
    topics: list[DeleteRecordsResponse.DeleteRecordsTopicResult] = array("DeleteRecordsTopicResult", "0+")

    class DeleteRecordsTopicResult(Struct):
        name: str = string("0+")
        partitions: list[DeleteRecordsResponse.DeleteRecordsPartitionResult] = array(
            "DeleteRecordsPartitionResult", "0+"
        )

    class DeleteRecordsPartitionResult(Struct):
        partition_index: int = int32("0+")
        low_watermark: int = int64("0+")
        error_code: int = int16("0+")


class CreatePartitionsRequest(Message, key=37, versions="0-3", flexible="2+"):
    topics: list[CreatePartitionsRequest.CreatePartitionsTopic] = array("CreatePartitionsTopic", "0+")
    timeout_ms: int = int32("0+")
    validate_only: bool = boolean("0+")

    class CreatePartitionsTopic(Struct):
        name: str = string("0+")
        count: int = int32("0+")
        assignments: list[CreatePartitionsRequest.CreatePartitionsAssignment] | None = array(
            "CreatePartitionsAssignment", "0+", nullable="0+"
        )

    class CreatePartitionsAssignment(Struct):
        broker_ids: list[int] = array(int32, "0+")


class CreatePartitionsResponse(Message, key=37, versions="0-3", flexible="2+"):
    throttle_time_ms: int = int32("0+")
    results: list[CreatePartitionsResponse.CreatePartitionsTopicResult] = array(
        "CreatePartitionsTopicResult", "0+"
    )

    class CreatePartitionsTopicResult(Struct):
        name: str = string("0+")
        error_code: int = int16("0+")
        error_message: str | None = string("0+", nullable="0+", default=None)
