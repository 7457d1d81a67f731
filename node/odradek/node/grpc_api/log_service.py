"""LogService: encoded record batches in and out, at the partition leader. Translates only.

Source: proto/odradek/v1/log_service.proto.
"""

from __future__ import annotations

from typing import Final

from odradek.node.app.cluster import ClusterService
from odradek.node.app.fetch import FetchCommand, FetchedPartition, FetchService
from odradek.node.app.leader_hints import LeaderHints
from odradek.node.app.list_offsets import EARLIEST, LATEST, ListOffsetsService
from odradek.node.app.metadata import AskedTopic, FoundTopic, MetadataService
from odradek.node.app.produce import ProduceCommand, ProducePartition, ProduceService
from odradek.node.app.producer_ids import ProducerIdService
from odradek.node.grpc_api.arguments import chosen, some
from odradek.node.grpc_api.log_messages import ProduceBatches, batches_of, decode_produce, encode_fetched
from odradek.node.grpc_api.methods import Call, Method
from odradek.node.grpc_api.refusal import error_message, invalid, refused
from odradek.node.partition.fetch_session import SESSIONLESS_EPOCH, FetchPartition
from odradek.proto.kafka.errors import ErrorCode
from odradek.storage.log import AppendResult
from odradek.v1 import log_service_pb2 as pb
from odradek.v1 import record_pb2

PRODUCE_TIMEOUT_MS: Final = 30_000
PRODUCE_VERSION: Final = 13
"""Of the rules of Kafka's Produce that batches are held to: the newest."""
FETCH_BYTES_MAX: Final = 3 * 1024 * 1024
FETCH_PARTITION_BYTES_MAX: Final = 1024 * 1024
FETCH_WAIT_MS_MAX: Final = 60_000
ACKS: Final = {
    record_pb2.ACKS_UNSPECIFIED: -1,
    record_pb2.ACKS_ALL: -1,
    record_pb2.ACKS_LEADER: 1,
}
_LED_ELSEWHERE: Final = frozenset((ErrorCode.NOT_LEADER_OR_FOLLOWER, ErrorCode.FENCED_LEADER_EPOCH))
_ZERO_ID: Final = bytes(16)


def acks_of(acks: int) -> int:
    """Kafka's number. Raises RefusalError for one that does not exist."""
    known = ACKS.get(acks)  # type: ignore[call-overload]
    if known is None:
        raise refused(ErrorCode.INVALID_REQUIRED_ACKS, f"acks {acks}; allowed are ACKS_ALL and ACKS_LEADER")
    return int(known)


def isolation_of(level: int) -> int:
    chosen(level, dict(record_pb2.IsolationLevel.items()), "isolation_level")
    return 1 if level == record_pb2.ISOLATION_LEVEL_READ_COMMITTED else 0


def timestamp_of(position: record_pb2.Position) -> int:
    """A position as ListOffsets asks for it: ms, or one of Kafka's special values."""
    kind = position.WhichOneof("kind")
    if kind == "timestamp_ms":
        if position.timestamp_ms < 0:
            raise invalid(f"timestamp_ms {position.timestamp_ms}: ms since 1970 are not negative")
        return int(position.timestamp_ms)
    if kind == "edge":
        chosen(position.edge, dict(record_pb2.Edge.items()), "edge")
        return LATEST if position.edge == record_pb2.EDGE_LATEST else EARLIEST
    raise invalid("a position to look up is a timestamp or an edge")


class LogServicer:
    service: Final = "odradek.v1.LogService"

    def __init__(
        self,
        produce: ProduceService,
        fetch: FetchService,
        list_offsets: ListOffsetsService,
        metadata: MetadataService,
        cluster: ClusterService,
        producer_ids: ProducerIdService,
    ) -> None:
        self._produce = produce
        self._fetch = fetch
        self._list_offsets = list_offsets
        self._metadata = metadata
        self._cluster = cluster
        self._producer_ids = producer_ids
        self._hints = LeaderHints(cluster)

    def methods(self) -> list[Method]:
        return [
            Method("Produce", pb.ProduceRequest, self.produce, parse=decode_produce),
            Method("Fetch", pb.FetchRequest, self.fetch),
            Method("Metadata", pb.MetadataRequest, self.metadata),
            Method("ListOffsets", pb.ListOffsetsRequest, self.list_offsets),
            Method("InitProducerId", pb.InitProducerIdRequest, self.init_producer_id),
        ]

    # -- Produce

    async def produce(self, call: Call, request: pb.ProduceRequest | ProduceBatches) -> pb.ProduceResponse:
        asked = batches_of(request) if isinstance(request, pb.ProduceRequest) else request
        some(asked.partitions, "partitions")
        command = ProduceCommand(
            acks_of(asked.acks),
            call.timeout_ms(PRODUCE_TIMEOUT_MS),
            PRODUCE_VERSION,
            [ProducePartition(topic, partition, batch) for topic, partition, batch in asked.partitions],
        )
        results = await self._produce.produce(call.context, command).wait()
        return pb.ProduceResponse(
            partitions=[
                self._produced(call, topic, partition, result)
                for (topic, partition, _), result in zip(asked.partitions, results, strict=True)
            ]
        )

    def _produced(self, call: Call, topic: str, partition: int, result: AppendResult) -> pb.ProducedPartition:
        answer = pb.ProducedPartition(topic=topic, partition=partition)
        answer.log_start_offset = result.log_start_offset
        if result.error is ErrorCode.NONE:
            answer.base_offset = result.base_offset
            answer.log_append_time_ms = result.log_append_time_ms
            return answer
        answer.base_offset = answer.log_append_time_ms = -1
        message = result.error_message or "; ".join(text for _, text in result.record_errors if text) or None
        answer.error.CopyFrom(error_message(result.error, message))
        if result.error is ErrorCode.NOT_LEADER_OR_FOLLOWER:
            leader = self._leader(call, topic, partition)
            if leader is not None:
                answer.leader.CopyFrom(leader)
        return answer

    # -- Fetch

    async def fetch(self, call: Call, request: pb.FetchRequest) -> bytes:
        """An encoded FetchResponse."""
        if request.max_wait_ms < 0 or request.min_bytes < 0 or request.max_bytes < 0:
            raise invalid("max_wait_ms, min_bytes and max_bytes are not negative")
        asked = [self._asked(one) for one in request.partitions]
        command = FetchCommand(
            replica_id=-1,
            max_wait_ms=min(request.max_wait_ms, FETCH_WAIT_MS_MAX),
            min_bytes=request.min_bytes or 1,
            max_bytes=request.max_bytes or FETCH_BYTES_MAX,
            isolation_level=isolation_of(request.isolation_level),
            session_id=0,
            session_epoch=SESSIONLESS_EPOCH,
            partitions=[((one.topic, one.index), one) for one in asked],
            rack_id=request.rack_id,
            may_read_followers=True,
        )
        pending = self._fetch.fetch(call.context, command)
        try:
            result = await pending.wait()
        finally:
            pending.abandon()
        if result.error is not ErrorCode.NONE:
            raise refused(result.error)
        return encode_fetched((self._fetched(call, answer), answer.records) for answer in result.partitions)

    @staticmethod
    def _asked(one: pb.FetchPartition) -> FetchPartition:
        if one.max_bytes < 0:
            raise invalid(
                f"max_bytes {one.max_bytes} of a partition: allowed are 1 and more, and 0 for the default"
            )
        return FetchPartition(
            one.topic,
            _ZERO_ID,
            one.partition,
            one.offset,
            one.max_bytes or FETCH_PARTITION_BYTES_MAX,
            one.leader_epoch if one.HasField("leader_epoch") else -1,
            one.last_fetched_epoch if one.HasField("last_fetched_epoch") else -1,
        )

    def _fetched(self, call: Call, fetched: FetchedPartition) -> pb.FetchedPartition:
        asked = fetched.asked
        answer = pb.FetchedPartition(
            topic=asked.topic,
            partition=asked.index,
            high_watermark=fetched.high_watermark,
            last_stable_offset=fetched.last_stable_offset,
            log_start_offset=fetched.log_start_offset,
        )
        if fetched.error is not ErrorCode.NONE:
            answer.error.CopyFrom(error_message(fetched.error))
            leader = self._leader(call, asked.topic, asked.index) if fetched.error in _LED_ELSEWHERE else None
            if leader is not None:
                answer.leader.CopyFrom(leader)
        if fetched.preferred_read_replica >= 0:
            answer.preferred_read_replica = fetched.preferred_read_replica
        if fetched.diverging is not None:
            answer.diverging.epoch, answer.diverging.end_offset = fetched.diverging
        return answer

    def _leader(self, call: Call, topic: str, partition: int) -> pb.Leader | None:
        hint = self._hints.of(call.context, topic, partition)
        return None if hint is None else pb.Leader(node_id=hint.leader_id, leader_epoch=hint.leader_epoch)

    # -- the rest

    async def metadata(self, call: Call, request: pb.MetadataRequest) -> pb.MetadataResponse:
        found = (
            self._metadata.find_topics(
                [AskedTopic(name) for name in request.topics], allow_auto_creation=request.create_topics
            )
            if request.topics
            else self._metadata.all_topics()
        )
        brokers = self._cluster.brokers(call.context)
        alive = frozenset(
            broker.broker_id for broker in self._metadata.image.brokers.values() if not broker.fenced
        )
        return pb.MetadataResponse(
            cluster_id=self._cluster.cluster_id,
            controller_id=self._cluster.controller_id,
            nodes=[
                pb.Node(node_id=one.broker_id, host=one.host, port=one.port, rack=one.rack or "")
                for one in brokers
            ],
            topics=[_topic(one, alive) for one in found],
        )

    async def list_offsets(self, call: Call, request: pb.ListOffsetsRequest) -> pb.ListOffsetsResponse:
        isolation = isolation_of(request.isolation_level)
        answers: list[pb.ListedOffset] = []
        for asked in request.partitions:
            found = self._list_offsets.list_offset(
                asked.topic,
                asked.partition,
                timestamp_of(asked.position),
                asked.leader_epoch if asked.HasField("leader_epoch") else -1,
                isolation,
            )
            answer = pb.ListedOffset(
                topic=asked.topic,
                partition=asked.partition,
                offset=found.offset,
                timestamp_ms=found.timestamp,
                leader_epoch=found.leader_epoch,
            )
            if found.error is not ErrorCode.NONE:
                answer.error.CopyFrom(error_message(found.error))
            answers.append(answer)
        return pb.ListOffsetsResponse(partitions=answers)

    async def init_producer_id(
        self, call: Call, request: pb.InitProducerIdRequest
    ) -> pb.InitProducerIdResponse:
        fresh = await self._producer_ids.init_producer_id(None, -1, -1)
        if fresh.error is not ErrorCode.NONE:
            raise refused(fresh.error)
        return pb.InitProducerIdResponse(producer_id=fresh.producer_id, producer_epoch=fresh.producer_epoch)


def _topic(found: FoundTopic, alive: frozenset[int]) -> pb.TopicMetadata:
    answer = pb.TopicMetadata(name=found.name or "", topic_id=found.topic_id)
    if found.topic is None:
        answer.error.CopyFrom(error_message(found.error))
        return answer
    for index, place in enumerate(found.topic.partitions):
        answer.partitions.append(
            pb.PartitionMetadata(
                partition=index,
                leader_id=place.leader,
                leader_epoch=place.leader_epoch,
                replicas=place.replicas,
                in_sync_replicas=place.isr,
                offline_replicas=[node for node in place.replicas if node not in alive],
            )
        )
    return answer
