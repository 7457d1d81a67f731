"""What travels when a broker passes a client's request on to the active controller: the request's own bytes, and
who sent it.

Decides what an envelope holds. The identity is the bytes that Kafka's own brokers write (`DefaultPrincipalData`:
a version, type, name, authenticated by token), with what our handlers want to know besides in tagged fields. Does
not decide who may send envelopes (`handlers/envelope`) nor where they go (`forwarding`). Pure.

Source: KIP-590; Kafka's `EnvelopeRequest.json`, `DefaultPrincipalData.json`.
"""

from __future__ import annotations

from ipaddress import ip_address
from struct import Struct
from typing import Final, NamedTuple

from odradek.node.app.context import RequestContext
from odradek.proto.kafka.codec import decode_exactly, encode_to_bytes
from odradek.proto.kafka.headers import RequestHeader, decode_request_header
from odradek.proto.kafka.messages.controller import EnvelopeRequest
from odradek.proto.kafka.primitives import DecodeError
from odradek.proto.kafka.schema import Buffer, Message, boolean, int32, string

_VERSION: Final = Struct(">h")
_IDENTITY_VERSION: Final = 0
_NOBODY: Final = -1


class ForwardedIdentity(Message, versions="0", flexible="0+"):
    """Who asks, and where they came in. `node_id` is the broker whose connection the client has."""

    type: str = string("0+")
    name: str = string("0+")
    token_authenticated: bool = boolean("0+")
    node_id: int = int32("0+", default=_NOBODY, tag=1000)
    listener: str = string("0+", tag=1001)
    local_host: str = string("0+", tag=1002)
    local_port: int = int32("0+", tag=1003)
    connection_id: str = string("0+", tag=1004)


class Forwarded(NamedTuple):
    """An unwrapped envelope: the request's header, the place of its body in `data`, and its context here."""

    header: RequestHeader
    data: memoryview
    body_offset: int
    context: RequestContext


class IdentityError(Exception):
    """The identity in an envelope cannot be read."""


def wrap(context: RequestContext, frame: Buffer, node_id: int) -> EnvelopeRequest:
    """An envelope for `frame`, a request from its header on, which `node_id` received."""
    kind, _, name = context.principal.partition(":")
    identity = ForwardedIdentity(
        type=kind,
        name=name,
        node_id=node_id,
        listener=context.listener,
        local_host=context.local_host,
        local_port=context.local_port,
        connection_id=context.connection_id,
    )
    return EnvelopeRequest(
        request_data=bytes(frame),
        request_principal=_VERSION.pack(_IDENTITY_VERSION) + encode_to_bytes(identity, _IDENTITY_VERSION),
        client_host_address=_packed(context.client_host),
    )


def unwrap(envelope: EnvelopeRequest, carrier: RequestContext) -> Forwarded:
    """What was wrapped, `carrier` being the context of the connection on which it came.

    Raises DecodeError for a request or an address that cannot be read, IdentityError.
    """
    identity = _identity(envelope.request_principal)
    data = memoryview(envelope.request_data)
    header, body_offset = decode_request_header(data)
    context = RequestContext(
        client_id=header.client_id,
        principal=f"{identity.type}:{identity.name}",
        listener=identity.listener or carrier.listener,
        local_host=identity.local_host or carrier.local_host,
        local_port=identity.local_port or carrier.local_port,
        connection_id=identity.connection_id or carrier.connection_id,
        client_host=_host(envelope.client_host_address),
        received_by=None if identity.node_id == _NOBODY else identity.node_id,
    )
    return Forwarded(header, data, body_offset, context)


def _identity(data: bytes | None) -> ForwardedIdentity:
    if data is None or len(data) < _VERSION.size:
        raise IdentityError("the envelope says nothing of who asks")
    (version,) = _VERSION.unpack_from(data)
    if version != _IDENTITY_VERSION:
        raise IdentityError(f"an identity of version {version}")
    try:
        return decode_exactly(ForwardedIdentity, _IDENTITY_VERSION, data[_VERSION.size :])
    except DecodeError as error:
        raise IdentityError(str(error)) from None


def _packed(host: str) -> bytes:
    """The address of a client in 4 or 16 bytes; nothing where it has none (a socket without addresses)."""
    try:
        return ip_address(host).packed
    except ValueError:
        return b""


def _host(packed: bytes) -> str:
    if not packed:
        return ""
    try:
        return str(ip_address(packed))
    except ValueError as error:
        raise DecodeError(f"a client's address of {len(packed)} bytes: {error}") from None
