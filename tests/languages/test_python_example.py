"""The Python example at one node: what it does when nothing happens, and when somebody asks it to end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.compat import confluent, wire
from tests.compat.conftest import PROPERTIES
from tests.compat.servers import HOST, Odradek, Server, quiet_ports
from tests.languages.programs import PYTHON, Programs, build_in
from tests.languages.running import Running, Seen, acknowledged, seen

COUNT = 250
NOBODY = f"{HOST}:1"
"""An address at which nobody answers: the programs have to go on to the next."""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    return build_in(tmp_path_factory.mktemp("example"), PYTHON)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    """A node, and where its gRPC is."""
    (port,) = quiet_ports(1)
    properties = PROPERTIES | {"odradek.grpc.listener": f"{HOST}:{port}", "num.partitions": "3"}
    with Server(Odradek(), tmp_path_factory.mktemp("node"), properties) as server:
        server.start()
        yield server, f"{HOST}:{port}"


def run(programs: Programs, folder: Path, topic: str, addresses: str, count: int, name: str) -> list[int]:
    """Produce; the numbers that are acknowledged."""
    arguments = [addresses, topic, str(count), name]
    with Running(programs.produce, arguments, programs.folder, folder / name) as producer:
        assert producer.await_end() == 0, producer.complaints()
    return acknowledged(producer)


def test_what_is_produced_is_consumed(door: tuple[Server, str], programs: Programs, tmp_path: Path) -> None:
    server, address = door
    addresses = f"{NOBODY},{address}"
    assert run(programs, tmp_path, "numbers", addresses, COUNT, "sender") == list(range(COUNT))
    consume = [addresses, "numbers", "readers", str(COUNT)]
    with Running(programs.consume, consume, programs.folder, tmp_path / "reader") as consumer:
        assert consumer.await_end() == 0, consumer.complaints()
    read = seen(consumer)
    reader = confluent.consumer(server, "auditor")
    reader.subscribe(["numbers"])
    messages = confluent.poll(reader, COUNT)
    reader.close()
    stored = [
        Seen(message.partition() or 0, message.offset() or 0, int(message.value() or b""))
        for message in messages
    ]
    assert sorted(read) == sorted(stored)
    assert sorted(record.value for record in read) == list(range(COUNT))


def test_a_name_that_is_used_twice_writes_once(
    door: tuple[Server, str], programs: Programs, tmp_path: Path
) -> None:
    """The second run repeats the requests of the first, as a producer does after an answer that was lost."""
    server, address = door
    for _ in range(2):
        assert run(programs, tmp_path, "once", address, COUNT, "same") == list(range(COUNT))
    with server.connect() as connection:
        assert sum(end.offset for end in wire.list_offsets(connection, {"once": range(3)})) == COUNT


def test_a_consumer_ends_when_it_is_told_to_and_has_committed(
    door: tuple[Server, str], programs: Programs, tmp_path: Path
) -> None:
    _, address = door
    for name, count in (("first", COUNT), ("second", 10)):
        run(programs, tmp_path, "ended", address, count, name)
        arguments = [address, "ended", "group"]
        with Running(programs.consume, arguments, programs.folder, tmp_path / f"reader-{name}") as consumer:
            consumer.await_lines(count)
            consumer.terminate()
            assert consumer.await_end() == 0, consumer.complaints()
        assert sorted(record.value for record in seen(consumer)) == list(range(count))


def test_a_request_that_is_wrong_is_not_sent_again(
    door: tuple[Server, str], programs: Programs, tmp_path: Path
) -> None:
    _, address = door
    with Running(
        programs.produce, [address, "no/topic", "1"], programs.folder, tmp_path / "wrong"
    ) as producer:
        assert producer.await_end() == 1
    assert "INVALID_ARGUMENT" in producer.complaints()
