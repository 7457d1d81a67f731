"""Fetch: read what there is for the asker, or wait until there is enough.

A request that finds fewer than `min_bytes` is parked; one wake-up a turn reads again and answers. A request with a
session looks only at the partitions of it that may have something to tell, which the session's watch keeps up to
date; one without is parked with a watch of its own. KIP-74: the first partition with records answers with a whole
batch even above the limits, so a consumer always makes progress.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final

from odradek.node.app.context import RequestContext
from odradek.node.app.fetch_command import (
    READ_COMMITTED,
    READ_UNCOMMITTED,
    Buffer,
    FetchCommand,
    FetchedPartition,
    FetchResult,
    no_aborted_transactions,
)
from odradek.node.app.fetch_reader import FetchReader
from odradek.node.app.fetch_watch import PendingFetch, SessionWatch
from odradek.node.partition.fetch_session import FetchPartition, FetchPlan, FetchSession, FetchSessions
from odradek.node.partition.replicas import Partition, Replicas
from odradek.node.partition.replication import Replication
from odradek.node.runtime.alarm import Alarm
from odradek.node.runtime.deadlines import Deadlines
from odradek.node.runtime.deferred import Deferred
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.record_batch import iter_headers

__all__ = [
    "READ_COMMITTED",
    "READ_UNCOMMITTED",
    "Buffer",
    "FetchCommand",
    "FetchResult",
    "FetchService",
    "FetchedPartition",
    "no_aborted_transactions",
]

_UNKNOWN = frozenset((ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ErrorCode.UNKNOWN_TOPIC_ID))

EXPECTED_FOR_MS: Final = 1_000
EXPECTED_WAIT_MS: Final = 20
"""How long a follower is kept waiting while it is expected to ask for partitions that it does not ask for yet."""

_Look = tuple[list[FetchedPartition], int, bool]


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
        self.reader = FetchReader(replicas, resolve_topic)
        self.tells_high_watermark_at_once = False
        """Whether a follower hears of a new high watermark without waiting for records: consumers read there."""
        self._watchers = replicas.watchers
        self._sessions = sessions
        self._bytes_max = bytes_max
        self._deadlines: Deadlines[PendingFetch] = Deadlines()
        self._alarm = new_alarm(self._on_due)
        self._watches: dict[FetchSession, SessionWatch] = {}
        self._expected_until_ms: dict[int, int] = {}
        self._parked_followers: dict[int, dict[PendingFetch, None]] = {}
        sessions.on_removed = self._on_session_removed

    def serve(self, replication: Replication) -> None:
        """Other nodes fetch from here from now on, to replicate what this node leads."""
        self.reader.followers = replication.in_sync
        self.reader.throttle = replication.throttle
        if replication.is_rack_aware:
            self.reader.preferred_replica = replication.preferred_replica
            self.tells_high_watermark_at_once = True
        replication.assignments.on_expected = self.expect

    def fetch(self, context: RequestContext, command: FetchCommand) -> Deferred[FetchResult]:
        now_ms = self._alarm.monotonic_ms()
        plan = self._sessions.resolve(
            command.session_id,
            command.session_epoch,
            command.partitions,
            command.forgotten,
            command.uses_topic_ids,
            now_ms,
            is_replica=command.replica_id >= 0,
        )
        if plan.error is not ErrorCode.NONE:
            return Deferred.resolved(FetchResult(plan.error, 0))
        watch = None if plan.session is None else self._watch_of(plan.session, plan.dropped)
        fetched, size, must_answer = self._look(command, plan, watch)
        wait_ms = self._wait_ms(command, now_ms)
        is_empty = plan.session is None and not plan.partitions
        if must_answer or size >= command.min_bytes or wait_ms <= 0 or is_empty:
            return Deferred.resolved(self._answer(command, plan, fetched))
        pending = PendingFetch(self, command, plan, watch, self.tells_high_watermark_at_once)
        pending.found_bytes = size
        if watch is not None:
            watch.parked = pending
        else:
            self._watch_alone(pending)
        if command.replica_id >= 0:
            self._parked_followers.setdefault(command.replica_id, {})[pending] = None
        deadline_ms = now_ms + wait_ms
        self._deadlines.add(pending, deadline_ms)
        self._alarm.announce(deadline_ms)
        return pending.deferred

    def expect(self, follower_ids: Collection[int]) -> None:
        """Followers will want to ask for other partitions than before: let go of those that wait here.

        Their image may come later than this node's, so for a while they do not wait long.
        """
        until_ms = self._alarm.monotonic_ms() + EXPECTED_FOR_MS
        for follower_id in follower_ids:
            self._expected_until_ms[follower_id] = until_ms
            for pending in list(self._parked_followers.get(follower_id, ())):
                self._finish(pending, self._look(pending.command, pending.plan, pending.watch)[0])

    def _wait_ms(self, command: FetchCommand, now_ms: int) -> int:
        if command.replica_id >= 0 and self._expected_until_ms:
            until_ms = self._expected_until_ms.get(command.replica_id, 0)
            if now_ms < until_ms:
                return min(command.max_wait_ms, EXPECTED_WAIT_MS)
            self._expected_until_ms.pop(command.replica_id, None)
        return command.max_wait_ms

    # -- waiting

    def _watch_of(self, session: FetchSession, dropped: Sequence[FetchPartition]) -> SessionWatch:
        watch = self._watches.get(session)
        if watch is None:
            watch = self._watches[session] = SessionWatch(session, self._watchers)
        for partition in dropped:
            watch.drop(partition)
        if watch.parked is not None:  # its client asks again without waiting for the answer
            self._finish(watch.parked, [])
        return watch

    def _watch_alone(self, pending: PendingFetch) -> None:
        found = [asked.readable for asked in pending.plan.partitions]
        self._watchers.add(pending, [one for one in found if isinstance(one, Partition)])

    def retry(self, pending: PendingFetch) -> None:
        """Something a parked fetch watches has changed: answer if that is enough.

        Nothing is read while what became readable since the last look cannot be enough: a fetch that waits for many
        bytes would read them again and again.
        """
        min_bytes = pending.command.min_bytes
        may_wait = not pending.is_broken and not pending.must_tell and min_bytes > 1
        if may_wait and pending.found_bytes + pending.added_bytes() < min_bytes:
            return
        fetched, size, must_answer = self._look(pending.command, pending.plan, pending.watch)
        if must_answer or pending.must_tell or size >= min_bytes:
            self._finish(pending, fetched)
            return
        pending.found_bytes = size
        if pending.is_broken and pending.watch is None:  # a topic was made again: watch what has its name now
            self._watchers.discard(pending)
            self._watch_alone(pending)
        pending.is_broken = False

    def forget(self, pending: PendingFetch) -> None:
        if pending.watch is not None:
            pending.watch.parked = None
        else:
            self._watchers.discard(pending)
        self._deadlines.discard(pending)
        parked = self._parked_followers.get(pending.command.replica_id)
        if parked is not None:
            parked.pop(pending, None)

    def _finish(self, pending: PendingFetch, fetched: list[FetchedPartition]) -> None:
        self.forget(pending)
        pending.deferred.resolve(self._answer(pending.command, pending.plan, fetched))

    def _on_due(self, now_ms: int) -> int | None:
        for pending in self._deadlines.pop_due(now_ms):
            fetched, _, _ = self._look(pending.command, pending.plan, pending.watch)
            self._finish(pending, fetched)
        return self._deadlines.next_deadline_ms()

    def _on_session_removed(self, session: FetchSession) -> None:
        watch = self._watches.pop(session, None)
        if watch is not None:
            watch.close()

    # -- reading

    def _look(self, command: FetchCommand, plan: FetchPlan, watch: SessionWatch | None) -> _Look:
        """What every partition has, the bytes in all, and whether something (an error) must be told at once."""
        session = plan.session
        partitions: Sequence[FetchPartition] = plan.partitions
        if session is not None:
            partitions = list(session.dirty) if plan.incremental else list(session.partitions.values())
        remaining = min(command.max_bytes, self._bytes_max)
        size = 0
        must_answer = False
        unknown = 0
        fetched: list[FetchedPartition] = []
        for asked in partitions:
            if size and remaining <= 0 and plan.incremental:
                break  # the rest stays dirty, and comes first in the next answer
            answer = self.reader.read(command, asked, remaining, first=size == 0)
            if watch is not None:
                watch.track(asked)
                if plan.incremental and answer.says_nothing_new:
                    watch.session.dirty.pop(asked, None)
                    continue
            fetched.append(answer)
            if answer.error in _UNKNOWN:
                unknown += 1
            elif (
                answer.error is not ErrorCode.NONE
                or answer.diverging is not None
                or answer.preferred_read_replica >= 0
                # A follower that is new to a partition hears at once where its leader stands.
                or (command.replica_id >= 0 and asked.sent_high_watermark < 0)
            ):
                must_answer = True
            length = len(answer.records)
            size += length
            remaining -= length
        # Why not at once for one unknown topic among others: its client would ask again and again.
        if unknown == (len(partitions) if session is None else len(session.partitions)):
            must_answer = True
        if not must_answer and 0 < size < command.min_bytes:
            must_answer = any(_is_cut_short(answer) for answer in fetched)
        return fetched, size, must_answer

    @staticmethod
    def _answer(command: FetchCommand, plan: FetchPlan, fetched: list[FetchedPartition]) -> FetchResult:
        session = plan.session
        for answer in fetched:
            if answer.traffic is not None:
                if command.replica_id < 0:
                    answer.traffic.bytes_out += len(answer.records)
                else:
                    answer.traffic.replication_bytes_out += len(answer.records)
        if session is None:
            return FetchResult(ErrorCode.NONE, plan.session_id, fetched)
        told: list[FetchedPartition] = []
        for answer in fetched:
            is_quiet = answer.is_quiet
            changed = answer.asked.note_answer(
                answer.error,
                answer.high_watermark,
                answer.last_stable_offset,
                answer.log_start_offset,
                not is_quiet and not answer.is_held_back,
            )
            if changed or not plan.incremental:
                told.append(answer)
            if is_quiet:
                session.dirty.pop(answer.asked, None)
        return FetchResult(ErrorCode.NONE, plan.session_id, told)


def _is_cut_short(answer: FetchedPartition) -> bool:
    """A read ends at the end of its segment: then more is there already, and waiting for it would be in vain."""
    if not answer.records:
        return False
    *_, (_, last) = iter_headers(answer.records)
    return last.last_offset + 1 < answer.end_offset
