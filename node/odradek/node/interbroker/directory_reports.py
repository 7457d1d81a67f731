"""Telling the controller in which log directory a replica of this node is now (AssignReplicasToDirs, KIP-858).

Decides when a report is repeated: until the controller has taken it, or says that there is no such replica. Of several
for one replica the last counts. The controller needs it to know what a lost directory takes with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final, Protocol, TypeVar

from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.log_dirs import AssignReplicasToDirsRequest, AssignReplicasToDirsResponse
from odradek.proto.kafka.schema import Message

M = TypeVar("M", bound=Message)
Replica = tuple[bytes, int]
"""(topic id, partition)."""

REPORTS_MAX: Final = 2_000
"""Replicas in one request, as in Kafka."""
RETRY_MS_MIN: Final = 50
RETRY_MS_MAX: Final = 5_000
_TIMEOUT_MS: Final = 2_000

log = logging.getLogger(__name__)


class Channel(Protocol):
    """`ControllerChannel`."""

    async def request(self, message: Message, version: int, answer: type[M], timeout_ms: int) -> M: ...


class DirectoryReports:
    def __init__(self, broker_id: int, broker_epoch: Callable[[], int], channel: Channel) -> None:
        self._broker_id = broker_id
        self._broker_epoch = broker_epoch
        self._channel = channel
        self._waiting: dict[Replica, bytes] = {}
        self._work: asyncio.Task[None] | None = None

    def report(self, topic_id: bytes, partition: int, directory_id: bytes) -> None:
        self._waiting.pop((topic_id, partition), None)
        self._waiting[topic_id, partition] = directory_id
        if self._work is None or self._work.done():
            self._work = asyncio.get_running_loop().create_task(self._send())

    def stop(self) -> None:
        if self._work is not None:
            self._work.cancel()

    async def _send(self) -> None:
        pause_ms = RETRY_MS_MIN
        while self._waiting:
            batch = dict(list(self._waiting.items())[:REPORTS_MAX])
            error = await self._ask(batch)
            if error is ErrorCode.NONE:
                for replica, directory_id in batch.items():
                    if self._waiting.get(replica) == directory_id:  # not moved on meanwhile
                        del self._waiting[replica]
                pause_ms = RETRY_MS_MIN
                continue
            log.debug(
                "the controller does not know the directories of %d replicas: %s", len(batch), error.name
            )
            await asyncio.sleep(pause_ms / 1000)
            pause_ms = min(2 * pause_ms, RETRY_MS_MAX)

    async def _ask(self, batch: Mapping[Replica, bytes]) -> ErrorCode:
        """One attempt; errors of single replicas are the controller's last word on them."""
        request = _request(self._broker_id, self._broker_epoch(), batch)
        try:
            answer = await self._channel.request(request, 0, AssignReplicasToDirsResponse, _TIMEOUT_MS)
        except (ConnectionError, TimeoutError):
            return ErrorCode.REQUEST_TIMED_OUT
        return ErrorCode(answer.error_code)


def _request(
    broker_id: int, broker_epoch: int, batch: Mapping[Replica, bytes]
) -> AssignReplicasToDirsRequest:
    asked = AssignReplicasToDirsRequest
    by_directory: dict[bytes, dict[bytes, list[int]]] = {}
    for (topic_id, partition), directory_id in batch.items():
        by_directory.setdefault(directory_id, {}).setdefault(topic_id, []).append(partition)
    return asked(
        broker_id=broker_id,
        broker_epoch=broker_epoch,
        directories=[
            asked.DirectoryData(
                id=directory_id,
                topics=[
                    asked.TopicData(
                        topic_id=topic_id,
                        partitions=[asked.PartitionData(partition_index=index) for index in partitions],
                    )
                    for topic_id, partitions in topics.items()
                ],
            )
            for directory_id, topics in by_directory.items()
        ],
    )
