"""One request, one answer: what never left, and what nobody knows."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
from tests.unit.jepsen.workloads.conftest import Bench

from odradek.jepsen.workloads.kafka_wire import NoAnswer, NotSent, ask
from odradek.proto.kafka.messages.metadata import MetadataRequest, MetadataResponse

REQUEST = MetadataRequest(topics=[], allow_auto_topic_creation=False)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def _answering(listening: socket.socket, answer: bytes) -> threading.Thread:
    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return thread


def test_an_answer_is_read(bench: Bench) -> None:
    host, _, port = bench.broker.bootstrap_servers.rpartition(":")
    answer = ask((host, int(port)), REQUEST, 12, MetadataResponse, 10.0)
    assert [broker.port for broker in answer.brokers] == [int(port)]


def test_where_nobody_listens_nothing_is_sent(listener: socket.socket) -> None:
    address = listener.getsockname()
    listener.close()
    with pytest.raises(NotSent):
        ask(address, REQUEST, 12, MetadataResponse, 1.0)


@pytest.mark.parametrize(
    "answer", [b"", b"\0\0", b"\0\0\0\x10half", b"\x7f\xff\xff\xff", b"\0\0\0\x06\0\0\0\1\0\0"]
)
def test_a_connection_that_breaks_or_talks_nonsense_gives_no_answer(
    listener: socket.socket, answer: bytes
) -> None:
    thread = _answering(listener, answer)
    with pytest.raises(NoAnswer):
        ask(listener.getsockname(), REQUEST, 12, MetadataResponse, 10.0)
    thread.join()


def test_silence_gives_no_answer(listener: socket.socket) -> None:
    with pytest.raises(NoAnswer):
        ask(listener.getsockname(), REQUEST, 12, MetadataResponse, 0.05)
