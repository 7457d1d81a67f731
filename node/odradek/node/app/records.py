"""What an administrator does to, or asks about, the records themselves: delete them, and who writes them."""

from __future__ import annotations

from odradek.node.partition.replicas import Partition, Replicas
from odradek.node.runtime.deferred import Deferred
from odradek.proto.kafka.errors import ErrorCode
from odradek.storage.producer_state import ActiveProducer

HIGH_WATERMARK = -1

Deletion = tuple[ErrorCode, int]
"""`(error, low watermark)`: the smallest log start offset of all live replicas, -1 with an error."""


class PendingDeletion:
    """Waits until no live replica has the records any more."""

    __slots__ = ("_replicas", "deferred")

    def __init__(self, replicas: Replicas) -> None:
        self._replicas = replicas
        self.deferred: Deferred[Deletion] = Deferred()

    def on_passed(self, partition: Partition) -> None:
        self.deferred.resolve((ErrorCode.NONE, self._replicas.low_watermark(partition)))

    def on_failed(self, partition: Partition, error: ErrorCode) -> None:
        self.deferred.resolve((error, -1))


class RecordsService:
    def __init__(self, replicas: Replicas) -> None:
        self._replicas = replicas

    def delete_records(self, topic: str, index: int, offset: int) -> Deferred[Deletion]:
        """Drop the records below `offset` (-1: below the high watermark), on all live replicas.

        There may be no answer for long: a caller that gives up abandons it.
        """
        done = self._delete(topic, index, offset)
        if isinstance(done, Partition):
            waiting = PendingDeletion(self._replicas)
            done.start_waiters.add(done.log.log_start_offset, waiting)
            return waiting.deferred
        return Deferred.resolved(done)

    def _delete(self, topic: str, index: int, offset: int) -> Deletion | Partition:
        """The outcome, or the partition whose followers are still to follow."""
        partition = self._replicas.find(topic, index)
        if isinstance(partition, ErrorCode):
            return partition, -1
        if partition.log.is_offline:
            return ErrorCode.KAFKA_STORAGE_ERROR, -1
        if "delete" not in partition.log.config.cleanup_policy:
            return ErrorCode.POLICY_VIOLATION, -1
        high_watermark = partition.replica.high_watermark
        target = high_watermark if offset == HIGH_WATERMARK else offset
        if not 0 <= target <= high_watermark:
            return ErrorCode.OFFSET_OUT_OF_RANGE, -1
        error = self._replicas.delete_before(partition, target)
        if error is not ErrorCode.NONE:
            return error, -1
        low_watermark = self._replicas.low_watermark(partition)
        return (ErrorCode.NONE, low_watermark) if low_watermark >= target else partition

    def producers(self, topic: str, index: int) -> ErrorCode | list[ActiveProducer]:
        partition = self._replicas.find(topic, index)
        return partition.log.active_producers() if isinstance(partition, Partition) else partition
