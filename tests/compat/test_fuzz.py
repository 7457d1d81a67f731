"""Random frames for every advertised API and version, from a fixed seed; afterwards the node still serves.

Three kinds: well-formed requests with random values, the same with damaged bytes, and noise behind a good
header. Any answer, a closed connection or silence is right; a crash, a grown memory or a traceback in the log
is not.
"""

from __future__ import annotations

import random
import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from tests.compat import wire
from tests.compat.conftest import PROPERTIES, create_topic, flavour, on_kafka
from tests.compat.servers import Server

from odradek.proto.kafka.api import request_class
from odradek.proto.kafka.headers import RequestHeader, encode_request_frame
from odradek.proto.kafka.primitives import EncodeError
from odradek.proto.kafka.schema import Field, Struct, resolve

STRINGS = ["", "topic", "fuzz", "group", "range", "x" * 300, "no spaces", "ключ", "\0", "127.0.0.1", "1"]
NUMBERS = [0, 1, -1, 2, 5, 100, 127, -128]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A node of its own: what random requests create and delete must not disturb other tests."""
    with Server(flavour(), tmp_path_factory.mktemp("fuzz"), PROPERTIES) as server:
        server.start()
        create_topic(server, prefix="fuzz")
        yield server


def random_value(rng: random.Random, owner: type[Struct], field: Field, depth: int) -> Any:
    kind, element = field.kind, field.element
    if kind in ("array", "struct"):
        found = resolve(owner, field)
        if kind == "struct":
            return random_struct(rng, found, depth + 1) if isinstance(found, type) else None
        return [random_scalar(rng, found, depth) for _ in range(rng.choice([0, 1, 1, 2]))]
    assert element is None or isinstance(element, str)
    return random_scalar(rng, kind, depth)


def random_scalar(rng: random.Random, kind: str | type[Struct], depth: int) -> Any:
    if isinstance(kind, type):
        return random_struct(rng, kind, depth + 1)
    if kind == "string":
        return rng.choice(STRINGS)
    if kind in ("octets", "records"):
        return rng.choice([b"", rng.randbytes(rng.randrange(200)), wire.record_batch([b"fuzz"])])
    if kind == "uuid":
        return rng.choice([bytes(16), rng.randbytes(16)])
    if kind == "boolean":
        return rng.random() < 0.5
    if kind == "float64":
        return rng.uniform(-1, 1)
    return abs(rng.choice(NUMBERS)) if kind == "uint16" else rng.choice(NUMBERS)


def random_struct(rng: random.Random, cls: type[Struct], depth: int) -> Any:
    values = {}
    for field in cls.FIELDS:
        if rng.random() < 0.8 and depth < 6:
            values[field.name] = random_value(rng, cls, field, depth)
    return cls(**values)


def damaged(rng: random.Random, frame: bytes) -> bytes:
    """The same frame with flipped bytes, cut or extended; the length in front stays true."""
    body = bytearray(frame[4:])
    for _ in range(rng.randrange(1, 6)):
        if len(body) > 10:
            body[rng.randrange(8, len(body))] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
    if rng.random() < 0.3:
        body = body[: rng.randrange(8, len(body) + 1)]
    if rng.random() < 0.2:
        body += rng.randbytes(rng.randrange(1, 40))
    return len(body).to_bytes(4, "big") + bytes(body)


def frames(rng: random.Random, key: int, version: int) -> Iterator[bytes]:
    header = RequestHeader(key, version, 1, "fuzz")
    for _ in range(2):
        try:
            frame = b"".join(encode_request_frame(header, random_struct(rng, request_class(key), 0)))
        except EncodeError:
            continue  # a null or a value that this version cannot say
        yield frame
        yield damaged(rng, frame)
    yield wire.request(key, version, 1, rng.randbytes(rng.randrange(120)))


def send_and_leave(server: Server, frame: bytes) -> None:
    """Send, say that nothing follows, and wait a moment for an answer or the end."""
    with server.connect() as connection:
        try:
            connection.send(frame)
            connection.socket.shutdown(socket.SHUT_WR)
            connection.socket.settimeout(0.05)
            connection.receive()
        except (wire.Closed, TimeoutError, OSError):
            return


def tracebacks(server: Server) -> list[str]:
    """Each distinct traceback in the log of the process: a request that it met unprepared."""
    log = server.log.read_text(errors="replace")
    found = re.findall(r"Traceback \(most recent call last\):\n(?:[ \t].*\n)+.*\n", log)
    return list(dict.fromkeys(found))


@pytest.mark.timeout(300)
def test_random_frames(target: Server) -> None:
    rng = random.Random(20241124)
    with target.connect() as connection:
        table = wire.api_versions(connection)
    before = target.resident_bytes()
    sent = 0
    for entry in table:
        for version in range(entry.low, entry.high + 1):
            for frame in frames(rng, entry.key, version):
                send_and_leave(target, frame)
                sent += 1
        assert target.process is not None
        assert target.process.poll() is None, f"died at key {entry.key}\n{target.log_tail()}"
    assert sent > 200
    name = create_topic(target, prefix="after")
    with target.connect() as connection:
        assert wire.produce(connection, {name: [0]}, wire.record_batch([b"alive"])) == [(name, 0, 0, 0)]
        assert b"alive" in wire.fetch(connection, name, 0, 0)[2]
    if not on_kafka():
        assert target.resident_bytes() - before < 64 << 20
        assert not tracebacks(target), "\n".join(tracebacks(target))
