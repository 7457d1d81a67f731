"""Door 1: Kafka's bytes on a socket of the real listener."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Mapping
from typing import TypeVar

from tests.doors.door import (
    EARLIEST,
    LATEST,
    Fetched,
    GroupMember,
    GroupView,
    Listed,
    TopicPartition,
    Written,
)

from odradek.node.coordinator.group.consumer_protocol import decode_assignment
from odradek.proto.kafka.api import ApiKey
from odradek.proto.kafka.codec import decode
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.headers import RequestHeader, decode_response_header, encode_request_frame
from odradek.proto.kafka.messages import classic_group as groups
from odradek.proto.kafka.messages import configs, offsets, topics
from odradek.proto.kafka.messages.fetch import FetchRequest, FetchResponse
from odradek.proto.kafka.messages.list_offsets import ListOffsetsRequest, ListOffsetsResponse
from odradek.proto.kafka.messages.metadata import MetadataRequest, MetadataResponse
from odradek.proto.kafka.messages.produce import ProduceRequest, ProduceResponse
from odradek.proto.kafka.messages.transactions import InitProducerIdRequest, InitProducerIdResponse
from odradek.proto.kafka.schema import Message

R = TypeVar("R", bound=Message)
TIMEOUT_S = 20
SPECIAL = {EARLIEST: -2, LATEST: -1}
TOPIC_RESOURCE = 2
SET = 0


class KafkaDoor:
    """One connection; one request at a time."""

    name = "kafka"

    def __init__(self, address: str, client_id: str = "kafka-door") -> None:
        self._address = address
        self._client_id = client_id
        self._turn = asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, version: int, request: Message, answer: type[R]) -> R:
        async with self._turn:
            if self._streams is None:
                host, _, port = self._address.rpartition(":")
                self._streams = await asyncio.open_connection(host, int(port))
            reader, writer = self._streams
            key = request.INFO.key
            assert key is not None
            header = RequestHeader(int(ApiKey(key)), version, 1, self._client_id)
            writer.writelines(encode_request_frame(header, request))
            (size,) = struct.unpack(">i", await asyncio.wait_for(reader.readexactly(4), TIMEOUT_S))
            frame = await reader.readexactly(size)
            return decode(answer, version, frame, decode_response_header(frame, key, version)[1])

    async def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()

    # -- data

    async def produce(self, topic: str, partition: int, batch: bytes, acks: int = -1) -> Written:
        data = ProduceRequest.PartitionProduceData(index=partition, records=batch)
        request = ProduceRequest(
            acks=acks,
            timeout_ms=10_000,
            topic_data=[ProduceRequest.TopicProduceData(name=topic, partition_data=[data])],
        )
        answer = (await self.ask(12, request, ProduceResponse)).responses[0].partition_responses[0]
        return Written(_name(answer.error_code), answer.base_offset, answer.log_append_time_ms)

    async def fetch(
        self,
        topic: str,
        partition: int,
        offset: int,
        *,
        leader_epoch: int = -1,
        max_bytes: int = 1 << 20,
        max_wait_ms: int = 0,
    ) -> Fetched:
        asked = FetchRequest.FetchPartition(
            partition=partition,
            current_leader_epoch=leader_epoch,
            fetch_offset=offset,
            partition_max_bytes=max_bytes,
        )
        request = FetchRequest(
            max_wait_ms=max_wait_ms,
            min_bytes=1,
            max_bytes=max_bytes,
            topics=[FetchRequest.FetchTopic(topic=topic, partitions=[asked])],
        )
        answer = (await self.ask(12, request, FetchResponse)).responses[0].partitions[0]
        return Fetched(
            _name(answer.error_code),
            answer.high_watermark,
            answer.log_start_offset,
            bytes(answer.records or b""),
        )

    async def list_offset(self, topic: str, partition: int, at: str | int, leader_epoch: int = -1) -> Listed:
        asked = ListOffsetsRequest.ListOffsetsPartition(
            partition_index=partition,
            current_leader_epoch=leader_epoch,
            timestamp=at if isinstance(at, int) else SPECIAL[at],
        )
        request = ListOffsetsRequest(
            replica_id=-1, topics=[ListOffsetsRequest.ListOffsetsTopic(name=topic, partitions=[asked])]
        )
        answer = (await self.ask(8, request, ListOffsetsResponse)).topics[0].partitions[0]
        return Listed(_name(answer.error_code), answer.offset, answer.timestamp)

    async def partition_count(self, topic: str) -> int | str:
        request = MetadataRequest(
            topics=[MetadataRequest.MetadataRequestTopic(name=topic)], allow_auto_topic_creation=False
        )
        found = (await self.ask(12, request, MetadataResponse)).topics[0]
        return _name(found.error_code) if found.error_code else len(found.partitions)

    async def producer_id(self) -> tuple[int, int]:
        request = InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=1000)
        answer = await self.ask(4, request, InitProducerIdResponse)
        assert answer.error_code == 0
        return answer.producer_id, answer.producer_epoch

    # -- topics

    async def create_topic(self, topic: str, count: int = 1, configs: Mapping[str, str] | None = None) -> str:
        entry = topics.CreateTopicsRequest.CreatableTopic(
            name=topic,
            num_partitions=count,
            replication_factor=1,
            configs=[
                topics.CreateTopicsRequest.CreatableTopicConfig(name=name, value=value)
                for name, value in (configs or {}).items()
            ],
        )
        request = topics.CreateTopicsRequest(topics=[entry], timeout_ms=10_000)
        return _name((await self.ask(7, request, topics.CreateTopicsResponse)).topics[0].error_code)

    async def delete_topic(self, topic: str) -> str:
        request = topics.DeleteTopicsRequest(topic_names=[topic], timeout_ms=10_000)
        return _name((await self.ask(5, request, topics.DeleteTopicsResponse)).responses[0].error_code)

    async def grow_topic(self, topic: str, count: int) -> str:
        entry = topics.CreatePartitionsRequest.CreatePartitionsTopic(
            name=topic, count=count, assignments=None
        )
        request = topics.CreatePartitionsRequest(topics=[entry], timeout_ms=10_000)
        return _name((await self.ask(3, request, topics.CreatePartitionsResponse)).results[0].error_code)

    async def delete_records(self, topic: str, partition: int, before: int) -> str:
        entry = topics.DeleteRecordsRequest.DeleteRecordsPartition(partition_index=partition, offset=before)
        request = topics.DeleteRecordsRequest(
            topics=[topics.DeleteRecordsRequest.DeleteRecordsTopic(name=topic, partitions=[entry])],
            timeout_ms=10_000,
        )
        answer = await self.ask(2, request, topics.DeleteRecordsResponse)
        return _name(answer.topics[0].partitions[0].error_code)

    async def configs(self, topic: str) -> dict[str, str | None]:
        entry = configs.DescribeConfigsRequest.DescribeConfigsResource(
            resource_type=TOPIC_RESOURCE, resource_name=topic, configuration_keys=None
        )
        request = configs.DescribeConfigsRequest(resources=[entry])
        (result,) = (await self.ask(4, request, configs.DescribeConfigsResponse)).results
        assert result.error_code == 0, result
        return {one.name: one.value for one in result.configs}

    async def set_config(self, topic: str, name: str, value: str) -> str:
        change = configs.IncrementalAlterConfigsRequest.AlterableConfig(
            name=name, config_operation=SET, value=value
        )
        entry = configs.IncrementalAlterConfigsRequest.AlterConfigsResource(
            resource_type=TOPIC_RESOURCE, resource_name=topic, configs=[change]
        )
        request = configs.IncrementalAlterConfigsRequest(resources=[entry])
        answer = await self.ask(1, request, configs.IncrementalAlterConfigsResponse)
        return _name(answer.responses[0].error_code)

    # -- groups

    async def commit(
        self, group: str, offsets_by: Mapping[TopicPartition, int], metadata: str = ""
    ) -> dict[TopicPartition, str]:
        ask = offsets.OffsetCommitRequest
        request = ask(
            group_id=group,
            topics=[
                ask.OffsetCommitRequestTopic(
                    name=topic,
                    partitions=[
                        ask.OffsetCommitRequestPartition(
                            partition_index=index, committed_offset=offset, committed_metadata=metadata
                        )
                    ],
                )
                for (topic, index), offset in offsets_by.items()
            ],
        )
        answer = await self.ask(9, request, offsets.OffsetCommitResponse)
        return {
            (topic.name, one.partition_index): _name(one.error_code)
            for topic in answer.topics
            for one in topic.partitions
        }

    async def committed(self, group: str) -> dict[TopicPartition, tuple[int, str]]:
        asked = offsets.OffsetFetchRequest.OffsetFetchRequestGroup(group_id=group, topics=None)
        request = offsets.OffsetFetchRequest(groups=[asked])
        (answer,) = (await self.ask(9, request, offsets.OffsetFetchResponse)).groups
        assert answer.error_code == 0, answer
        return {
            (topic.name, one.partition_index): (one.committed_offset, one.metadata or "")
            for topic in answer.topics
            for one in topic.partitions
        }

    async def describe(self, group: str) -> GroupView:
        request = groups.DescribeGroupsRequest(groups=[group])
        (found,) = (await self.ask(6, request, groups.DescribeGroupsResponse)).groups
        members = [
            GroupMember(
                one.client_id,
                one.group_instance_id or "",
                tuple(
                    (topic, index)
                    for topic, indexes in decode_assignment(one.member_assignment).items()
                    for index in indexes
                ),
            )
            for one in found.members
        ]
        return GroupView(_name(found.error_code), found.group_state, tuple(sorted(members)))

    async def delete_group(self, group: str) -> str:
        request = groups.DeleteGroupsRequest(groups_names=[group])
        return _name((await self.ask(2, request, groups.DeleteGroupsResponse)).results[0].error_code)


def _name(code: int) -> str:
    return ErrorCode(code).name
