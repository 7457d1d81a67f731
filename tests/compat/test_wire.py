"""Bytes on a raw socket: framing, order, versions, hostile input. No client library is in between."""

from __future__ import annotations

import socket
import struct
import time

import pytest
from kafka.protocol.broker_version_data import BROKER_API_VERSIONS
from tests.compat import wire
from tests.compat.conftest import CreateTopic, on_kafka
from tests.compat.servers import HOST, Server

from odradek.proto.kafka.api import ApiKey, request_class, response_class
from odradek.proto.kafka.codec import decode
from odradek.proto.kafka.headers import RequestHeader, encode_request_frame

SERVED = {
    *(ApiKey.PRODUCE, ApiKey.FETCH, ApiKey.LIST_OFFSETS, ApiKey.METADATA, ApiKey.OFFSET_FOR_LEADER_EPOCH),
    *(ApiKey.FIND_COORDINATOR, ApiKey.JOIN_GROUP, ApiKey.SYNC_GROUP, ApiKey.HEARTBEAT, ApiKey.LEAVE_GROUP),
    *(ApiKey.OFFSET_COMMIT, ApiKey.OFFSET_FETCH, ApiKey.OFFSET_DELETE, ApiKey.DESCRIBE_GROUPS),
    *(ApiKey.LIST_GROUPS, ApiKey.DELETE_GROUPS, ApiKey.API_VERSIONS, ApiKey.CREATE_TOPICS),
    *(ApiKey.DELETE_TOPICS, ApiKey.CREATE_PARTITIONS, ApiKey.DELETE_RECORDS, ApiKey.DESCRIBE_CONFIGS),
    *(ApiKey.ALTER_CONFIGS, ApiKey.INCREMENTAL_ALTER_CONFIGS, ApiKey.LIST_CONFIG_RESOURCES),
    *(ApiKey.INIT_PRODUCER_ID, ApiKey.DESCRIBE_PRODUCERS, ApiKey.DESCRIBE_LOG_DIRS),
    *(ApiKey.DESCRIBE_CLUSTER, ApiKey.DESCRIBE_TOPIC_PARTITIONS),
}
METADATA_OF_NOTHING = wire.request(wire.METADATA, 1, 77, wire.array([]))


def closed_by_server(connection: wire.Connection, timeout: float = 20.0) -> bool:
    """True when the server ends the connection without another byte."""
    connection.socket.settimeout(timeout)
    try:
        return connection.socket.recv(1) == b""
    except ConnectionError:
        return True


def serves(server: Server) -> None:
    """A new connection is answered."""
    with server.connect() as connection:
        assert wire.metadata(connection, [])[0]


@pytest.mark.parametrize("version", [5, 99, 0x7FFF])
def test_unsupported_api_versions_is_answered_in_the_layout_of_version_0(node: Server, version: int) -> None:
    with node.connect() as connection:
        connection.send(wire.request(wire.API_VERSIONS, version, 0x01020304, b"\0\x09anything"))
        answer = connection.receive()
        assert answer == bytes.fromhex("01020304 0023 00000001 0012 0000 0004")
        assert wire.api_versions(connection)


def test_advertised_ranges_are_those_of_kafka(node: Server) -> None:
    with node.connect() as connection:
        table = {entry.key: (entry.low, entry.high) for entry in wire.api_versions(connection)}
    expected = {int(key): value for key, value in BROKER_API_VERSIONS[4, 3].items()}
    assert table == {key: value for key, value in expected.items() if key in table}
    assert {int(key) for key in SERVED} <= set(table)


@pytest.mark.parametrize("version", [0, 1, 2, 3, 4])
def test_every_version_of_api_versions_tells_the_same(node: Server, version: int) -> None:
    request = request_class(ApiKey.API_VERSIONS)()
    if version >= 3:
        request = request_class(ApiKey.API_VERSIONS)(
            client_software_name="wire-test", client_software_version="1.0"
        )
    frame = b"".join(encode_request_frame(RequestHeader(18, version, 9, "wire"), request))
    with node.connect() as connection:
        connection.send(frame)
        answer = connection.receive()
        assert answer[:4] == b"\0\0\0\x09"
        response = decode(response_class(ApiKey.API_VERSIONS), version, answer, 4)
        assert getattr(response, "error_code") == 0  # noqa: B009  (the base class has no such field)
        found = {(entry.api_key, entry.min_version, entry.max_version) for entry in response.api_keys}  # type: ignore[attr-defined]
        assert found == {tuple(entry) for entry in wire.api_versions(connection)}


def test_api_versions_refuses_an_odd_software_name(node: Server) -> None:
    request = request_class(ApiKey.API_VERSIONS)(
        client_software_name="no spaces!", client_software_version="1"
    )
    with node.connect() as connection:
        connection.send(b"".join(encode_request_frame(RequestHeader(18, 3, 9, "wire"), request)))
        assert connection.receive()[4:6] == struct.pack(">h", 42)


def test_first_request_need_not_be_api_versions(node: Server, topic: CreateTopic) -> None:
    name = topic()
    with node.connect() as connection:
        assert wire.list_offsets(connection, {name: [0]}) == [(name, 0, 0, 0)]


def test_null_client_id(node: Server) -> None:
    with node.connect() as connection:
        connection.send(wire.request(wire.METADATA, 1, 5, wire.array([]), client_id=None))
        assert connection.receive()[:4] == b"\0\0\0\x05"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(struct.pack(">i", -1), id="negative length"),
        pytest.param(struct.pack(">i", -(2**31)), id="most negative length"),
        pytest.param(struct.pack(">i", (100 << 20) + 1), id="length above the limit"),
        pytest.param(struct.pack(">i", 2**31 - 1), id="largest length"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", id="http"),
        pytest.param(struct.pack(">i", 3) + b"abc", id="shorter than a header"),
        pytest.param(wire.request(999, 0, 1, b""), id="unknown key"),
        pytest.param(wire.request(-1, 0, 1, b""), id="negative key"),
        pytest.param(wire.request(4, 0, 1, b""), id="a key that clients may not use"),
        pytest.param(wire.request(wire.METADATA, 99, 1, b""), id="version above the range"),
        pytest.param(wire.request(wire.FETCH, 0, 1, b"\0" * 40), id="version below the range"),
        pytest.param(wire.request(wire.PRODUCE, 2, 1, b"\0" * 40), id="produce 2, listed but refused"),
        pytest.param(wire.request(wire.METADATA, 1, 1, struct.pack(">i", 2**31 - 1)), id="huge count"),
        pytest.param(wire.request(wire.METADATA, 1, 1, b"\0\0"), id="cut body"),
        pytest.param(struct.pack(">ihhih", 10, 3, 1, 1, 30000), id="client id beyond the frame"),
    ],
)
def test_a_bad_frame_closes_that_connection_only(node: Server, data: bytes) -> None:
    with node.connect() as bystander, node.connect() as connection:
        wire.metadata(bystander, [])
        connection.send(data)
        assert closed_by_server(connection)
        wire.metadata(bystander, [])
    serves(node)


def test_answers_come_in_the_order_of_the_requests(node: Server, topic: CreateTopic) -> None:
    """A fetch that waits holds back what was asked after it on the same connection."""
    name = topic()
    with node.connect() as connection:
        waiting = wire.request(wire.FETCH, 4, 1, wire.fetch_body(name, 0, 0, max_wait_ms=300))
        others = [wire.request(wire.METADATA, 1, number, wire.array([])) for number in range(2, 60)]
        started = time.monotonic()
        connection.send(waiting + b"".join(others))
        seen = [struct.unpack_from(">i", connection.receive())[0] for _ in range(59)]
        assert seen == list(range(1, 60))
        assert time.monotonic() - started >= 0.29


def test_a_waiting_fetch_does_not_hold_back_other_connections(node: Server, topic: CreateTopic) -> None:
    name = topic()
    with node.connect() as waiting, node.connect() as other:
        waiting.send(wire.request(wire.FETCH, 4, 1, wire.fetch_body(name, 0, 0, max_wait_ms=20_000)))
        started = time.monotonic()
        wire.metadata(other, [])
        assert wire.produce(other, {name: [0]}, wire.record_batch([b"wake"])) == [(name, 0, 0, 0)]
        assert b"wake" in waiting.receive()
        assert time.monotonic() - started < 15


def test_acks_0_gets_no_answer(node: Server, topic: CreateTopic) -> None:
    name = topic()
    with node.connect() as connection:
        body = wire.produce_body({name: [0]}, wire.record_batch([b"quiet"]), acks=0)
        connection.send(wire.request(wire.PRODUCE, 3, 1, body) + METADATA_OF_NOTHING)
        assert connection.receive()[:4] == struct.pack(">i", 77)
        error, _, records = wire.fetch(connection, name, 0, 0)  # waits until the record may be read
        assert (error, b"quiet" in records) == (0, True)


def test_acks_0_that_fails_closes_the_connection(node: Server) -> None:
    """The only way to tell such a client that something is wrong."""
    with node.connect() as connection:
        body = wire.produce_body({"no-such-topic-at-all": [7]}, wire.record_batch([b"lost"]), acks=0)
        connection.send(wire.request(wire.PRODUCE, 3, 1, body))
        assert closed_by_server(connection)
    serves(node)


def one_error(connection: wire.Connection, topic: str, batch: bytes, acks: int = -1) -> int:
    answer = connection.call(wire.PRODUCE, 3, wire.produce_body({topic: [0]}, batch, acks))
    assert answer.int32() == 1
    answer.string()
    assert (answer.int32(), answer.int32()) == (1, 0)
    return answer.int16()


def test_produce_refusals(node: Server, topic: CreateTopic) -> None:
    name = topic()
    good = wire.record_batch([b"value"])
    with node.connect() as connection:
        assert one_error(connection, name, good, acks=5) == 21  # INVALID_REQUIRED_ACKS
        assert one_error(connection, name, good[:-1] + b"\x01") == 2  # CORRUPT_MESSAGE
        assert one_error(connection, name, good + good) == 87  # INVALID_RECORD: one batch per partition
        assert one_error(connection, "absent-topic", good) == 3  # UNKNOWN_TOPIC_OR_PARTITION
        assert wire.list_offsets(connection, {name: [0]})[0].offset == 0
        assert one_error(connection, name, good) == 0


def init_producer_id(connection: wire.Connection) -> int:
    """A new producer id; asked again while the node has no block of ids yet (error 14)."""
    deadline = time.monotonic() + 10
    while True:
        answer = connection.call(22, 0, wire.string(None) + struct.pack(">i", 60_000))
        assert answer.int32() == 0
        error, producer_id, epoch = answer.int16(), answer.int64(), answer.int16()
        if error == 0:
            assert (producer_id >= 0, epoch) == (True, 0)
            return producer_id
        assert error == 14 and time.monotonic() < deadline, f"InitProducerId answered error {error}"
        time.sleep(0.01)


def test_duplicate_gap_and_stale_epoch_of_an_idempotent_producer(node: Server, topic: CreateTopic) -> None:
    name = topic()
    with node.connect() as connection:
        producer_id = init_producer_id(connection)

        def send(sequence: int, count: int, with_epoch: int = 0) -> tuple[int, int]:
            state = wire.ProducerState(producer_id, with_epoch, sequence)
            batch = wire.record_batch([b"v"] * count, state=state)
            (found,) = wire.produce(connection, {name: [0]}, batch)
            return found.error, found.offset

        assert send(0, 3) == (0, 0)
        assert send(3, 2) == (0, 3)
        assert send(0, 3) == (0, 0)  # a retry is acknowledged again with its offset
        assert send(9, 1)[0] == 45  # OUT_OF_ORDER_SEQUENCE_NUMBER
        assert send(0, 1, with_epoch=1) == (0, 5)
        assert send(5, 1)[0] in (47, 90)  # INVALID_PRODUCER_EPOCH
        assert wire.list_offsets(connection, {name: [0]})[0].offset == 6


def test_fetch_gives_a_whole_batch_however_small_the_limit(node: Server, topic: CreateTopic) -> None:
    name = topic()
    with node.connect() as connection:
        batch = wire.record_batch([b"x" * 1000] * 5)
        wire.produce(connection, {name: [0]}, batch)
        wire.produce(connection, {name: [0]}, batch)
        error, high_watermark, records = wire.fetch(connection, name, 0, 3, max_bytes=1)
        assert (error, high_watermark) == (0, 10)
        assert len(records) >= len(batch)
        assert records[:8] == bytes(8)  # the batch that holds offset 3 begins at 0
        assert records[17 : len(batch)] == batch[17:]  # all but offset, length and leader epoch is as sent


def test_fetch_outside_the_log(node: Server, topic: CreateTopic) -> None:
    name = topic()
    with node.connect() as connection:
        wire.produce(connection, {name: [0]}, wire.record_batch([b"x"]))
        assert wire.fetch(connection, name, 0, 1)[:2] == (0, 1)
        assert wire.fetch(connection, name, 0, 2)[0] == 1  # OFFSET_OUT_OF_RANGE
        assert wire.fetch(connection, name, 9, 0)[0] == 3  # UNKNOWN_TOPIC_OR_PARTITION
        assert wire.list_offsets(connection, {name: [9]})[0].error == 3


def test_metadata_null_is_all_and_empty_is_none(node: Server, topic: CreateTopic) -> None:
    name = topic(2)
    with node.connect() as connection:
        assert name in {found.name for found in wire.metadata(connection, None)[1]}
        brokers, topics = wire.metadata(connection, [])
        assert topics == []
        assert [(broker.host, broker.port) for broker in brokers] == [(HOST, node.port)]
        (found,) = wire.metadata(connection, [name])[1]
        assert sorted(part.partition for part in found.partitions) == [0, 1]
        (refused,) = wire.metadata(connection, ["no spaces"])[1]
        assert refused.error == 17  # INVALID_TOPIC_EXCEPTION
        everything = connection.call(wire.METADATA, 0, wire.array([]))  # in version 0 empty means all
        assert name.encode() in everything.data


def test_a_dripping_client_is_answered(node: Server) -> None:
    with node.connect() as connection:
        for position in range(len(METADATA_OF_NOTHING)):
            connection.send(METADATA_OF_NOTHING[position : position + 1])
        assert connection.receive()[:4] == struct.pack(">i", 77)


def test_half_closed_and_reset_connections(node: Server, topic: CreateTopic) -> None:
    name = topic()
    for _ in range(50):
        with node.connect() as connection:
            connection.send(METADATA_OF_NOTHING)
            connection.socket.shutdown(socket.SHUT_WR)
            connection.socket.settimeout(20)
            while connection.socket.recv(65536):
                pass
    batch = wire.record_batch([b"x" * 500_000])
    frame = wire.request(wire.PRODUCE, 3, 1, wire.produce_body({name: [0]}, batch))
    for _ in range(20):
        connection = node.connect()
        connection.send(frame[:300_000])
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    waiting = [node.connect() for _ in range(20)]
    for connection in waiting:
        connection.send(wire.request(wire.FETCH, 4, 1, wire.fetch_body(name, 0, 0, max_wait_ms=30_000)))
        connection.close()
    with node.connect() as connection:
        assert wire.produce(connection, {name: [0]}, batch) == [(name, 0, 0, 0)]


@pytest.mark.skipif(on_kafka(), reason="Kafka allocates the length that a frame claims")
def test_claimed_lengths_allocate_nothing(own_node: Server) -> None:
    """Forty frames of 100 MiB are announced and never sent."""
    node = own_node
    serves(node)
    before = node.resident_bytes()
    connections = [node.connect() for _ in range(40)]
    try:
        for connection in connections:
            connection.send(struct.pack(">ihhi", 100 << 20, wire.PRODUCE, 3, 1) + b"\xff\xff" + b"\0" * 1000)
        serves(node)
        assert node.resident_bytes() - before < 32 << 20
    finally:
        for connection in connections:
            connection.close()
    serves(node)


def test_every_request_of_default_values_is_survived(node: Server) -> None:
    """One well-formed, empty request per advertised key and version."""
    with node.connect() as connection:
        table = wire.api_versions(connection)
    for entry in table:
        if entry.key not in {int(key) for key in SERVED}:
            continue
        for version in range(entry.low, entry.high + 1):
            request = request_class(entry.key)()
            if entry.key == ApiKey.PRODUCE:
                if version < 3:
                    continue  # listed for the sake of old librdkafka, refused like any other
                request = request_class(entry.key)(acks=-1)
            header = RequestHeader(entry.key, version, 1, "wire")
            with node.connect() as connection:
                connection.send(b"".join(encode_request_frame(header, request)))
                connection.socket.settimeout(20)
                try:
                    answer = connection.receive()
                except wire.Closed:
                    continue  # an empty value that the request may not have
                except TimeoutError:
                    pytest.fail(f"key {entry.key} version {version}: no answer")
                assert answer[:4] == b"\0\0\0\x01"
    serves(node)
