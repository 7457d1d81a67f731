"""One reader at work: from a subscription and a way back to records, until it ends.

Decides: when to fetch and from whom, what is delivered against credit, what a rebalance waits for, where to read in a
partition that has no position. Invariants: nothing is read from disk or from other nodes without credit, and what is
read and not covered by credit is dropped; each partition is delivered in order and without gaps from its position on;
a partition is delivered only while it is assigned.

`run` is the one place that writes to the reader; everything else notes what it wants and wakes it.

Source: Kafka's ConsumerCoordinator and Fetcher for the order of things in a rebalance.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence, Set
from typing import Any, Final, NamedTuple, TypeVar

from odradek.node.app.consume.commits import Commits, Identity, ToCommit
from odradek.node.app.consume.lanes import LANE_BYTES_MAX, Lanes
from odradek.node.app.consume.membership import Membership, matching
from odradek.node.app.consume.positions import Positions
from odradek.node.app.consume.progress import PartitionProgress, Progress
from odradek.node.app.consume.reading import Remainder, pieces, take
from odradek.node.app.consume.values import (
    UNKNOWN_POSITION,
    Assigned,
    Assignment,
    Committed,
    ConsumeError,
    Delivered,
    Event,
    Position,
    Reset,
    Revoking,
    Seeked,
    Sink,
    Subscription,
    TopicPartition,
)
from odradek.node.app.context import RequestContext
from odradek.node.app.coordinators import Coordinators
from odradek.node.app.fetch import FetchedPartition
from odradek.node.app.leaders import Leaders
from odradek.node.partition.fetch_session import FetchPartition
from odradek.proto.kafka.errors import ErrorCode

MESSAGE_BYTES_MAX: Final = 1024 * 1024
"""Of records in one delivery, unless one record is larger; well below what clients of gRPC take."""
REVOKE_WAIT_MS_MAX: Final = 5_000
RETRY_PAUSE_S: Final = 0.1
CREDIT_MAX: Final = 1 << 31
REMAINDER_S: Final = 1.0
"""How long the decoded rest of a batch waits for credit: a reader that stops holds nothing."""
_NO_TOPIC_ID: Final = bytes(16)


T = TypeVar("T")


class Surroundings(NamedTuple):
    """What all readers of a node share. `topic_names`: all there are."""

    leaders: Leaders
    coordinators: Coordinators
    topic_names: Callable[[], Sequence[str]]
    partition_count: Callable[[str], int]


class Consumer:
    def __init__(
        self, context: RequestContext, what: Subscription | Assignment, around: Surroundings, sink: Sink
    ) -> None:
        self._what = what
        self._around = around
        self._sink = sink
        self._loop = asyncio.get_running_loop()
        self._progress = Progress()
        self._credit = 0
        self._outbox: deque[Event] = deque()
        self._seeks: deque[tuple[TopicPartition, Position, int]] = deque()
        self._awake: asyncio.Future[None] | None = None
        self._is_awake = False
        self._is_ending = False
        self._is_stale = isinstance(what, Subscription) and not what.group_id
        self._failure: ConsumeError | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._remainder = Remainder()
        self._dropping: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._lanes = Lanes(context, around.leaders, what.isolation_level, self.wake)
        self._positions = Positions(around.leaders, around.coordinators, what)
        self.membership: Membership | None = None
        if isinstance(what, Subscription) and what.group_id:
            self.membership = Membership(
                context, around.coordinators, what, self._topics, around.partition_count, self.wake
            )
        self._commits = Commits(
            around.coordinators, what.group_id, self._identity, self._progress, what.commit_interval_ms
        )

    @property
    def has_group(self) -> bool:
        return bool(self._what.group_id)

    @property
    def may_come_back(self) -> bool:
        """It has a name of its own in its group, under which it may open another stream."""
        return isinstance(self._what, Subscription) and self._what.instance_id is not None

    @property
    def backlog(self) -> int:
        """Requests that are not dealt with, and answers that the reader has not taken."""
        return len(self._seeks) + len(self._outbox) + len(self._tasks)

    # -- what the reader asks for

    def grant(self, credit: int) -> None:
        self._credit = min(self._credit + credit, CREDIT_MAX)
        self.wake()

    def acknowledge(self, topic: str, partition: int, offset: int) -> None:
        if self._progress.acknowledge((topic, partition), offset):
            self._commits.commit_later()
            if self.membership is not None and self.membership.must_rejoin:
                self.wake()

    def commit(self, offsets: ToCommit, request_id: int) -> None:
        if offsets:
            self._progress.tells_what_is_done = True
        self._spawn(self._commit(offsets, request_id))

    def seek(self, topic: str, partition: int, position: Position, request_id: int) -> None:
        self._seeks.append(((topic, partition), position, request_id))
        self.wake()

    def pause(self, partitions: Sequence[TopicPartition], *, is_paused: bool) -> None:
        for key in partitions:
            progress = self._progress.get(key)
            if progress is not None:
                progress.is_paused = is_paused
        self._lanes.cancel()
        self.wake()

    def end(self) -> None:
        """The reader has nothing more to say: commit, leave, return."""
        self._is_ending = True
        self.wake()

    def fail(self, failure: ConsumeError) -> None:
        """End with an error."""
        self._failure = self._failure or failure
        self.wake()

    def is_about(self, changed: Set[str]) -> bool:
        """Whether topics of these names may matter to it: a failover changes thousands of others."""
        if isinstance(self._what, Assignment):
            return any(topic in changed for topic, *_ in self._what.partitions)
        if self._what.pattern is not None or not self._what.topics.isdisjoint(changed):
            return True
        return self.membership is not None and self.membership.divides(changed)

    def on_metadata(self) -> None:
        """There is a new image."""
        if self.membership is not None:
            self.membership.on_metadata()
        elif isinstance(self._what, Assignment):
            for topic, index, _ in self._what.partitions:
                if self._around.partition_count(topic) <= index:
                    self.fail(_no_partition(topic, index))
                    return
        elif set(self._alone()) != {one.key for one in self._progress}:
            self._is_stale = True
            self.wake()

    # -- the work

    async def run(self) -> None:
        """Until `end`. Raises ConsumeError. May be cancelled: the reader is gone; `farewell` comes next."""
        if isinstance(self._what, Assignment):
            await self._assign_by_hand(self._what)
        while not self._is_ending:
            self._raise_failure()
            if self._outbox:
                await self._sink.tell(self._outbox.popleft())
            elif self.membership is not None and self.membership.must_rejoin:
                await self._rebalance(self.membership)
            elif self._is_stale:
                self._is_stale = False
                await self._assign(self._alone(), keeps=True)
            elif self._seeks:
                await self._seek(*self._seeks.popleft())
            elif not await self._deliver():
                for one in await self._positions.find_missing(self._progress, self._loop.time()):
                    self._outbox.append(Reset(one.topic, one.index, one.position))
                if not self._outbox:
                    self._fetch()
                    await self._wait()
        self._lanes.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        while self._outbox:
            await self._sink.tell(self._outbox.popleft())

    async def farewell(self, reason: str, *, leaves: bool) -> bool:
        """After `run`, however it ended: commit what is acknowledged, and give up the place in the group. Whether
        all of it is committed."""
        self._lanes.cancel()
        self._commits.stop()
        for timer in (self._retry, self._dropping):
            if timer is not None:
                timer.cancel()
        is_committed = await self._commits.commit_all()
        if self.membership is not None:
            if leaves:
                await self.membership.leave(reason)
            else:
                self.membership.stop()
        return is_committed

    def _raise_failure(self) -> None:
        failure = self._failure or (None if self.membership is None else self.membership.failure)
        if failure is not None:
            raise failure

    # -- assignment

    def _topics(self) -> frozenset[str]:
        assert isinstance(self._what, Subscription)
        return matching(self._what, self._around.topic_names())

    def _alone(self) -> list[TopicPartition]:
        """All partitions of what is subscribed to."""
        count = self._around.partition_count
        return [(topic, index) for topic in sorted(self._topics()) for index in range(count(topic))]

    async def _rebalance(self, membership: Membership) -> None:
        self._lanes.cancel()
        if self._progress.tells_what_is_done and not self._progress.is_settled and not membership.was_lost:
            await self._let_finish(membership)
        await self._commits.commit_all()
        partitions = await self._unless_ending(membership.join())
        if partitions is not None:
            keeps, membership.was_lost = not membership.was_lost, False
            await self._assign(partitions, keeps=keeps)

    async def _unless_ending(self, work: Coroutine[Any, Any, T]) -> T | None:
        """What the work comes to; None if the reader ends meanwhile, which it may: others can take long."""
        task = self._loop.create_task(work)
        task.add_done_callback(lambda _: self.wake())
        try:
            while not task.done():
                if self._outbox:
                    await self._sink.tell(self._outbox.popleft())
                else:
                    await self._wait()
                self._raise_failure()
                if self._is_ending:
                    return None
            return task.result()
        finally:
            task.cancel()

    async def _let_finish(self, membership: Membership) -> None:
        """The reader is told, and has a while to acknowledge what it holds."""
        assert isinstance(self._what, Subscription)
        wait_ms = min(REVOKE_WAIT_MS_MAX, self._what.rebalance_timeout_ms // 2)
        await self._sink.tell(Revoking(wait_ms))
        until_s = self._loop.time() + wait_ms / 1000
        timer = self._loop.call_at(until_s, self.wake)
        try:
            while not self._progress.is_settled and not self._is_ending and self._loop.time() < until_s:
                self._raise_failure()
                if self._outbox:
                    await self._sink.tell(self._outbox.popleft())
                else:
                    await self._wait()
        finally:
            timer.cancel()

    async def _assign_by_hand(self, what: Assignment) -> None:
        for topic, index, _ in what.partitions:
            if self._around.partition_count(topic) <= index or index < 0:
                raise _no_partition(topic, index)
        await self._assign([(topic, index) for topic, index, _ in what.partitions], keeps=False)

    async def _assign(self, partitions: Sequence[TopicPartition], *, keeps: bool) -> None:
        self._lanes.cancel()
        self._remainder.drop()
        fresh = self._progress.replace(partitions, keeps=keeps)
        await self._unless_ending(self._positions.find(fresh, self._loop.time()))
        membership = self.membership
        await self._sink.tell(
            Assigned(
                [(one.topic, one.index, one.position) for one in self._progress],
                "" if membership is None else membership.member_id,
                -1 if membership is None else membership.generation,
            )
        )

    async def _seek(self, key: TopicPartition, position: Position, request_id: int) -> None:
        progress = self._progress.get(key)
        offset = UNKNOWN_POSITION
        if progress is not None:
            found = await self._unless_ending(self._positions.look_up(key, position))
            if found is None:
                return
            offset = found
            self._lanes.cancel()
            self._remainder.drop()
            progress.seek(offset)
        self._outbox.append(Seeked(request_id, *key, offset))

    # -- records

    def _fetch(self) -> None:
        if self._credit <= 0:
            return
        now_s = self._loop.time()
        readable: dict[int, list[PartitionProgress]] = {}
        incomplete: set[int] = set()
        retry_at_s = 0.0
        for one in self._progress:
            if one.is_paused or one.position < 0 or one.retry_at_s > now_s:
                if one.retry_at_s > now_s and not one.is_paused:
                    retry_at_s = min(retry_at_s or one.retry_at_s, one.retry_at_s)
                continue
            leader = self._around.leaders.leader_of(one.topic, one.index)
            if leader is None:
                one.retry_at_s = now_s + RETRY_PAUSE_S
                retry_at_s = min(retry_at_s or one.retry_at_s, one.retry_at_s)
                continue
            readable.setdefault(leader, []).append(one)
            if not self._lanes.is_asked(leader, one.key):
                incomplete.add(leader)
        # A fetch that waits for the other partitions of its leader may wait long: it is asked anew, for all of them.
        epoch_of = self._around.leaders.leader_epoch_of
        self._lanes.fetch(
            {
                leader: [
                    FetchPartition(
                        one.topic,
                        _NO_TOPIC_ID,
                        one.index,
                        one.position,
                        LANE_BYTES_MAX,
                        epoch_of(one.topic, one.index),
                    )
                    for one in readable[leader]
                ]
                for leader in sorted(incomplete)
            }
        )
        if retry_at_s:
            self._wake_at(retry_at_s)

    async def _deliver(self) -> bool:
        """Everything that has come and is covered by credit. False: there was nothing."""
        is_there = False
        for answer in self._lanes.answered():
            is_there = True
            waiting: list[Delivered] = []
            size = 0
            for fetched in answer:
                for delivered, more in self._take(fetched):
                    if waiting and size + more > MESSAGE_BYTES_MAX:
                        await self._sink.deliver(waiting)
                        waiting, size = [], 0
                    waiting.append(delivered)
                    size += more
            if waiting:
                await self._sink.deliver(waiting)
            if self._failure is not None:
                break
        return is_there

    def _take(self, fetched: FetchedPartition) -> list[tuple[Delivered, int]]:
        """What of an answer may be delivered now, in pieces that fit into a message, with their sizes."""
        asked = fetched.asked
        progress = self._progress.get((asked.topic, asked.index))
        if progress is None or progress.is_paused or progress.position != asked.fetch_offset:
            return []  # it was taken away, or the reader wants something else by now
        if fetched.error is not ErrorCode.NONE:
            self._on_fetch_error(progress, fetched)
            return []
        progress.retry_at_s = 0.0
        if not len(fetched.records):
            return []
        records, position = take(
            fetched.records, progress.position, self._credit, self._remainder, progress.key
        )
        if not self._remainder.is_empty:
            self._drop_later()
        progress.on_delivered(position, has_records=bool(records))
        self._credit -= len(records)
        self._progress.on_served(progress)
        return [
            (Delivered(asked.topic, asked.index, fetched.high_watermark, piece), size)
            for piece, size in pieces(records, MESSAGE_BYTES_MAX)
        ]

    def _drop_later(self) -> None:
        if self._dropping is not None:
            self._dropping.cancel()
        self._dropping = self._loop.call_later(REMAINDER_S, self._remainder.drop)

    def _on_fetch_error(self, progress: PartitionProgress, fetched: FetchedPartition) -> None:
        error = fetched.error
        if error is ErrorCode.OFFSET_OUT_OF_RANGE:
            message = (
                f"offset {progress.position} is not in partition {progress.index} of topic {progress.topic}"
            )
            try:
                self._positions.reset(progress, message)
            except ConsumeError as failure:
                self.fail(failure)
        elif error.retriable:
            progress.retry_at_s = self._loop.time() + RETRY_PAUSE_S
        else:
            self.fail(
                ConsumeError(error, f"partition {progress.index} of topic {progress.topic}: {error.name}")
            )

    # -- commits

    def _identity(self) -> Identity:
        if self.membership is None:
            return -1, "", None
        assert isinstance(self._what, Subscription)
        return self.membership.generation, self.membership.member_id, self._what.instance_id

    async def _commit(self, offsets: ToCommit, request_id: int) -> None:
        # A member commits for the partitions that it has; those of others it would set back.
        count = self._around.partition_count
        own = [
            one
            for one in offsets
            if self.membership is None or self._progress.get((one[0], one[1])) or one[1] >= count(one[0])
        ]
        told = dict(zip(own, await self._commits.commit(own), strict=True)) if own else {}
        outcomes = [(one[0], one[1], told.get(one, ErrorCode.ILLEGAL_GENERATION)) for one in offsets]
        self._outbox.append(Committed(request_id, outcomes))
        self.wake()

    # -- waking up

    def wake(self) -> None:
        """Something that `run` should look at."""
        self._is_awake = True
        if self._awake is not None and not self._awake.done():
            self._awake.set_result(None)

    async def _wait(self) -> None:
        if not self._is_awake:
            self._awake = self._loop.create_future()
            await self._awake
        self._is_awake = False
        self._awake = None

    def _wake_at(self, at_s: float) -> None:
        if self._retry is not None:
            self._retry.cancel()
        self._retry = self._loop.call_at(at_s, self.wake)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _no_partition(topic: str, index: int) -> ConsumeError:
    return ConsumeError(
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"there is no partition {index} of topic {topic}"
    )
