"""AlterReplicaLogDirs, DescribeLogDirs.

Keys: 34, 35. Versions: 1-2, 1-5. Behaviour: a move of a replica is begun and answered at once; how far it is tells
DescribeLogDirs, where the copy is a future replica of its directory. Version notes: DescribeLogDirs 3 has a top-level
error, 4 the sizes of the file system, 5 cordoned directories. Not implemented: no directory is ever cordoned.
"""

from __future__ import annotations

from odradek.node.app.context import RequestContext
from odradek.node.app.log_dirs import DescribedDirectory, LogDirsService
from odradek.node.kafka_api.registry import Route
from odradek.proto.kafka.api import ApiKey
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.log_dirs import (
    AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
    DescribeLogDirsRequest,
    DescribeLogDirsResponse,
)

_Partition = DescribeLogDirsResponse.DescribeLogDirsPartition


class LogDirsHandlers:
    def __init__(self, service: LogDirsService) -> None:
        self._service = service

    def routes(self) -> list[Route]:
        return [
            Route(ApiKey.ALTER_REPLICA_LOG_DIRS, 1, 2, self.alter_replica_log_dirs),
            Route(ApiKey.DESCRIBE_LOG_DIRS, 1, 5, self.describe_log_dirs),
        ]

    def alter_replica_log_dirs(
        self, context: RequestContext, request: AlterReplicaLogDirsRequest, version: int
    ) -> AlterReplicaLogDirsResponse:
        wanted = {
            (topic.name, index): asked.path
            for asked in request.dirs
            for topic in asked.topics
            for index in topic.partitions
        }
        results: dict[str, list[tuple[int, ErrorCode]]] = {}
        for (topic_name, index), path in wanted.items():
            error = self._service.move(path, topic_name, index)
            results.setdefault(topic_name, []).append((index, error))
        result = AlterReplicaLogDirsResponse.AlterReplicaLogDirPartitionResult
        return AlterReplicaLogDirsResponse(
            results=[
                AlterReplicaLogDirsResponse.AlterReplicaLogDirTopicResult(
                    topic_name=topic_name,
                    partitions=[result(partition_index=index, error_code=error) for index, error in answers],
                )
                for topic_name, answers in results.items()
            ]
        )

    def describe_log_dirs(
        self, context: RequestContext, request: DescribeLogDirsRequest, version: int
    ) -> DescribeLogDirsResponse:
        asked = None
        if request.topics is not None:
            asked = [(topic.topic, index) for topic in request.topics for index in topic.partitions]
        return DescribeLogDirsResponse(
            results=[_directory(described) for described in self._service.directories(asked)]
        )


def _directory(described: DescribedDirectory) -> DescribeLogDirsResponse.DescribeLogDirsResult:
    by_topic: dict[str, list[_Partition]] = {}
    for topic, index, size in described.partitions:
        by_topic.setdefault(topic, []).append(_Partition(partition_index=index, partition_size=size))
    for topic, index, size, lag in described.futures:
        by_topic.setdefault(topic, []).append(
            _Partition(partition_index=index, partition_size=size, offset_lag=lag, is_future_key=True)
        )
    return DescribeLogDirsResponse.DescribeLogDirsResult(
        error_code=described.error,
        log_dir=described.path,
        topics=[
            DescribeLogDirsResponse.DescribeLogDirsTopic(name=topic, partitions=partitions)
            for topic, partitions in by_topic.items()
        ],
        total_bytes=described.total_bytes,
        usable_bytes=described.usable_bytes,
    )
