"""TopicService: topics and their partitions, from any node. Translates only.

Changes are the active controller's, records are deleted at the leaders of their partitions, and what is told comes from
this node's image. Source: proto/odradek/v1/topic_service.proto.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from odradek.node.app.records import HIGH_WATERMARK, RecordsService
from odradek.node.app.topics import ZERO_UUID, TopicsService
from odradek.node.controller.image import NO_LEADER, PartitionImage, ResourceType, TopicImage
from odradek.node.controller.topics import MorePartitions, NewTopic, TopicOutcome
from odradek.node.grpc_api.arguments import distinct, pattern_of, required, some
from odradek.node.grpc_api.methods import Call, Location, Method, OtherNodes
from odradek.node.grpc_api.paging import Paging
from odradek.node.grpc_api.refusal import RefusalError, invalid, refused
from odradek.proto.kafka.errors import ErrorCode
from odradek.v1 import record_pb2
from odradek.v1 import topic_service_pb2 as pb

TIMEOUT_MS: Final = 30_000
_DEFAULT: Final = -1

Started = dict[tuple[str, int], record_pb2.TopicPartitionOffset]
"""Log start offsets by topic and partition."""


class Placed(NamedTuple):
    """One partition and where it is."""

    topic: str
    number: int
    place: PartitionImage


class TopicServicer:
    service: Final = "odradek.v1.TopicService"

    def __init__(
        self, topics: TopicsService, records: RecordsService, location: Location, others: OtherNodes
    ) -> None:
        self._topics = topics
        self._records = records
        self._location = location
        self._others = others

    def methods(self) -> list[Method]:
        def controller(_: object) -> int | None:
            return self._location.active_controller_id

        return [
            Method("ListTopics", pb.ListTopicsRequest, self.list_topics),
            Method("GetTopic", pb.GetTopicRequest, self.get_topic),
            Method("CreateTopic", pb.CreateTopicRequest, self.create_topic, where=controller),
            Method("DeleteTopic", pb.DeleteTopicRequest, self.delete_topic, where=controller),
            Method("ListPartitions", pb.ListPartitionsRequest, self.list_partitions),
            Method("CreatePartitions", pb.CreatePartitionsRequest, self.create_partitions, where=controller),
            Method("DeleteRecords", pb.DeleteRecordsRequest, self.delete_records),
        ]

    # -- what there is

    async def list_topics(self, call: Call, request: pb.ListTopicsRequest) -> pb.ListTopicsResponse:
        pattern = pattern_of(request.name_pattern, "name_pattern")
        paging = Paging("topics", [request.name_pattern], request.page_size, request.page_token)
        by_name = self._location.image.topics_by_name
        names = sorted(name for name in by_name if pattern is None or pattern.fullmatch(name))
        page, token = paging.take(names, lambda name: (name,))
        return pb.ListTopicsResponse(topics=[_topic(by_name[name]) for name in page], next_page_token=token)

    async def get_topic(self, call: Call, request: pb.GetTopicRequest) -> pb.GetTopicResponse:
        image = self._location.image
        answer = _topic(self._topic(required(request.name, "name")))
        answer.configs.update(image.config(ResourceType.TOPIC, request.name))
        return pb.GetTopicResponse(topic=answer)

    async def list_partitions(
        self, call: Call, request: pb.ListPartitionsRequest
    ) -> pb.ListPartitionsResponse:
        paging = Paging(
            "partitions", [request.topic, request.only_unhealthy], request.page_size, request.page_token
        )
        if request.topic:
            topics = [self._topic(request.topic)]
        else:
            by_name = self._location.image.topics_by_name
            first = "" if paging.after is None else str(paging.after[0])
            topics = [by_name[name] for name in sorted(name for name in by_name if name >= first)]
        page, token = paging.take(
            _placed(topics, only_unhealthy=request.only_unhealthy), lambda one: (one.topic, one.number)
        )
        alive = frozenset(broker.broker_id for broker in self._location.image.live_brokers)
        return pb.ListPartitionsResponse(
            partitions=[_partition(one, alive) for one in page], next_page_token=token
        )

    def _topic(self, name: str) -> TopicImage:
        topic = self._location.image.topic(name)
        if topic is None:
            raise refused(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"there is no topic '{name}'", topic=name)
        return topic

    # -- changes, at the active controller

    async def create_topic(self, call: Call, request: pb.CreateTopicRequest) -> pb.CreateTopicResponse:
        new = NewTopic(
            request.name,
            _count(request, "partition_count", ErrorCode.INVALID_PARTITIONS),
            _count(request, "replication_factor", ErrorCode.INVALID_REPLICATION_FACTOR),
            list(enumerate(tuple(one.node_ids) for one in request.assignments)),
            dict(request.configs),
        )
        outcomes = await self._topics.create_topics(
            [new], validate_only=request.validate_only, timeout_ms=call.timeout_ms(TIMEOUT_MS)
        )
        outcome = _only(outcomes, request.name)
        return pb.CreateTopicResponse(
            topic=pb.Topic(
                name=request.name,
                topic_id=outcome.topic_id,
                partition_count=outcome.num_partitions,
                replication_factor=outcome.replication_factor,
                configs=dict(outcome.configs),
            )
        )

    async def delete_topic(self, call: Call, request: pb.DeleteTopicRequest) -> pb.DeleteTopicResponse:
        asked = [(required(request.name, "name"), ZERO_UUID)]
        _only(await self._topics.delete_topics(asked, timeout_ms=call.timeout_ms(TIMEOUT_MS)), request.name)
        return pb.DeleteTopicResponse()

    async def create_partitions(
        self, call: Call, request: pb.CreatePartitionsRequest
    ) -> pb.CreatePartitionsResponse:
        more = MorePartitions(
            required(request.topic, "topic"),
            request.partition_count,
            [tuple(one.node_ids) for one in request.assignments] or None,
        )
        outcomes = await self._topics.create_partitions(
            [more], validate_only=request.validate_only, timeout_ms=call.timeout_ms(TIMEOUT_MS)
        )
        _only(outcomes, request.topic)
        return pb.CreatePartitionsResponse()

    # -- records, at the leaders of their partitions

    async def delete_records(self, call: Call, request: pb.DeleteRecordsRequest) -> pb.DeleteRecordsResponse:
        some(request.before, "before")
        distinct(((one.topic, one.partition) for one in request.before), "before")
        for one in request.before:
            if one.offset < HIGH_WATERMARK:
                raise invalid(f"offset {one.offset}: allowed are 0 and more, and -1 for all that is readable")
        if call.is_forwarded:
            started = await self._delete_here(call, request.before)
        else:
            started = await self._delete_everywhere(call, request.before)
        return pb.DeleteRecordsResponse(
            log_start_offsets=[started[one.topic, one.partition] for one in request.before]
        )

    async def _delete_everywhere(
        self, call: Call, before: Sequence[record_pb2.TopicPartitionOffset]
    ) -> Started:
        """Each part of the request at its leader, all at the same time; the first refusal when all are done."""
        by_leader: dict[int, list[record_pb2.TopicPartitionOffset]] = {}
        for one in before:
            by_leader.setdefault(self._leader(one.topic, one.partition), []).append(one)
        parts = await asyncio.gather(
            *(self._delete_at(leader, call, part) for leader, part in by_leader.items()),
            return_exceptions=True,
        )
        started: Started = {}
        for part in parts:
            if isinstance(part, BaseException):
                raise part
            started.update(part)
        return started

    async def _delete_at(
        self, leader: int, call: Call, part: Sequence[record_pb2.TopicPartitionOffset]
    ) -> Started:
        if leader == self._location.node_id:
            return await self._delete_here(call, part)
        answer = await self._others.ask(
            leader,
            f"/{self.service}/DeleteRecords",
            call,
            pb.DeleteRecordsRequest(before=part),
            pb.DeleteRecordsResponse,
            TIMEOUT_MS / 1000,
        )
        return {(one.topic, one.partition): one for one in answer.log_start_offsets}

    async def _delete_here(self, call: Call, part: Sequence[record_pb2.TopicPartitionOffset]) -> Started:
        pending = [self._records.delete_records(one.topic, one.partition, one.offset) for one in part]
        started: Started = {}
        refusal: RefusalError | None = None
        try:
            async with asyncio.timeout(call.timeout_ms(TIMEOUT_MS) / 1000):
                for one, deletion in zip(part, pending, strict=True):
                    error, low_watermark = await deletion.wait()
                    if error is not ErrorCode.NONE:
                        refusal = refusal or _refused_records(error, one)
                    started[one.topic, one.partition] = record_pb2.TopicPartitionOffset(
                        topic=one.topic, partition=one.partition, offset=low_watermark
                    )
        except TimeoutError:
            raise refused(
                ErrorCode.REQUEST_TIMED_OUT, "not all replicas have deleted the records in time"
            ) from None
        finally:
            for deletion in pending:
                deletion.abandon()
        if refusal is not None:
            raise refusal
        return started

    def _leader(self, topic: str, number: int) -> int:
        place = self._location.image.partition(topic, number)
        if place is None:
            raise refused(
                ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
                f"there is no partition {number} of topic '{topic}'",
                topic=topic,
                partition=str(number),
            )
        if place.leader == NO_LEADER:
            raise refused(
                ErrorCode.LEADER_NOT_AVAILABLE,
                f"nobody leads partition {number} of topic '{topic}' now",
                topic=topic,
                partition=str(number),
            )
        return place.leader


def _only(outcomes: Sequence[TopicOutcome], name: str) -> TopicOutcome:
    (outcome,) = outcomes
    if outcome.error is not ErrorCode.NONE:
        raise refused(outcome.error, outcome.message, topic=name)
    return outcome


def _count(request: pb.CreateTopicRequest, field: str, error: ErrorCode) -> int:
    """A number that may be absent; what stands for that among the use cases is not a number that may be sent."""
    if not request.HasField(field):
        return _DEFAULT
    number = int(getattr(request, field))
    if number < 1:
        raise refused(error, f"{field} {number}: allowed are 1 and more, and none for the cluster's default")
    return number


def _refused_records(error: ErrorCode, asked: record_pb2.TopicPartitionOffset) -> RefusalError:
    place = f"partition {asked.partition} of topic '{asked.topic}'"
    sentences = {
        ErrorCode.OFFSET_OUT_OF_RANGE: f"{place} has no offset {asked.offset} that may be read",
        ErrorCode.POLICY_VIOLATION: f"{place} is compacted only: its cleanup.policy has no 'delete'",
    }
    return refused(error, sentences.get(error), topic=asked.topic, partition=str(asked.partition))


def _topic(topic: TopicImage) -> pb.Topic:
    return pb.Topic(
        name=topic.name,
        topic_id=topic.topic_id,
        partition_count=len(topic.partitions),
        replication_factor=len(topic.partitions[0].replicas),
    )


def _placed(topics: Sequence[TopicImage], *, only_unhealthy: bool) -> Iterator[Placed]:
    for topic in topics:
        for number, place in enumerate(topic.partitions):
            if not only_unhealthy or len(place.isr) < len(place.replicas) or place.leader == NO_LEADER:
                yield Placed(topic.name, number, place)


def _partition(one: Placed, alive: frozenset[int]) -> pb.Partition:
    place = one.place
    return pb.Partition(
        topic=one.topic,
        partition=one.number,
        leader_id=place.leader,
        leader_epoch=place.leader_epoch,
        replicas=place.replicas,
        in_sync_replicas=place.isr,
        offline_replicas=[node for node in place.replicas if node not in alive],
        eligible_leader_replicas=place.eligible_leader_replicas,
        adding_replicas=place.adding_replicas,
        removing_replicas=place.removing_replicas,
    )
