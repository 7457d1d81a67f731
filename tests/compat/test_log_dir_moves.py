"""Replicas move from one log directory to the other while they are written, and while the node is killed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random

import pytest
from confluent_kafka import OFFSET_BEGINNING, TopicPartition
from tests.compat import confluent, wire
from tests.compat.clusters import until
from tests.compat.conftest import PROPERTIES, create_topic, flavour, on_kafka
from tests.compat.load import PARTITIONS, Load
from tests.compat.servers import Odradek, Server
from tests.compat.toolchains import kafka_tool

from odradek.proto.kafka.codec import decode_exactly, encode_to_bytes
from odradek.proto.kafka.messages.log_dirs import (
    AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
    DescribeLogDirsRequest,
    DescribeLogDirsResponse,
)
from odradek.proto.kafka.schema import Message

_TOOL = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand"


class TwoDirectories(Odradek):
    """The node under test, with `log.dirs` as its properties say."""

    def command(self, folder: Path, port: int, properties: Mapping[str, str]) -> list[str]:
        command = super().command(folder, port, properties)
        at = command.index("--data")
        return command[:at] + command[at + 2 :]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Server]:
    """A node with the log directories `a` and `b`."""
    properties = PROPERTIES | {"log.dirs": f"{tmp_path}/a,{tmp_path}/b", "log.segment.bytes": "1048576"}
    with Server(flavour() if on_kafka() else TwoDirectories(), tmp_path, properties) as server:
        server.start()
        yield server


def ask(node: Server, key: int, request: Message) -> bytes:
    """The body of the answer in version 1."""
    with node.connect() as connection:
        answer = connection.call(key, 1, encode_to_bytes(request, 1))
    return answer.blob(len(answer.data) - answer.position)


def places(node: Server, topic: str) -> dict[int, str]:
    """Partition -> the last letter of its directory's path, of those that are not on their way elsewhere."""
    answer = ask(node, 35, DescribeLogDirsRequest(topics=None))
    found: dict[int, str] = {}
    moving: set[int] = set()
    for directory in decode_exactly(DescribeLogDirsResponse, 1, answer).results:
        for described in directory.topics:
            for one in described.partitions if described.name == topic else ():
                if one.is_future_key:
                    moving.add(one.partition_index)
                else:
                    found[one.partition_index] = directory.log_dir[-1]
    return {index: path for index, path in found.items() if index not in moving}


def await_places(node: Server, topic: str, wanted: dict[int, str]) -> None:
    until(lambda: places(node, topic) == wanted, 60, lambda: str(places(node, topic)))


def move(node: Server, topic: str, path: str) -> None:
    """Ask for all partitions to be in the directory `a` or `b`."""
    asked = AlterReplicaLogDirsRequest
    topics = [asked.AlterReplicaLogDirTopic(name=topic, partitions=list(range(PARTITIONS)))]
    request = asked(dirs=[asked.AlterReplicaLogDir(path=f"{node.folder}/{path}", topics=topics)])
    response = decode_exactly(AlterReplicaLogDirsResponse, 1, ask(node, 34, request))
    assert not any(one.error_code for result in response.results for one in result.partitions), response


def audit(node: Server, topic: str, load: Load) -> None:
    """Everything acknowledged is where it was acknowledged, and nothing is there twice."""
    for partition in range(PARTITIONS):
        with node.connect() as connection:
            (end,) = wire.list_offsets(connection, {topic: [partition]})
        consumer = confluent.consumer(node, f"auditor-{partition}")
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])
        stored = {one.offset(): int(one.value() or b"-1") for one in confluent.poll(consumer, end.offset)}
        consumer.close()
        assert len(stored) == end.offset
        assert len(set(stored.values())) == len(stored), "a record is there twice"
        acknowledged = {
            offset: number for number, (at, offset) in load.acknowledged.items() if at == partition
        }
        lost = {offset for offset, number in acknowledged.items() if stored.get(offset) != number}
        assert not lost, (
            f"partition {partition}: {len(lost)} of {len(acknowledged)}, the first at {min(lost)}"
        )


def test_moves_under_load_lose_double_and_reorder_nothing(node: Server) -> None:
    topic = create_topic(node, PARTITIONS)
    load = Load(node, topic, acks="all", enable_idempotence=True)
    for number, path in enumerate("abab"):
        load.reach(10_000 * (number + 1))
        move(node, topic, path)
        await_places(node, topic, dict.fromkeys(range(PARTITIONS), path))
    load.reach(len(load.acknowledged) + 5_000)
    load.finish()
    assert not load.failed
    audit(node, topic, load)


def test_kills_while_replicas_move_leave_one_whole_log_of_each(node: Server) -> None:
    topic = create_topic(node, PARTITIONS)
    load = Load(node, topic, acks="all", enable_idempotence=True, message_timeout_ms=60_000)
    random = Random(7)
    for number in range(4):
        load.reach(8_000 * (number + 1))
        move(node, topic, "ab"[number % 2])
        time.sleep(random.random() / 5)  # how far the move comes before the kill
        node.kill()
        node.start()
    load.reach(36_000)
    load.finish()
    node.kill()
    node.start()
    until(lambda: len(places(node, topic)) == PARTITIONS, 30, lambda: str(places(node, topic)))
    audit(node, topic, load)
    for index in range(PARTITIONS):
        homes = [path for path in "ab" if (node.folder / path / f"{topic}-{index}").exists()]
        assert len(homes) == 1, homes


@pytest.mark.clients
@pytest.mark.timeout(1200)  # the jars may have to be fetched first
def test_kafkas_tool_moves_a_replica(node: Server) -> None:
    topic = create_topic(node, 1)
    confluent.send(node, topic, [b"1", b"2"])
    here = places(node, topic)[0]
    there = "b" if here == "a" else "a"
    plan = node.folder / "plan.json"
    wanted = {"topic": topic, "partition": 0, "replicas": [1], "log_dirs": [f"{node.folder}/{there}"]}
    plan.write_text(json.dumps({"version": 1, "partitions": [wanted]}))
    arguments = ["--bootstrap-server", node.bootstrap, "--reassignment-json-file", str(plan)]
    assert "Successfully started moving log directory" in kafka_tool(_TOOL, *arguments, "--execute")
    await_places(node, topic, {0: there})
    verified = kafka_tool(_TOOL, *arguments, "--verify")
    assert f"Reassignment of replica {topic}-0-1 completed successfully" in verified
    assert confluent.send(node, topic, [b"3"]) == [2]
