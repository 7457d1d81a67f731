"""One Kafka request to one node, and its answer, without a client library: nothing is tried again behind the scenes.

Decides: whether a request certainly never left (NotSent), or nobody knows (NoAnswer).
"""

from __future__ import annotations

import socket
import time
from struct import Struct
from typing import Final, TypeVar

from odradek.proto.kafka.codec import DecodeError, decode
from odradek.proto.kafka.headers import RequestHeader, decode_response_header, encode_request_frame
from odradek.proto.kafka.schema import Message

_SIZE: Final = Struct(">i")
_FRAME_BYTES_MAX: Final = 16 << 20
_CONNECT_S: Final = 2.0
ResponseT = TypeVar("ResponseT", bound=Message)


class NotSent(Exception):
    """No connection could be made."""


class NoAnswer(Exception):
    """The connection broke, or was silent for too long, after a part of the request may have left."""


def ask(
    address: tuple[str, int], request: Message, version: int, response: type[ResponseT], timeout_s: float
) -> ResponseT:
    """On a connection of its own. NotSent, NoAnswer."""
    key = request.INFO.key
    assert key is not None, f"{request} is no request"
    try:
        connection = socket.create_connection(address, _CONNECT_S)
    except OSError as error:
        raise NotSent(f"{address}: {error}") from None
    with connection:
        try:
            frame = b"".join(encode_request_frame(RequestHeader(key, version, 1, "jepsen"), request))
            deadline = time.monotonic() + timeout_s
            connection.settimeout(timeout_s)
            connection.sendall(frame)
            (size,) = _SIZE.unpack(_exactly(connection, _SIZE.size, deadline))
            if not 4 <= size <= _FRAME_BYTES_MAX:
                raise NoAnswer(f"{address}: a frame of {size} bytes")
            answer = _exactly(connection, size, deadline)
            _, position = decode_response_header(answer, key, version)
            return decode(response, version, answer, position)
        except (OSError, DecodeError) as error:
            raise NoAnswer(f"{address}: {error!r}") from None


def _exactly(connection: socket.socket, size: int, deadline: float) -> bytes:
    received = b""
    while len(received) < size:
        connection.settimeout(max(0.001, deadline - time.monotonic()))
        chunk = connection.recv(size - len(received))
        if not chunk:
            raise ConnectionError(f"closed after {len(received)} of {size} bytes")
        received += chunk
    return received
