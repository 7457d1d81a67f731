"""Door 2 and no door: the messages of `odradek.v1`, carried by a gRPC channel or handed to the servicers directly.

`Carrier` is the difference: `GrpcCarrier` goes through the real server, `DirectCarrier` calls the servicers, so what
the two tell apart is only what the server adds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import grpc
import grpc.aio
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from tests.doors.door import (
    EARLIEST,
    Fetched,
    GroupMember,
    GroupView,
    Listed,
    TopicPartition,
    Written,
)

from odradek.node.app.context import RequestContext
from odradek.node.grpc_api.methods import Call, Method
from odradek.node.grpc_api.refusal import DETAILS_KEY, RefusalError
from odradek.v1 import config_service_pb2 as configs_pb
from odradek.v1 import group_service_pb2 as groups_pb
from odradek.v1 import log_service_pb2 as log_pb
from odradek.v1 import record_pb2
from odradek.v1 import topic_service_pb2 as topics_pb

TIMEOUT_S = 20
STATES = {
    groups_pb.GROUP_STATE_EMPTY: "Empty",
    groups_pb.GROUP_STATE_PREPARING_REBALANCE: "PreparingRebalance",
    groups_pb.GROUP_STATE_COMPLETING_REBALANCE: "CompletingRebalance",
    groups_pb.GROUP_STATE_STABLE: "Stable",
    groups_pb.GROUP_STATE_DEAD: "Dead",
}


class Refused(Exception):
    """A call that ended with a status other than OK."""

    def __init__(self, status: str, reason: str, message: str, metadata: Mapping[str, str]) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata)

    @classmethod
    def of(cls, error: grpc.aio.AioRpcError) -> Refused:
        """From the details that the server sent; reason "" where there are none."""
        reason, metadata = "", {}
        for key, value in error.trailing_metadata() or ():
            if key == DETAILS_KEY:
                assert isinstance(value, bytes)
                status = Status.FromString(value)
                info = ErrorInfo()
                if status.details and status.details[0].Unpack(info):
                    assert info.domain == "odradek.dev"
                    reason, metadata = info.reason, dict(info.metadata)
        return cls(error.code().name, reason, error.details() or "", metadata)


class Carrier(Protocol):
    name: str

    async def call(self, path: str, request: Message, answer: type[Any]) -> Any:
        """`path` is "Service/Method". Raises Refused."""
        ...

    async def close(self) -> None: ...


class GrpcCarrier:
    name = "grpc"

    def __init__(self, address: str, client_id: str | None = None) -> None:
        self.channel = grpc.aio.insecure_channel(
            address, options=[("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)]
        )
        self.metadata = () if client_id is None else (("client-id", client_id),)

    async def call(self, path: str, request: Message, answer: type[Any]) -> Any:
        ask: Any = self.channel.unary_unary(
            f"/odradek.v1.{path}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        try:
            return await ask(request, timeout=TIMEOUT_S, metadata=self.metadata)
        except grpc.aio.AioRpcError as error:
            raise Refused.of(error) from None

    async def close(self) -> None:
        await self.channel.close()


class DirectCarrier:
    name = "direct"

    def __init__(self, methods: Mapping[str, Method], client_id: str | None = None) -> None:
        self.methods = methods
        self.context = RequestContext(
            client_id, "User:ANONYMOUS", "GRPC", "127.0.0.1", 0, "direct", "127.0.0.1"
        )

    def a_call(self) -> Call:
        now_s = asyncio.get_running_loop().time
        return Call(self.context, now_s, now_s() + TIMEOUT_S)

    async def call(self, path: str, request: Message, answer: type[Any]) -> Any:
        try:
            found = await self.methods[path].call(self.a_call(), request)
        except RefusalError as error:
            raise Refused(error.status.name, error.reason, error.message, error.metadata) from None
        if isinstance(found, bytes):
            return answer.FromString(found)
        assert isinstance(found, answer)
        return found

    async def close(self) -> None:
        return


class ApiDoor:
    def __init__(self, carrier: Carrier) -> None:
        self.name = carrier.name
        self.carrier = carrier

    async def close(self) -> None:
        await self.carrier.close()

    async def _reason(self, path: str, request: Message, answer: type[Any]) -> str:
        try:
            await self.carrier.call(path, request, answer)
        except Refused as refused:
            return refused.reason
        return "NONE"

    # -- data

    async def produce(self, topic: str, partition: int, batch: bytes, acks: int = -1) -> Written:
        request = log_pb.ProduceRequest(
            partitions=[log_pb.ProducePartition(topic=topic, partition=partition, record_batch=batch)],
            acks={-1: record_pb2.ACKS_ALL, 1: record_pb2.ACKS_LEADER}.get(acks, acks),  # type: ignore[arg-type]
        )
        try:
            answer = await self.carrier.call("LogService/Produce", request, log_pb.ProduceResponse)
        except Refused as refused:
            return Written(refused.reason)
        (one,) = answer.partitions
        return Written(_error(one), one.base_offset, one.log_append_time_ms)

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
        asked = log_pb.FetchPartition(topic=topic, partition=partition, offset=offset, max_bytes=max_bytes)
        if leader_epoch >= 0:
            asked.leader_epoch = leader_epoch
        request = log_pb.FetchRequest(partitions=[asked], max_wait_ms=max_wait_ms, max_bytes=max_bytes)
        (one,) = (await self.carrier.call("LogService/Fetch", request, log_pb.FetchResponse)).partitions
        return Fetched(_error(one), one.high_watermark, one.log_start_offset, one.record_batches)

    async def list_offset(self, topic: str, partition: int, at: str | int, leader_epoch: int = -1) -> Listed:
        position = record_pb2.Position()
        if isinstance(at, int):
            position.timestamp_ms = at
        else:
            position.edge = record_pb2.EDGE_EARLIEST if at == EARLIEST else record_pb2.EDGE_LATEST
        asked = log_pb.ListOffsetsPartition(topic=topic, partition=partition, position=position)
        if leader_epoch >= 0:
            asked.leader_epoch = leader_epoch
        request = log_pb.ListOffsetsRequest(partitions=[asked])
        answer = await self.carrier.call("LogService/ListOffsets", request, log_pb.ListOffsetsResponse)
        (one,) = answer.partitions
        return Listed(_error(one), one.offset, one.timestamp_ms)

    async def partition_count(self, topic: str) -> int | str:
        request = log_pb.MetadataRequest(topics=[topic])
        answer = await self.carrier.call("LogService/Metadata", request, log_pb.MetadataResponse)
        (one,) = answer.topics
        return _error(one) if one.HasField("error") else len(one.partitions)

    async def producer_id(self) -> tuple[int, int]:
        answer = await self.carrier.call(
            "LogService/InitProducerId", log_pb.InitProducerIdRequest(), log_pb.InitProducerIdResponse
        )
        return answer.producer_id, answer.producer_epoch

    # -- topics

    async def create_topic(self, topic: str, count: int = 1, configs: Mapping[str, str] | None = None) -> str:
        request = topics_pb.CreateTopicRequest(name=topic, partition_count=count, configs=configs or {})
        return await self._reason("TopicService/CreateTopic", request, topics_pb.CreateTopicResponse)

    async def delete_topic(self, topic: str) -> str:
        request = topics_pb.DeleteTopicRequest(name=topic)
        return await self._reason("TopicService/DeleteTopic", request, topics_pb.DeleteTopicResponse)

    async def grow_topic(self, topic: str, count: int) -> str:
        request = topics_pb.CreatePartitionsRequest(topic=topic, partition_count=count)
        return await self._reason(
            "TopicService/CreatePartitions", request, topics_pb.CreatePartitionsResponse
        )

    async def delete_records(self, topic: str, partition: int, before: int) -> str:
        place = record_pb2.TopicPartitionOffset(topic=topic, partition=partition, offset=before)
        request = topics_pb.DeleteRecordsRequest(before=[place])
        return await self._reason("TopicService/DeleteRecords", request, topics_pb.DeleteRecordsResponse)

    async def configs(self, topic: str) -> dict[str, str | None]:
        request = configs_pb.ListConfigsRequest(resource=_topic(topic), page_size=1000)
        answer = await self.carrier.call("ConfigService/ListConfigs", request, configs_pb.ListConfigsResponse)
        assert not answer.next_page_token
        return {one.name: one.value if one.HasField("value") else None for one in answer.configs}

    async def set_config(self, topic: str, name: str, value: str) -> str:
        change = configs_pb.ConfigChange(name=name, operation=configs_pb.CONFIG_OPERATION_SET, value=value)
        request = configs_pb.UpdateConfigsRequest(resource=_topic(topic), changes=[change])
        return await self._reason("ConfigService/UpdateConfigs", request, configs_pb.UpdateConfigsResponse)

    # -- groups

    async def commit(
        self, group: str, offsets_by: Mapping[TopicPartition, int], metadata: str = ""
    ) -> dict[TopicPartition, str]:
        request = groups_pb.SetGroupOffsetsRequest(
            group_id=group,
            positions=[
                groups_pb.GroupPosition(
                    topic=topic,
                    partition=index,
                    position=record_pb2.Position(offset=offset),
                    metadata=metadata,
                )
                for (topic, index), offset in offsets_by.items()
            ],
        )
        reason = await self._reason(
            "GroupService/SetGroupOffsets", request, groups_pb.SetGroupOffsetsResponse
        )
        return dict.fromkeys(offsets_by, reason)

    async def committed(self, group: str) -> dict[TopicPartition, tuple[int, str]]:
        request = groups_pb.ListGroupOffsetsRequest(group_id=group, page_size=1000)
        answer = await self.carrier.call(
            "GroupService/ListGroupOffsets", request, groups_pb.ListGroupOffsetsResponse
        )
        return {(one.topic, one.partition): (one.offset, one.metadata) for one in answer.offsets}

    async def describe(self, group: str) -> GroupView:
        request = groups_pb.GetGroupRequest(group_id=group)
        try:
            found = (
                await self.carrier.call("GroupService/GetGroup", request, groups_pb.GetGroupResponse)
            ).group
        except Refused as refused:
            return GroupView(refused.reason, "Dead")
        members = [
            GroupMember(
                one.client_id,
                one.instance_id,
                tuple((at.topic, at.partition) for at in one.partitions),
            )
            for one in found.members
        ]
        return GroupView("NONE", STATES[found.state], tuple(sorted(members)))

    async def delete_group(self, group: str) -> str:
        request = groups_pb.DeleteGroupRequest(group_id=group)
        return await self._reason("GroupService/DeleteGroup", request, groups_pb.DeleteGroupResponse)


def _error(message: Any) -> str:
    return str(message.error.reason) if message.HasField("error") else "NONE"


def _topic(name: str) -> configs_pb.ConfigResource:
    return configs_pb.ConfigResource(type=configs_pb.CONFIG_RESOURCE_TYPE_TOPIC, name=name)


NewCarrier = Callable[[], Carrier]
