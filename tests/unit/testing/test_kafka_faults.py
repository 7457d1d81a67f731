"""Faults at the Kafka door, on handlers of the test: what a session is given instead of their answers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from odradek.node.app.context import RequestContext
from odradek.node.kafka_api.registry import CloseConnection, Outcome, Route, settled
from odradek.node.runtime.deferred import Deferred
from odradek.proto.kafka.api import ApiKey
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.classic_group import HeartbeatRequest, HeartbeatResponse
from odradek.proto.kafka.messages.metadata import MetadataRequest, MetadataResponse
from odradek.proto.kafka.messages.produce import ProduceRequest, ProduceResponse
from odradek.proto.kafka.schema import Message
from odradek.testing.faults import Faults
from odradek.testing.kafka_faults import KafkaFaults
from odradek.testing.pauses import Pauses

CONTEXT = RequestContext("c", "User:ANONYMOUS", "PLAINTEXT", "127.0.0.1", 9092, "1", "127.0.0.1")


class Door:
    """One route with faults before it, and what its handler was asked."""

    def __init__(self, key: ApiKey, handler: Any, *, inter_broker: bool = False) -> None:
        self.faults = Faults(has_grpc=False)
        self.pauses = Pauses()
        self.asked: list[Any] = []

        def call(context: RequestContext, request: Message, version: int) -> Any:
            self.asked.append(request)
            return handler(request)

        self.plain = Route(key, 0, 9, call, inter_broker=inter_broker)
        self.route = KafkaFaults(self.faults, self.pauses, {b"i" * 16: "orders"}.get).route(self.plain)

    def call(self, request: Message) -> Any:
        return self.route.call(CONTEXT, request, 9)

    async def outcome(self, request: Message) -> Outcome:
        return await settled(self.call(request))


def produce(*topics: str, acks: int = -1, records: bytes = b"") -> ProduceRequest:
    part = ProduceRequest.PartitionProduceData(index=0, records=memoryview(bytearray(records)))
    return ProduceRequest(
        acks=acks,
        topic_data=[ProduceRequest.TopicProduceData(name=topic, partition_data=[part]) for topic in topics],
    )


def produced(request: ProduceRequest) -> ProduceResponse:
    response = ProduceResponse.TopicProduceResponse
    part = ProduceResponse.PartitionProduceResponse
    return ProduceResponse(
        responses=[response(name=topic.name, partition_responses=[part()]) for topic in request.topic_data]
    )


def errors_of(outcome: Outcome) -> dict[str, int]:
    assert isinstance(outcome, ProduceResponse), outcome
    return {topic.name: topic.partition_responses[0].error_code for topic in outcome.responses}


def heartbeats() -> Door:
    return Door(ApiKey.HEARTBEAT, lambda _: HeartbeatResponse())


def test_without_a_fault_the_answer_is_the_handlers_own() -> None:
    pending: Deferred[Outcome] = Deferred()
    door = Door(ApiKey.PRODUCE, lambda _: pending)
    assert door.call(produce("orders")) is pending


def test_what_nodes_ask_of_each_other_is_left_alone() -> None:
    door = Door(ApiKey.BROKER_HEARTBEAT, lambda _: None, inter_broker=True)
    assert door.route is door.plain


def test_a_failure_is_answered_at_once_and_nobody_is_asked() -> None:
    door = heartbeats()
    door.faults.fail("Heartbeat", error="ILLEGAL_GENERATION", times=1)
    answer = door.call(HeartbeatRequest())
    assert isinstance(answer, HeartbeatResponse) and answer.error_code == ErrorCode.ILLEGAL_GENERATION
    assert door.asked == []
    assert door.call(HeartbeatRequest()).error_code == 0


def test_one_topic_of_two_is_refused() -> None:
    door = Door(ApiKey.PRODUCE, produced)
    door.faults.fail("Produce", error="NOT_ENOUGH_REPLICAS", topic="orders", times=1)
    assert errors_of(door.call(produce("clicks"))) == {"clicks": 0}
    answer = door.call(produce("orders", "clicks"))
    assert errors_of(answer) == {"clicks": 0, "orders": ErrorCode.NOT_ENOUGH_REPLICAS}
    assert [topic.name for topic in door.asked[-1].topic_data] == ["clicks"]


async def test_one_topic_of_two_is_refused_when_the_answer_comes_later() -> None:
    pending: Deferred[Outcome] = Deferred()
    door = Door(ApiKey.PRODUCE, lambda _: pending)
    door.faults.fail("Produce", error="NOT_ENOUGH_REPLICAS", topic="orders")
    answer = door.call(produce("orders", "clicks"))
    pending.resolve(produced(produce("clicks")))
    assert errors_of(await settled(answer)) == {"clicks": 0, "orders": ErrorCode.NOT_ENOUGH_REPLICAS}


def test_topics_are_known_by_their_ids() -> None:
    door = Door(ApiKey.PRODUCE, produced)
    door.faults.fail("Produce", error="NOT_ENOUGH_REPLICAS", topic="orders")
    data = ProduceRequest.TopicProduceData(topic_id=b"i" * 16)
    answer = door.call(ProduceRequest(acks=1, topic_data=[data]))
    assert answer.responses[0].topic_id == b"i" * 16 and door.asked == []


def test_who_wants_no_answer_loses_the_connection_instead() -> None:
    door = Door(ApiKey.PRODUCE, lambda _: Deferred.resolved(None))
    door.faults.fail("Produce", error="CORRUPT_MESSAGE", times=1)
    assert isinstance(door.call(produce("orders", acks=0)), CloseConnection)
    door.faults.fail("Produce", error="CORRUPT_MESSAGE", topic="orders")
    answer = door.call(produce("orders", "clicks", acks=0))
    assert isinstance(answer.value, CloseConnection) and len(door.asked) == 1


def test_a_connection_breaks_before_or_after_the_request() -> None:
    door = heartbeats()
    door.faults.drop_connection("Heartbeat", when="before", times=1)
    assert isinstance(door.call(HeartbeatRequest()), CloseConnection) and door.asked == []
    door.faults.drop_connection("Heartbeat", when="after", times=1)
    assert isinstance(door.call(HeartbeatRequest()), CloseConnection) and len(door.asked) == 1


async def test_the_connection_breaks_only_when_the_answer_is_there() -> None:
    pending: Deferred[Outcome] = Deferred()
    door = Door(ApiKey.PRODUCE, lambda _: pending)
    door.faults.drop_connection("Produce", when="after")
    answer = door.call(produce("orders"))
    assert isinstance(answer, Deferred) and not answer.done
    pending.resolve(produced(produce("orders")))
    assert isinstance(answer.value, CloseConnection)


async def test_the_answer_of_a_coroutine_can_be_lost_too() -> None:
    async def later(_: Message) -> Message:
        await asyncio.sleep(0)
        return HeartbeatResponse()

    door = Door(ApiKey.HEARTBEAT, later)
    door.faults.drop_connection("Heartbeat", when="after", times=1)
    assert isinstance(await door.outcome(HeartbeatRequest()), CloseConnection)
    assert isinstance(await door.outcome(HeartbeatRequest()), HeartbeatResponse)


async def test_a_delay_is_before_or_after_and_what_follows_it_holds() -> None:
    door = heartbeats()
    door.faults.delay("Heartbeat", seconds=0.001, times=1)
    task = asyncio.ensure_future(door.outcome(HeartbeatRequest()))
    await asyncio.sleep(0)
    assert door.asked == []
    assert isinstance(await task, HeartbeatResponse) and len(door.asked) == 1
    door.faults.delay("Heartbeat", seconds=0.001, when="after", times=1)
    door.faults.fail("Heartbeat", error="NOT_COORDINATOR", times=1)
    outcome = await door.outcome(HeartbeatRequest())
    assert isinstance(outcome, HeartbeatResponse) and outcome.error_code == ErrorCode.NOT_COORDINATOR
    door.faults.delay("Heartbeat", seconds=0.001, times=1)
    door.faults.drop_connection("Heartbeat", when="before", times=1)
    assert isinstance(await door.outcome(HeartbeatRequest()), CloseConnection) and len(door.asked) == 1
    door.faults.delay("Heartbeat", seconds=0.001, times=1)
    door.faults.drop_connection("Heartbeat", when="after", times=1)
    assert isinstance(await door.outcome(HeartbeatRequest()), CloseConnection) and len(door.asked) == 2


async def test_a_late_request_keeps_its_records_when_the_connection_goes_on() -> None:
    door = Door(ApiKey.PRODUCE, produced)
    door.faults.delay("Produce", seconds=0.001)
    buffer = bytearray(b"records")
    request = produce("orders")
    request.topic_data[0].partition_data[0].records = memoryview(buffer)
    answer = door.call(request)
    buffer[:] = b"another"
    await settled(answer)
    records = door.asked[0].topic_data[0].partition_data[0].records
    assert bytes(records) == b"records" and not records.readonly


async def test_a_stop_ends_the_waiting() -> None:
    door = heartbeats()
    door.faults.delay("Heartbeat", seconds=1000)
    task = asyncio.ensure_future(door.outcome(HeartbeatRequest()))
    await asyncio.sleep(0)
    door.pauses.end()
    assert isinstance(await asyncio.wait_for(task, 10), CloseConnection) and door.asked == []


def metadata(*names: str) -> MetadataResponse:
    part = MetadataResponse.MetadataResponsePartition()
    topic = MetadataResponse.MetadataResponseTopic
    broker = MetadataResponse.MetadataResponseBroker(node_id=1)
    topics = [topic(name=name, partitions=[part]) for name in names]
    return MetadataResponse(brokers=[broker], topics=topics)


@pytest.mark.parametrize("topic", [None, "orders"])
def test_metadata_has_its_brokers_also_when_a_topic_fails(topic: str | None) -> None:
    door = Door(ApiKey.METADATA, lambda _: metadata("orders", "clicks"))
    door.faults.fail("Metadata", error="LEADER_NOT_AVAILABLE", topic=topic, times=1)
    answer = door.call(MetadataRequest(topics=None))
    assert len(answer.brokers) == 1
    bad = (ErrorCode.LEADER_NOT_AVAILABLE, 0)
    assert [(one.error_code, len(one.partitions)) for one in answer.topics] == [
        bad,
        (0, 1) if topic else bad,
    ]
    assert door.call(MetadataRequest(topics=None)).topics[0].error_code == 0


def test_metadata_without_topics_has_no_place_for_an_error() -> None:
    door = Door(ApiKey.METADATA, lambda _: metadata())
    fault = door.faults.fail("Metadata", error="LEADER_NOT_AVAILABLE", times=1)
    door.call(MetadataRequest(topics=[]))
    assert fault.fired == 0 and fault.is_armed
    door.faults.drop_connection("Metadata", when="before", times=1)
    assert isinstance(door.call(MetadataRequest(topics=[])), CloseConnection)
