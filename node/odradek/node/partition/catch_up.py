"""What a leader's answer does to the log of a follower: append, truncate, start over. A shell around log and replica.

Records come with the leader's offsets and are appended as they are. Where the histories part, the log is cut back
(`truncation`); where the leader's log begins after this one ends, it starts over there. A cut below the high watermark
loses what was acknowledged: that happens only after an unclean election, and is said loudly.

Does not decide when to ask again (`follower`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import Enum

from odradek.node.partition.partition import Partition
from odradek.node.partition.replicas import Replicas
from odradek.node.partition.truncation import truncation_offset
from odradek.node.partition.waiters import STARTED
from odradek.proto.kafka.errors import ErrorCode
from odradek.storage.leader_epoch_cache import EpochEndOffset

log = logging.getLogger(__name__)


class Step(Enum):
    """What became of an answer."""

    MOVED = "moved"
    """The position is another: tell it as soon as the log is durable up to it."""
    STAYED = "stayed"
    RETRY = "retry"
    FAILED = "failed"
    """The log is offline: nothing of it can be followed any more."""


class CatchUp:
    """`clock` gives wall-clock ms."""

    def __init__(self, replicas: Replicas, clock: Callable[[], int]) -> None:
        self._replicas = replicas
        self._clock = clock

    def take(
        self,
        partition: Partition,
        records: bytes | bytearray | memoryview | None,
        high_watermark: int,
        log_start_offset: int,
    ) -> Step:
        """An answer without error, from the leader whose epoch the replica knows."""
        store = partition.log
        moved = False
        if records is not None and len(records):
            result = store.append_as_follower(records, self._clock())
            if result.error is not ErrorCode.NONE:
                log.error("%s: records of its leader were not appended: %s", partition, _reason(result))
                return self._failure(partition)
            moved = result.base_offset >= 0
            partition.appended_bytes += len(records)
            partition.traffic.replication_bytes_in += len(records)
        end = store.log_end_offset
        if log_start_offset > store.log_start_offset and log_start_offset <= end:
            if store.advance_log_start_offset(log_start_offset) is not ErrorCode.NONE:
                return self._failure(partition)
            partition.replica.on_started_at(log_start_offset)
            self._replicas.note_change(partition, STARTED)
            moved = True
        if partition.replica.on_replicated(end, high_watermark, durable=not store.durable_gating):
            self._replicas.advance(partition)
        return Step.MOVED if moved else Step.STAYED

    def mend(self, partition: Partition) -> None:
        """Bytes that have rotted on this disk go, and all that follows them; the leader has them.

        Not as long as this replica is in the ISR: others may count on it for what would be cut.
        """
        store, replica = partition.log, partition.replica
        if replica.node_id in replica.isr:
            return
        before = store.log_end_offset
        if store.mend():
            end = store.log_end_offset
            log.warning("%s: damaged on disk at offset %d; fetched again up to %d", partition, end, before)
            replica.on_truncated(end)
            store.high_watermark = replica.high_watermark

    def truncate(self, partition: Partition, diverging: EpochEndOffset) -> Step:
        """The leader's last epoch that both may share ends so."""
        own = partition.log.end_offset_for_epoch(diverging.epoch)
        end = partition.log.log_end_offset
        return self.truncate_to(partition, truncation_offset(diverging, own, end))

    def truncate_to(self, partition: Partition, offset: int) -> Step:
        """Drop everything from `offset` on."""
        store = partition.log
        before = store.log_end_offset
        if store.truncate_to(offset) is not ErrorCode.NONE:
            return self._failure(partition)
        self._after_truncation(partition, before)
        return Step.MOVED

    def start_at(self, partition: Partition, offset: int) -> Step:
        """The leader has nothing before `offset`, and this log ends before it."""
        store = partition.log
        before = store.log_end_offset
        if store.truncate_fully_to(offset) is not ErrorCode.NONE:
            return self._failure(partition)
        log.warning("%s: starts over at offset %d, where its leader's log begins", partition, offset)
        replica = partition.replica
        if store.log_end_offset < before:
            replica.on_truncated(store.log_end_offset)
        replica.on_started_at(store.log_start_offset)
        store.high_watermark = replica.high_watermark
        self._replicas.note_change(partition, STARTED)
        return Step.MOVED

    def _after_truncation(self, partition: Partition, before: int) -> None:
        replica = partition.replica
        high_watermark = replica.high_watermark
        end = partition.log.log_end_offset
        if replica.on_truncated(end):
            log.error(
                "%s: truncated from %d to %d, below its high watermark %d: acknowledged records are lost",
                partition,
                before,
                end,
                high_watermark,
            )
        else:
            log.info("%s: truncated from %d to %d", partition, before, end)
        partition.log.high_watermark = replica.high_watermark

    @staticmethod
    def _failure(partition: Partition) -> Step:
        """A full disk and a bad batch are tried again; a log that is offline stays so."""
        return Step.FAILED if partition.log.is_offline else Step.RETRY


def _reason(result: object) -> str:
    error = getattr(result, "error", None)
    message = getattr(result, "error_message", None)
    return f"{getattr(error, 'name', error)}{': ' + message if message else ''}"
