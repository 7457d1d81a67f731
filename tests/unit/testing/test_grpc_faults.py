"""Faults at the gRPC door: on servicers of the test, and under the Python client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from grpc import StatusCode

from odradek.client import TopicPartition, UnknownTopicError
from odradek.node.app.context import RequestContext
from odradek.node.grpc_api.methods import Call, Method, Shape
from odradek.node.grpc_api.refusal import RefusalError
from odradek.testing import Broker
from odradek.testing.faults import Faults
from odradek.testing.grpc_faults import GrpcFaults, topics_of
from odradek.testing.pauses import Pauses
from odradek.v1 import log_service_pb2, topic_service_pb2
from odradek.v1 import record_service_pb2 as pb

WAIT_S = 20


def a_call() -> Call:
    context = RequestContext("c", "User:ANONYMOUS", "GRPC", "127.0.0.1", 1, "1", "127.0.0.1")
    return Call(context, asyncio.get_running_loop().time)


class Requests:
    """`Stream` whose requests are there already."""

    def __init__(self, *requests: Any) -> None:
        self.requests = list(requests)
        self.written: list[Any] = []

    async def read(self) -> Any | None:
        return self.requests.pop(0) if self.requests else None

    async def write(self, response: Any) -> None:
        self.written.append(response)


class Records:
    """A RecordService of the test."""

    service = "odradek.v1.RecordService"

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def methods(self) -> list[Method]:
        return [
            Method("Publish", pb.PublishRequest, self.publish),
            Method("PublishStream", pb.PublishStreamRequest, self.publish_stream, Shape.CLIENT_STREAM),
            Method("Consume", pb.ConsumeRequest, self.consume, Shape.BIDIRECTIONAL),
        ]

    async def publish(self, call: Call, request: pb.PublishRequest) -> pb.PublishResponse:
        self.asked.append(request)
        return pb.PublishResponse(offsets=[7])

    async def publish_stream(self, call: Call, stream: Requests) -> pb.PublishStreamResponse:
        while (request := await stream.read()) is not None:
            self.asked.append(request)
        return pb.PublishStreamResponse(record_count=len(self.asked))

    async def consume(self, call: Call, stream: Requests) -> None:
        await stream.write(pb.ConsumeResponse(assigned=pb.Assigned(member_id="m")))
        for topic in ("orders", "clicks"):
            await stream.write(pb.ConsumeResponse(records=records(topic)))


def records(topic: str) -> pb.Records:
    return pb.Records(partitions=[pb.PartitionRecords(topic=topic)])


class Door:
    def __init__(self) -> None:
        self.faults = Faults(has_grpc=True)
        self.pauses = Pauses()
        self.plain = Records()
        servicer = GrpcFaults(self.faults, self.pauses).servicer(self.plain)
        assert servicer.service == "odradek.v1.RecordService"
        self.methods = {method.name: method for method in servicer.methods()}

    async def call(self, name: str, request: Any) -> Any:
        return await self.methods[name].call(a_call(), request)


def test_methods_keep_their_shape() -> None:
    shapes = {name: method.shape for name, method in Door().methods.items()}
    assert shapes == {
        "Publish": Shape.UNARY,
        "PublishStream": Shape.CLIENT_STREAM,
        "Consume": Shape.BIDIRECTIONAL,
    }


async def test_a_call_is_refused_with_the_status_of_the_error() -> None:
    door = Door()
    door.faults.fail("RecordService/Publish", error="UNKNOWN_TOPIC_OR_PARTITION", times=1, topic="orders")
    assert (await door.call("Publish", pb.PublishRequest(topic="clicks"))).offsets == [7]
    with pytest.raises(RefusalError) as raised:
        await door.call("Publish", pb.PublishRequest(topic="orders"))
    assert raised.value.status is StatusCode.NOT_FOUND
    assert raised.value.reason == "UNKNOWN_TOPIC_OR_PARTITION"
    assert [request.topic for request in door.plain.asked] == ["clicks"]


@pytest.mark.parametrize(("when", "carried_out"), [("before", 0), ("after", 1)])
async def test_a_broken_connection_is_unavailable(when: Any, carried_out: int) -> None:
    door = Door()
    door.faults.drop_connection("RecordService/Publish", when=when, times=1)
    with pytest.raises(RefusalError) as raised:
        await door.call("Publish", pb.PublishRequest(topic="orders"))
    assert raised.value.status is StatusCode.UNAVAILABLE
    assert len(door.plain.asked) == carried_out


async def test_a_call_waits_and_a_stop_ends_that() -> None:
    door = Door()
    door.faults.delay("RecordService/Publish", seconds=0.001, times=1)
    door.faults.delay("RecordService/Publish", seconds=0.001, when="after", times=1)
    assert (await door.call("Publish", pb.PublishRequest())).offsets == [7]
    door.faults.delay("RecordService/Publish", seconds=1000)
    task = asyncio.ensure_future(door.call("Publish", pb.PublishRequest()))
    await asyncio.sleep(0)
    door.pauses.end()
    with pytest.raises(RefusalError, match="stops"):
        await asyncio.wait_for(task, 10)


async def test_a_stream_of_requests_meets_faults_at_its_start_at_each_and_at_its_end() -> None:
    door = Door()
    requests = [pb.PublishStreamRequest(topic=topic) for topic in ("clicks", "orders")]
    door.faults.fail("RecordService/PublishStream", error="NOT_ENOUGH_REPLICAS", times=1)
    with pytest.raises(RefusalError, match="NOT_ENOUGH_REPLICAS"):
        await door.call("PublishStream", Requests(*requests))
    assert door.plain.asked == []
    door.faults.fail("RecordService/PublishStream", error="NOT_ENOUGH_REPLICAS", times=1, topic="orders")
    with pytest.raises(RefusalError, match="NOT_ENOUGH_REPLICAS"):
        await door.call("PublishStream", Requests(*requests))
    assert [request.topic for request in door.plain.asked] == ["clicks"]
    door.faults.drop_connection("RecordService/PublishStream", when="after", times=1, topic="orders")
    with pytest.raises(RefusalError, match="breaks after"):
        await door.call("PublishStream", Requests(*requests))
    assert len(door.plain.asked) == 3


async def test_a_stream_of_records_is_cut_where_they_are_the_topics() -> None:
    door = Door()
    stream = Requests()
    door.faults.drop_connection("RecordService/Consume", when="after", times=1, topic="clicks")
    with pytest.raises(RefusalError, match="breaks after"):
        await door.call("Consume", stream)
    assert [response.WhichOneof("event") for response in stream.written] == ["assigned", "records"]


async def test_a_stream_that_begins_has_no_answer_to_lose_but_its_records() -> None:
    door = Door()
    stream = Requests()
    fault = door.faults.drop_connection("RecordService/Consume", when="after", times=1)
    with pytest.raises(RefusalError, match="breaks after"):
        await door.call("Consume", stream)
    assert len(stream.written) == 1 and fault.fired == 1
    door.faults.drop_connection("RecordService/Consume", when="before", times=1)
    with pytest.raises(RefusalError, match="breaks before"):
        await door.call("Consume", stream)
    assert len(stream.written) == 1


def test_topics_are_found_at_any_depth() -> None:
    assert set(topics_of(None)) == set()
    assert set(topics_of(pb.ConsumeResponse(records=records("orders")))) == {"orders"}
    part = log_service_pb2.ProducePartition
    request = log_service_pb2.ProduceRequest(partitions=[part(topic="a"), part(topic="b")])
    assert set(topics_of(request)) == {"a", "b"}
    assert set(topics_of(pb.ConsumeRequest(subscribe=pb.Subscribe(topics=["c", "d"])))) == {"c", "d"}
    assert set(topics_of(topic_service_pb2.ListTopicsRequest())) == set()


# -- under the client


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    async with Broker() as broker:
        yield broker


async def test_a_producer_writes_once_what_was_carried_out_and_not_answered(broker: Broker) -> None:
    await broker.create_topic("orders")
    lost = broker.faults.drop_connection("LogService/Produce", when="after", times=1)
    refused = broker.faults.fail("LogService/Produce", error="NOT_LEADER_OR_FOLLOWER", times=1)
    async with broker.producer(linger_ms=0) as producer:
        offsets = [(await producer.publish("orders", b"%d" % number)).offset for number in range(3)]
    assert offsets == [0, 1, 2]
    assert (lost.fired, refused.fired) == (1, 1)
    part = {TopicPartition("orders", 0): 0}
    async with broker.consumer(partitions=part) as consumer:
        values = [(await asyncio.wait_for(anext(aiter(consumer)), WAIT_S)).value for _ in range(3)]
    assert values == [b"0", b"1", b"2"]


async def test_a_consumer_goes_on_behind_a_stream_that_is_cut(broker: Broker) -> None:
    await broker.create_topic("orders")
    cut = broker.faults.drop_connection("RecordService/Consume", when="after", times=2)
    async with broker.consumer("orders", group_id="readers") as consumer, broker.producer() as producer:
        for number in range(3):
            await producer.publish("orders", b"%d" % number)
        values = [(await asyncio.wait_for(anext(aiter(consumer)), WAIT_S)).value for _ in range(3)]
    assert values == [b"0", b"1", b"2"] and cut.fired == 2


async def test_an_admin_is_told_the_error(broker: Broker) -> None:
    async with broker.admin() as admin:
        with (
            broker.faults.fail("TopicService/GetTopic", error="UNKNOWN_TOPIC_OR_PARTITION"),
            pytest.raises(UnknownTopicError),
        ):
            await admin.get_topic("orders")
        assert broker.faults.fired == {"TopicService/GetTopic": 1}
