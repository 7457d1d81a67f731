"""Publish: the simple way in, called directly and through gRPC; what it writes all doors read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from tests.doors.api_door import DirectCarrier, GrpcCarrier, Refused
from tests.doors.conftest import NewTopic, NodeInside
from tests.doors.door import NOW_MS, Door
from tests.doors.streams import subscribe

from odradek.node.grpc_api.refusal import RefusalError
from odradek.proto.kafka.partitioner import partition_for
from odradek.v1 import record_pb2
from odradek.v1 import record_service_pb2 as pb
from odradek.v1.record_pb2 import Header, Record

PUBLISH = "RecordService/Publish"
STREAM = "RecordService/PublishStream"
Carrier = DirectCarrier | GrpcCarrier


@pytest_asyncio.fixture(loop_scope="session", params=["direct", "grpc"])
async def carrier(request: pytest.FixtureRequest, node: NodeInside) -> AsyncIterator[Carrier]:
    carrier = DirectCarrier(node.methods()) if request.param == "direct" else GrpcCarrier(node.grpc_address)
    yield carrier
    await carrier.close()


async def publish(carrier: Carrier, topic: str, *records: Record, **more: Any) -> list[tuple[int, int]]:
    """(partition, offset) of each record."""
    request = pb.PublishRequest(topic=topic, records=records, **more)
    answer = await carrier.call(PUBLISH, request, pb.PublishResponse)
    return list(zip(answer.partitions, answer.offsets, strict=True))


async def refusal(carrier: Carrier, topic: str, *records: Record, **more: Any) -> Refused:
    with pytest.raises(Refused) as raised:
        await publish(carrier, topic, *records, **more)
    return raised.value


class _Requests:
    def __init__(self, requests: Sequence[pb.PublishStreamRequest]) -> None:
        self._left = list(requests)

    async def read(self) -> Any | None:
        return self._left.pop(0) if self._left else None

    async def write(self, response: Any) -> None:
        raise AssertionError(response)


async def publish_stream(carrier: Carrier, *requests: pb.PublishStreamRequest) -> pb.PublishStreamResponse:
    if isinstance(carrier, DirectCarrier):
        work: Any = carrier.methods[STREAM].call(carrier.a_call(), _Requests(requests))
        try:
            answer = await work
        except RefusalError as error:
            raise Refused(error.status.name, error.reason, error.message, error.metadata) from None
    else:
        call: Any = carrier.channel.stream_unary(
            f"/odradek.v1.{STREAM}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=pb.PublishStreamResponse.FromString,
        )
        try:
            answer = await call(iter(requests))
        except grpc.aio.AioRpcError as error:
            raise Refused.of(error) from None
    assert isinstance(answer, pb.PublishStreamResponse)
    return answer


async def test_every_door_reads_what_was_published(
    carrier: Carrier, doors: dict[str, Door], new_topic: NewTopic
) -> None:
    topic = await new_topic()
    headers = [Header(key="a", value=b"1"), Header(key="a", value=b""), Header(key="ü€"), Header(key="")]
    records = [
        Record(key=b"\xff\x00", value=b"v", headers=headers, timestamp_ms=NOW_MS),
        Record(value=b"no key", timestamp_ms=0),
        Record(key=b"tombstone", timestamp_ms=NOW_MS),
        Record(key=b"", value=b"", timestamp_ms=NOW_MS),
    ]
    assert await publish(carrier, topic, *records) == [(0, offset) for offset in range(4)]
    for door in doors.values():
        found = [(*one[:4], list(one.headers)) for one in (await door.fetch(topic, 0, 0)).records]
        assert found == [
            (0, NOW_MS, b"\xff\x00", b"v", [("a", b"1"), ("a", b""), ("ü€", None), ("", None)]),
            (1, 0, None, b"no key", []),
            (2, NOW_MS, b"tombstone", None, []),
            (3, NOW_MS, b"", b"", []),
        ]


async def test_a_record_without_a_timestamp_is_of_now(
    carrier: Carrier, doors: dict[str, Door], new_topic: NewTopic
) -> None:
    topic = await new_topic()
    await publish(carrier, topic, Record(value=b"v"))
    (record,) = (await doors["kafka"].fetch(topic, 0, 0)).records
    assert record.timestamp > NOW_MS


async def test_keys_and_explicit_partitions_decide(carrier: Carrier, new_topic: NewTopic) -> None:
    topic = await new_topic(7)
    keys = [b"%d" % at for at in range(50)]
    placed = await publish(carrier, topic, *(Record(key=key, value=b"v") for key in keys))
    assert [partition for partition, _ in placed] == [partition_for(key, 7) for key in keys]
    (chosen,) = await publish(carrier, topic, Record(key=b"1", value=b"v", partition=6))
    assert chosen[0] == 6
    together = await publish(carrier, topic, *[Record(value=b"v")] * 10)
    assert len({partition for partition, _ in together}) == 1


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (Record(value=b"v", partition=2), "INVALID_REQUEST"),
        (Record(value=b"v", partition=-1), "INVALID_REQUEST"),
        (Record(value=b"v", timestamp_ms=-1), "INVALID_TIMESTAMP"),
        (Record(value=b"v", timestamp_ms=-(1 << 63)), "INVALID_TIMESTAMP"),
        (Record(value=bytes(2_000_000)), "MESSAGE_TOO_LARGE"),
    ],
    ids=["partition", "negative partition", "timestamp", "least timestamp", "size"],
)
async def test_records_that_cannot_be(
    carrier: Carrier, doors: dict[str, Door], new_topic: NewTopic, record: Record, reason: str
) -> None:
    topic = await new_topic(2)
    found = await refusal(carrier, topic, Record(value=b"fine"), record)
    assert (found.status, found.reason) == ("INVALID_ARGUMENT", reason)


async def test_requests_that_cannot_be(carrier: Carrier, new_topic: NewTopic) -> None:
    topic, record = await new_topic(), Record(value=b"v")
    for request, status, reason in (
        ({"topic": ""}, "INVALID_ARGUMENT", "INVALID_REQUEST"),
        ({"records": []}, "INVALID_ARGUMENT", "INVALID_REQUEST"),
        ({"topic": "nobody-made-this"}, "NOT_FOUND", "UNKNOWN_TOPIC_OR_PARTITION"),
        ({"topic": "a b"}, "INVALID_ARGUMENT", "INVALID_TOPIC_EXCEPTION"),
        ({"topic": "x" * 40_000}, "INVALID_ARGUMENT", "INVALID_TOPIC_EXCEPTION"),
        ({"acks": 9}, "INVALID_ARGUMENT", "INVALID_REQUIRED_ACKS"),
        ({"producer_name": "p", "sequence": -1}, "INVALID_ARGUMENT", "INVALID_REQUEST"),
        ({"producer_name": "p" * 256}, "INVALID_ARGUMENT", "INVALID_REQUEST"),
    ):
        given: dict[str, Any] = {"topic": topic, "records": [record]} | request
        with pytest.raises(Refused) as raised:
            await carrier.call(PUBLISH, pb.PublishRequest(**given), pb.PublishResponse)
        assert (raised.value.status, raised.value.reason) == (status, reason), request


async def test_log_append_time_and_compacted_topics(
    carrier: Carrier, doors: dict[str, Door], new_topic: NewTopic
) -> None:
    topic = await new_topic(message_timestamp_type="LogAppendTime")
    await publish(carrier, topic, Record(value=b"v", timestamp_ms=5))
    (record,) = (await doors["kafka"].fetch(topic, 0, 0)).records
    assert record.timestamp > NOW_MS
    compacted = await new_topic(cleanup_policy="compact")
    found = await refusal(carrier, compacted, Record(key=b"k"), Record(value=b"no key"))
    assert (found.status, found.reason) == ("INVALID_ARGUMENT", "INVALID_RECORD")
    assert "record 1" in found.message


# -- idempotence


async def test_a_request_that_is_sent_again_is_written_once(
    carrier: Carrier, doors: dict[str, Door], new_topic: NewTopic, new_name: Callable[[], str]
) -> None:
    topic, name = await new_topic(3), new_name()
    records = [Record(key=b"%d" % at, value=b"v") for at in range(20)]
    first = await publish(carrier, topic, *records, producer_name=name, sequence=0)
    assert await publish(carrier, topic, *records, producer_name=name, sequence=0) == first
    later = await publish(carrier, topic, Record(key=b"0"), producer_name=name, sequence=20)
    assert await publish(carrier, topic, *records, producer_name=name, sequence=0) == first
    assert later[0] not in first
    ends = [(await doors["kafka"].list_offset(topic, at, "latest")).offset for at in range(3)]
    assert sum(ends) == 21


async def test_a_number_that_was_passed_long_ago_is_refused(
    carrier: Carrier, new_topic: NewTopic, new_name: Callable[[], str]
) -> None:
    topic, name = await new_topic(), new_name()
    for sequence in range(7):
        await publish(carrier, topic, Record(value=b"v"), producer_name=name, sequence=sequence)
    found = await refusal(carrier, topic, Record(value=b"v"), producer_name=name, sequence=0)
    assert (found.status, found.reason) == ("ABORTED", "OUT_OF_ORDER_SEQUENCE_NUMBER")


async def test_more_than_is_remembered_is_not_idempotent(
    carrier: Carrier, new_topic: NewTopic, new_name: Callable[[], str]
) -> None:
    topic = await new_topic()
    records = [Record(value=bytes(900_000)) for _ in range(6)]
    found = await refusal(carrier, topic, *records, producer_name=new_name())
    assert (found.status, found.reason) == ("INVALID_ARGUMENT", "RECORD_LIST_TOO_LARGE")
    assert len(await publish(carrier, topic, *records)) == 6


# -- a stream of requests


def _request(*contents: bytes, **more: Any) -> pb.PublishStreamRequest:
    return pb.PublishStreamRequest(records=[Record(value=one, partition=0) for one in contents], **more)


async def test_a_stream_is_one_sender(
    carrier: Carrier, doors: dict[str, Door], new_topic: NewTopic, new_name: Callable[[], str]
) -> None:
    topic, name = await new_topic(2), new_name()
    requests = [_request(b"a", b"b", topic=topic, producer_name=name, sequence=7), _request(b"c")]
    expected = pb.PublishStreamResponse(
        record_count=3,
        ranges=[pb.PublishedRange(partition=0, first_offset=0, last_offset=2, record_count=3)],
    )
    assert await publish_stream(carrier, *requests) == expected
    assert await publish_stream(carrier, *requests) == expected
    found = [record.value for record in (await doors["kafka"].fetch(topic, 0, 0)).records]
    assert found == [b"a", b"b", b"c"]


async def test_a_stream_that_fails_says_how_many_records_are_safe(
    carrier: Carrier, new_topic: NewTopic
) -> None:
    topic = await new_topic()
    for bad, reason in (
        (_request(bytes(2_000_000)), "MESSAGE_TOO_LARGE"),
        (_request(), "INVALID_REQUEST"),
        (_request(b"x", topic="another"), "INVALID_REQUEST"),
    ):
        with pytest.raises(Refused) as raised:
            await publish_stream(carrier, _request(b"a", b"b", topic=topic), bad)
        assert (raised.value.status, raised.value.reason) == ("INVALID_ARGUMENT", reason)
        assert raised.value.metadata["records"] == "2", reason


async def test_a_stream_of_nothing(carrier: Carrier) -> None:
    with pytest.raises(Refused) as raised:
        await publish_stream(carrier)
    assert raised.value.status == "INVALID_ARGUMENT"


async def test_a_message_over_the_nodes_limit(node: NodeInside, new_topic: NewTopic) -> None:
    """gRPC itself refuses it, so there are no details; the connection serves on."""
    topic = await new_topic()
    carrier = GrpcCarrier(node.grpc_address)
    found = await refusal(carrier, topic, Record(value=bytes(6_500_000)))
    assert found.status == "RESOURCE_EXHAUSTED"
    assert await publish(carrier, topic, Record(value=b"v")) == [(0, 0)]
    await carrier.close()


async def test_a_stream_in_a_group_reads_records_as_they_are(
    carrier: Carrier, new_topic: NewTopic, open_wire: Callable[..., Any]
) -> None:
    topic = await new_topic()
    written = [
        Record(key=b"\xff", headers=[Header(key="n"), Header(key="n", value=b"")], timestamp_ms=0),
        Record(value=b"v", timestamp_ms=NOW_MS),
    ]
    await publish(carrier, topic, *written)
    wire = open_wire(carrier.name)
    await wire.write(subscribe(topic))
    assert (await wire.read()).WhichOneof("event") == "assigned"
    (found,) = (await wire.read()).records.partitions
    assert (found.topic, found.partition, found.high_watermark) == (topic, 0, 2)
    for at, (record, read) in enumerate(zip(written, found.records, strict=True)):
        assert read == record_pb2.ConsumedRecord(
            offset=at,
            timestamp_ms=record.timestamp_ms,
            key=record.key if record.HasField("key") else None,
            value=record.value if record.HasField("value") else None,
            headers=record.headers,
        )
