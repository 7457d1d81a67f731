"""ListOffsets and OffsetForLeaderEpoch: where in a partition's log is a time, an end, or an epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from odradek.node.app.fetch import READ_COMMITTED
from odradek.node.partition.replicas import Partition, Replicas
from odradek.proto.kafka.errors import ErrorCode

LATEST: Final = -1
EARLIEST: Final = -2
MAX_TIMESTAMP: Final = -3
EARLIEST_LOCAL: Final = -4
LATEST_TIERED: Final = -5
EARLIEST_PENDING_UPLOAD: Final = -6


@dataclass(frozen=True, slots=True)
class ListedOffset:
    """`timestamp` in ms and `offset` are -1 where nothing matches; `leader_epoch` is -1 where it is not known."""

    error: ErrorCode
    timestamp: int = -1
    offset: int = -1
    leader_epoch: int = -1


class ListOffsetsService:
    def __init__(self, replicas: Replicas) -> None:
        self._replicas = replicas

    def list_offset(
        self,
        topic: str,
        index: int,
        timestamp: int,
        current_leader_epoch: int,
        isolation_level: int,
        *,
        is_replica: bool = False,
    ) -> ListedOffset:
        """`timestamp` in ms (first record at or after it), or one of the special values above.

        A replica sees the log to its end. A consumer is told OFFSET_NOT_AVAILABLE while a new leader does not know
        yet how much of what it found is committed: an earlier leader may have told more.
        """
        partition = self._replicas.find(topic, index)
        if isinstance(partition, ErrorCode):
            return ListedOffset(partition)
        error = partition.replica.check_leader_epoch(current_leader_epoch)
        if partition.log.is_offline:
            error = ErrorCode.KAFKA_STORAGE_ERROR
        if error is not ErrorCode.NONE:
            return ListedOffset(error)
        if is_replica and timestamp == LATEST:
            end = partition.log.log_end_offset
            return ListedOffset(ErrorCode.NONE, -1, end, partition.replica.leader_epoch)
        found = _look_up(partition, timestamp, isolation_level)
        is_unsure = partition.replica.high_watermark < partition.replica.epoch_start_offset
        if is_unsure and (timestamp == LATEST or (timestamp >= 0 and found.offset < 0)):
            return ListedOffset(ErrorCode.OFFSET_NOT_AVAILABLE)
        return found

    def end_of_epoch(
        self, topic: str, index: int, leader_epoch: int, current_leader_epoch: int
    ) -> tuple[ErrorCode, int, int]:
        """`(error, epoch, end offset)` of the largest epoch not above `leader_epoch`; -1, -1 when unknown."""
        partition = self._replicas.find(topic, index)
        if isinstance(partition, ErrorCode):
            return partition, -1, -1
        error = partition.replica.check_leader_epoch(current_leader_epoch)
        if error is not ErrorCode.NONE:
            return error, -1, -1
        if partition.log.is_offline:
            return ErrorCode.KAFKA_STORAGE_ERROR, -1, -1
        epoch, end_offset = partition.end_of_epoch(leader_epoch)
        return ErrorCode.NONE, epoch, end_offset


def _look_up(partition: Partition, timestamp: int, isolation_level: int) -> ListedOffset:
    log = partition.log
    high_watermark = partition.replica.high_watermark
    end = partition.last_stable_offset if isolation_level == READ_COMMITTED else high_watermark
    if timestamp == LATEST:
        return ListedOffset(ErrorCode.NONE, -1, end, partition.replica.leader_epoch)
    if timestamp in (EARLIEST, EARLIEST_LOCAL):
        start = log.log_start_offset
        epoch = partition.replica.leader_epoch if start == log.log_end_offset else log.epoch_at(start)
        return ListedOffset(ErrorCode.NONE, -1, start, epoch)
    if timestamp in (LATEST_TIERED, EARLIEST_PENDING_UPLOAD):
        return ListedOffset(ErrorCode.NONE)
    found = log.max_timestamp_offset() if timestamp == MAX_TIMESTAMP else log.offset_for_timestamp(timestamp)
    if isinstance(found, ErrorCode):
        return ListedOffset(found)
    if found is None or (timestamp != MAX_TIMESTAMP and found.offset >= end):
        return ListedOffset(ErrorCode.NONE)
    return ListedOffset(ErrorCode.NONE, found.timestamp, found.offset, found.leader_epoch)
