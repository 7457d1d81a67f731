from __future__ import annotations

from collections.abc import Iterable

import pytest
from tests.unit.node.app.data_path import World, batch
from tests.unit.node.kafka_api.handlers.wire_call import call

from odradek.node.app.log_dirs import DescribedDirectory, LogDirsService
from odradek.node.kafka_api.handlers.log_dirs import LogDirsHandlers
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.log_dirs import (
    AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
    DescribeLogDirsRequest,
    DescribeLogDirsResponse,
)

Directory = AlterReplicaLogDirsRequest.AlterReplicaLogDir
Topic = AlterReplicaLogDirsRequest.AlterReplicaLogDirTopic


class Service(LogDirsService):
    """Knows one directory with a log and the copy of another."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, int]] = []

    def move(self, path: str, topic: str, index: int) -> ErrorCode:
        self.asked.append((path, topic, index))
        return ErrorCode.NONE if path == "/e" else ErrorCode.LOG_DIR_NOT_FOUND

    def directories(self, asked: Iterable[tuple[str, int]] | None) -> list[DescribedDirectory]:
        return [
            DescribedDirectory(
                ErrorCode.NONE, "/d", 100, 60, [("t", 0, 11)], [("t", 1, 7, 3), ("u", 0, 0, 9)]
            )
        ]


@pytest.mark.parametrize("version", [1, 2])
def test_replicas_are_moved(version: int) -> None:
    service = Service()
    request = AlterReplicaLogDirsRequest(
        dirs=[
            Directory(path="/d", topics=[Topic(name="t", partitions=[0, 1])]),
            Directory(path="/e", topics=[Topic(name="t", partitions=[1]), Topic(name="u", partitions=[2])]),
        ]
    )
    handler = LogDirsHandlers(service).alter_replica_log_dirs
    response = call(handler, request, version, AlterReplicaLogDirsResponse)
    assert service.asked == [("/d", "t", 0), ("/e", "t", 1), ("/e", "u", 2)], "the last directory counts"
    assert {
        topic.topic_name: [(one.partition_index, one.error_code) for one in topic.partitions]
        for topic in response.results
    } == {"t": [(0, ErrorCode.LOG_DIR_NOT_FOUND), (1, 0)], "u": [(2, 0)]}


@pytest.mark.parametrize("version", range(1, 6))
def test_copies_are_future_replicas_of_their_directory(version: int) -> None:
    response = call(
        LogDirsHandlers(Service()).describe_log_dirs,
        DescribeLogDirsRequest(topics=None),
        version,
        DescribeLogDirsResponse,
    )
    (directory,) = response.results
    assert (directory.error_code, directory.log_dir, directory.is_cordoned) == (0, "/d", False)
    assert (directory.total_bytes, directory.usable_bytes) == ((100, 60) if version >= 4 else (-1, -1))
    assert [
        (topic.name, one.partition_index, one.partition_size, one.offset_lag, one.is_future_key)
        for topic in directory.topics
        for one in topic.partitions
    ] == [("t", 0, 11, 0, False), ("t", 1, 7, 3, True), ("u", 0, 0, 9, True)]


@pytest.mark.parametrize("version", range(1, 6))
def test_what_is_in_a_directory(version: int) -> None:
    world = World()
    world.produce(("t", 0, batch(3)))
    world.flush()
    service = LogDirsService(world.replicas, world.dirs, lambda: 0, lambda: "", lambda: 1)

    def describe(request: DescribeLogDirsRequest) -> DescribeLogDirsResponse:
        handler = LogDirsHandlers(service).describe_log_dirs
        return call(handler, request, version, DescribeLogDirsResponse)

    (directory,) = describe(DescribeLogDirsRequest(topics=None)).results
    assert directory.error_code == 0 and directory.log_dir.endswith("/d")
    sizes = {(t.name, p.partition_index): p.partition_size for t in directory.topics for p in t.partitions}
    assert sizes["t", 0] == world.partition().log.size_bytes > 0
    topic = DescribeLogDirsRequest.DescribableLogDirTopic(topic="t", partitions=[1])
    some = describe(DescribeLogDirsRequest(topics=[topic]))
    assert all((t.name, p.partition_index) == ("t", 1) for t in some.results[0].topics for p in t.partitions)
