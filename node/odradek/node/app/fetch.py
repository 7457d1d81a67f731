"""Fetch: read what is below the high watermark (or the last stable offset), or wait until there is enough.

A request that finds fewer than `min_bytes` is parked once, watching its partitions; one wake-up reads again and
answers. Reads are synchronous page-cache reads on the loop. KIP-74: the first partition with records answers with a
whole batch even above the limits, so a consumer always makes progress.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from odradek.node.app.context import RequestContext
from odradek.node.partition.fetch_session import FetchPartition, FetchPlan, FetchSessions, Key
from odradek.node.partition.replicas import Partition, Replicas
from odradek.node.runtime.alarm import Alarm
from odradek.node.runtime.deadlines import Deadlines
from odradek.node.runtime.deferred import Deferred
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.record_batch import iter_headers

Buffer = bytes | bytearray | memoryview

READ_UNCOMMITTED = 0
READ_COMMITTED = 1

_UNKNOWN = frozenset((ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ErrorCode.UNKNOWN_TOPIC_ID))


class FetchCommand(NamedTuple):
    """One fetch. `max_wait_ms`, `min_bytes`, `max_bytes` as in the protocol; `replica_id` -1 is a consumer."""

    replica_id: int
    max_wait_ms: int
    min_bytes: int
    max_bytes: int
    isolation_level: int
    session_id: int
    session_epoch: int
    partitions: list[tuple[Key, FetchPartition]]
    forgotten: Iterable[Key] = ()
    uses_topic_ids: bool = False


class FetchedPartition:
    """What one partition answers. Offsets are -1 where there is an error."""

    __slots__ = (
        "asked",
        "diverging",
        "error",
        "high_watermark",
        "last_stable_offset",
        "log_start_offset",
        "records",
    )

    def __init__(self, asked: FetchPartition, error: ErrorCode) -> None:
        self.asked = asked
        self.error = error
        self.diverging: tuple[int, int] | None = None
        """Epoch and end offset to truncate to, where the asker's last epoch ends earlier here (KIP-595)."""
        self.high_watermark = -1
        self.last_stable_offset = -1
        self.log_start_offset = -1
        self.records: Buffer = b""


class FetchResult(NamedTuple):
    """`partitions` holds what the answer must mention (all of them unless the session is incremental)."""

    error: ErrorCode
    session_id: int
    partitions: Sequence[FetchedPartition] = ()


class PendingFetch:
    """A parked fetch."""

    __slots__ = ("_service", "command", "deferred", "found_bytes", "plan", "seen_bytes", "watched")

    def __init__(self, service: FetchService, command: FetchCommand, plan: FetchPlan) -> None:
        self._service = service
        self.command = command
        self.plan = plan
        self.watched: list[Partition] = []
        # At the last look: bytes found, and bytes that had ever become visible in the watched partitions.
        self.found_bytes = 0
        self.seen_bytes = 0
        self.deferred: Deferred[FetchResult] = Deferred(on_abandon=self._abandon)

    def on_advance(self, *, broken: bool) -> None:
        self._service.retry(self, broken=broken)

    def _abandon(self) -> None:
        self._service.forget(self)


class FetchService:
    """`bytes_max` bounds every answer (`fetch.max.bytes`); `resolve_topic` turns a topic id into its name."""

    def __init__(
        self,
        replicas: Replicas,
        sessions: FetchSessions,
        resolve_topic: Callable[[bytes], str | None],
        bytes_max: int,
        new_alarm: Callable[[Callable[[int], int | None]], Alarm],
    ) -> None:
        self._replicas = replicas
        self._sessions = sessions
        self._resolve_topic = resolve_topic
        self._bytes_max = bytes_max
        self._deadlines: Deadlines[PendingFetch] = Deadlines()
        self._alarm = new_alarm(self._on_due)

    def fetch(self, context: RequestContext, command: FetchCommand) -> Deferred[FetchResult]:
        now_ms = self._alarm.monotonic_ms()
        plan = self._sessions.resolve(
            command.session_id,
            command.session_epoch,
            command.partitions,
            command.forgotten,
            command.uses_topic_ids,
            now_ms,
        )
        if plan.error is not ErrorCode.NONE:
            return Deferred.resolved(FetchResult(plan.error, 0))
        fetched, size, must_answer = self._read(command, plan.partitions)
        if must_answer or size >= command.min_bytes or command.max_wait_ms <= 0 or not plan.partitions:
            return Deferred.resolved(self._answer(plan, fetched))
        pending = PendingFetch(self, command, plan)
        self._watch(pending, size)
        deadline_ms = now_ms + command.max_wait_ms
        self._deadlines.add(pending, deadline_ms)
        self._alarm.announce(deadline_ms)
        return pending.deferred

    def _watch(self, pending: PendingFetch, size: int) -> None:
        found = [self._replicas.find(asked.topic, asked.index) for asked in pending.plan.partitions]
        pending.watched = [partition for partition in found if isinstance(partition, Partition)]
        self._replicas.watchers.add(pending, pending.watched)
        self._note(pending, size)

    def _note(self, pending: PendingFetch, size: int) -> None:
        pending.found_bytes = size
        pending.seen_bytes = sum(partition.visible_bytes for partition in pending.watched)

    def retry(self, pending: PendingFetch, *, broken: bool) -> None:
        """Something a parked fetch watches has changed: answer if that is enough.

        Nothing is read while what became visible since the last look cannot be enough: a fetch that waits for many
        bytes would read them again and again.
        """
        min_bytes = pending.command.min_bytes
        if not broken:
            added = sum(partition.visible_bytes for partition in pending.watched) - pending.seen_bytes
            if pending.found_bytes + added < min_bytes:
                return
        fetched, size, must_answer = self._read(pending.command, pending.plan.partitions)
        if must_answer or size >= min_bytes:
            self._finish(pending, fetched)
        elif broken:  # a topic was made again: watch what has its name now
            self._replicas.watchers.discard(pending)
            self._watch(pending, size)
        else:
            self._note(pending, size)

    def forget(self, pending: PendingFetch) -> None:
        self._replicas.watchers.discard(pending)
        self._deadlines.discard(pending)

    def _finish(self, pending: PendingFetch, fetched: list[FetchedPartition]) -> None:
        self.forget(pending)
        pending.deferred.resolve(self._answer(pending.plan, fetched))

    def _on_due(self, now_ms: int) -> int | None:
        for pending in self._deadlines.pop_due(now_ms):
            fetched, _, _ = self._read(pending.command, pending.plan.partitions)
            self._finish(pending, fetched)
        return self._deadlines.next_deadline_ms()

    # -- reading

    def _read(
        self, command: FetchCommand, partitions: Sequence[FetchPartition]
    ) -> tuple[list[FetchedPartition], int, bool]:
        """What every partition has, the bytes in all, and whether something (an error) must be told at once."""
        remaining = min(command.max_bytes, self._bytes_max)
        size = 0
        must_answer = False
        unknown = 0
        fetched: list[FetchedPartition] = []
        for asked in partitions:
            answer = self._read_partition(command, asked, remaining, first=size == 0)
            fetched.append(answer)
            if answer.error in _UNKNOWN:
                unknown += 1
            elif answer.diverging is not None or answer.error is not ErrorCode.NONE:
                must_answer = True
            length = len(answer.records)
            size += length
            remaining -= length
        # Why not at once for one unknown topic among others: its client would ask again and again.
        if unknown == len(fetched):
            must_answer = True
        if not must_answer and 0 < size < command.min_bytes:
            must_answer = any(_is_cut_short(answer, command.isolation_level) for answer in fetched)
        return fetched, size, must_answer

    def _read_partition(
        self, command: FetchCommand, asked: FetchPartition, remaining: int, *, first: bool
    ) -> FetchedPartition:
        if command.uses_topic_ids:
            # Resolved on every read: a deleted topic's id must stop meaning anything, a recreated name is another.
            name = self._resolve_topic(asked.topic_id)
            if name is None:
                return FetchedPartition(asked, ErrorCode.UNKNOWN_TOPIC_ID)
            asked.topic = name
        partition = self._replicas.find(asked.topic, asked.index)
        if isinstance(partition, ErrorCode):
            return FetchedPartition(asked, partition)
        replica = partition.replica
        error = replica.check_leader_epoch(asked.current_leader_epoch)
        if command.replica_id >= 0:
            error = ErrorCode.NOT_LEADER_OR_FOLLOWER  # nobody follows this replica (CVE-2018-1288)
        if error is not ErrorCode.NONE:
            return FetchedPartition(asked, error)
        log = partition.log
        if log.is_offline:
            return FetchedPartition(asked, ErrorCode.KAFKA_STORAGE_ERROR)
        offset = asked.fetch_offset
        if asked.last_fetched_epoch >= 0:
            epoch, end_offset = self._end_of_epoch(partition, asked.last_fetched_epoch)
            if end_offset < 0:
                return FetchedPartition(asked, ErrorCode.OFFSET_OUT_OF_RANGE)
            if epoch < asked.last_fetched_epoch or end_offset < offset:
                diverged = self._answered(asked, partition)
                diverged.diverging = (epoch, end_offset)
                return diverged
        if not log.log_start_offset <= offset <= log.log_end_offset:
            out_of_range = FetchedPartition(asked, ErrorCode.OFFSET_OUT_OF_RANGE)
            out_of_range.log_start_offset = log.log_start_offset
            return out_of_range
        answer = self._answered(asked, partition)
        end = (
            answer.last_stable_offset if command.isolation_level == READ_COMMITTED else answer.high_watermark
        )
        limit = min(asked.max_bytes, remaining)
        if offset < end and (limit > 0 or first):
            read = log.read(offset, max(limit, 0), end, min_one_batch=first)
            if isinstance(read, ErrorCode):
                return FetchedPartition(asked, read)
            answer.records = read
        return answer

    @staticmethod
    def _answered(asked: FetchPartition, partition: Partition) -> FetchedPartition:
        """The answer without records."""
        answer = FetchedPartition(asked, ErrorCode.NONE)
        answer.high_watermark = partition.replica.high_watermark
        answer.last_stable_offset = partition.last_stable_offset
        answer.log_start_offset = partition.log.log_start_offset
        return answer

    @staticmethod
    def _end_of_epoch(partition: Partition, epoch: int) -> tuple[int, int]:
        if epoch == partition.replica.leader_epoch:
            return epoch, partition.log.log_end_offset
        return partition.log.end_offset_for_epoch(epoch)

    def _answer(self, plan: FetchPlan, fetched: list[FetchedPartition]) -> FetchResult:
        session = plan.session
        if session is None:
            return FetchResult(ErrorCode.NONE, plan.session_id, fetched)
        told: list[FetchedPartition] = []
        served: list[FetchPartition] = []
        for answer in fetched:
            has_records = len(answer.records) > 0 or answer.diverging is not None
            changed = answer.asked.note_answer(
                answer.error,
                answer.high_watermark,
                answer.last_stable_offset,
                answer.log_start_offset,
                has_records,
            )
            if changed or not plan.incremental:
                told.append(answer)
            if has_records:
                served.append(answer.asked)
        self._sessions.rotate(session, served)
        return FetchResult(ErrorCode.NONE, plan.session_id, told)


def _is_cut_short(answer: FetchedPartition, isolation_level: int) -> bool:
    """A read ends at the end of its segment: then more is there already, and waiting for it would be in vain."""
    if not answer.records:
        return False
    end = answer.last_stable_offset if isolation_level == READ_COMMITTED else answer.high_watermark
    *_, (_, last) = iter_headers(answer.records)
    return last.last_offset + 1 < end


def no_aborted_transactions(isolation_level: int) -> list[Any] | None:
    """Null for read_uncommitted, a list for read_committed, as the protocol has it."""
    return [] if isolation_level == READ_COMMITTED else None
