from __future__ import annotations

from dataclasses import replace

import pytest

from odradek.node.app.context import RequestContext
from odradek.node.kafka_api.envelope import IdentityError, unwrap, wrap
from odradek.proto.kafka.codec import decode_exactly, encode_to_bytes
from odradek.proto.kafka.headers import RequestHeader, encode_request_frame
from odradek.proto.kafka.messages.controller import EnvelopeRequest
from odradek.proto.kafka.messages.topics import DeleteTopicsRequest
from odradek.proto.kafka.primitives import DecodeError

CLIENT = RequestContext("me", "User:alice:b", "EXTERNAL", "dialled", 19092, "c7", "10.0.0.7")
CARRIER = RequestContext("odradek", "User:broker", "INTERNAL", "inside", 9093, "c1", "10.0.0.1")
HEADER = RequestHeader(20, 4, 77, "me")
FRAME = b"".join(encode_request_frame(HEADER, DeleteTopicsRequest(topic_names=["t"])))[4:]


def over_the_wire(envelope: EnvelopeRequest) -> EnvelopeRequest:
    return decode_exactly(EnvelopeRequest, 0, encode_to_bytes(envelope, 0))


@pytest.mark.parametrize("host", ["10.0.0.7", "2001:db8::7", ""])
def test_the_request_and_who_sent_it_arrive(host: str) -> None:
    client = replace(CLIENT, client_host=host)
    found = unwrap(over_the_wire(wrap(client, memoryview(FRAME), 3)), CARRIER)
    assert found.header == HEADER
    assert decode_exactly(DeleteTopicsRequest, 4, found.data, found.body_offset).topic_names == ["t"]
    assert found.context == replace(client, received_by=3)


def test_an_identity_as_kafka_writes_it_is_read_with_the_rest_of_the_connection() -> None:
    identity = b"\0\0" + b"\x05User" + b"\x06alice" + b"\0" + b"\0"
    envelope = EnvelopeRequest(
        request_data=FRAME, request_principal=identity, client_host_address=bytes((10, 0, 0, 7))
    )
    found = unwrap(envelope, CARRIER)
    assert found.context == replace(CARRIER, client_id="me", principal="User:alice", client_host="10.0.0.7")


def test_kafka_reads_the_identity_that_we_write() -> None:
    written = wrap(CLIENT, FRAME, 3).request_principal
    assert written is not None
    assert written.startswith(b"\0\0" + b"\x05User" + b"\x08alice:b" + b"\0")


@pytest.mark.parametrize(
    "identity", [None, b"", b"\0", b"\0\1\x05User\x06alice\0\0", b"\0\0\x05User", b"\0\0"]
)
def test_an_identity_that_cannot_be_read(identity: bytes | None) -> None:
    with pytest.raises(IdentityError):
        unwrap(EnvelopeRequest(request_data=FRAME, request_principal=identity), CARRIER)


@pytest.mark.parametrize(("data", "address"), [(b"", bytes(4)), (FRAME[:5], bytes(4)), (FRAME, bytes(5))])
def test_a_request_or_an_address_that_cannot_be_read(data: bytes, address: bytes) -> None:
    envelope = wrap(CLIENT, data, 3)
    envelope.client_host_address = address
    with pytest.raises(DecodeError):
        unwrap(envelope, CARRIER)
