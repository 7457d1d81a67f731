"""Event sourcing: what happened is what is stored; what is, is computed from it.

When: a history that matters (accounts, orders, bookings), several views of the same facts (`ReadModel`). Not for
data that is only overwritten, and not where aggregates are too many for memory: a store holds the states of all
aggregates in the partitions that it reads (`partitions` divides them among processes).

How: an aggregate has an id, the key of its records; `Aggregate(initial, evolve)` says how events change it; a command
is a function from the state to new events. `execute` decides on the newest state that was read, writes the events as
one record with the version that it decided on, and reads until it sees that record in the log. Format: `event_fold`.

Guaranteed: the events of a command count together or not at all. Of two commands that were decided on the same
version of an aggregate, from whatever process, the one that is first in the log counts; the other gets ConflictError,
or is decided again by `execute`, and all readers pass over its record. So versions have no gaps, and a rule that holds
for one aggregate (no overdraft) holds always, with any number of writers.

Not guaranteed: anything across aggregates (use `saga`). A `get` may be behind other processes (`catch_up` first);
a command never is, since the log decides. With one writer for a partition there are no conflicts, and that is fastest;
but nothing keeps a second one out, only its commits in order. After an error that leaves the outcome open
(DeliveryTimeoutError.is_unknown) look at the state before deciding again. The rule needs every commit, or a snapshot
that covers it: keep the topic's retention unlimited (it is created so) and its number of partitions, do not compact it.

    def evolve(balance: int, event: Event) -> int:
        return balance + event.data["amount"]

    def withdraw(amount: int) -> Callable[[int], list[Event]]:
        return lambda balance: [Event("withdrawn", {"amount": -amount})] if balance >= amount else []

    async with EventStore("localhost:50051", "accounts", Aggregate(0, evolve)) as accounts:
        await accounts.execute("alice", lambda _: [Event("deposited", {"amount": 100})])
        committed = await accounts.execute("alice", withdraw(30))
        balance = accounts.get("alice").state
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Collection, Sequence
from contextlib import AsyncExitStack
from typing import Final, Generic, NamedTuple, Self, TypeVar
from weakref import WeakValueDictionary

from odradek.client.patterns.event_fold import Aggregate, Commit, ConflictError, Event, EventFold, Versioned
from odradek.client.patterns.log_access import Log, Writer, log_of
from odradek.client.patterns.snapshots import Snapshots, SnapshotStore, StateSnapshot
from odradek.client.patterns.topic_follower import TopicFollower
from odradek.client.records import ConsumerRecord, Position, TopicPartition
from odradek.proto.kafka.partitioner import partition_for

S = TypeVar("S")
_ATTEMPTS: Final = 10


class Committed(NamedTuple):
    """Where the events of a command are, and the version of the aggregate after them."""

    topic: str
    partition: int
    offset: int
    version: int


class EventStore(Generic[S]):
    """Aggregates of one kind in one topic, which is created if need be. An async context manager; see the module.

    Entering it reads `snapshots`, if any, and the events since.
    """

    def __init__(
        self,
        servers: str | Log,
        topic: str,
        aggregate: Aggregate[S],
        *,
        snapshots: SnapshotStore | None = None,
        partitions: Collection[int] | None = None,
    ) -> None:
        self._log = log_of(servers)
        self._topic = topic
        self._aggregate = aggregate
        self._snapshots = snapshots
        self._partitions = partitions
        self._partition_count = 0
        self._fold = EventFold(aggregate)
        self._verdicts: dict[str, bool | None] = {}
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._follower: TopicFollower | None = None
        self._writer: Writer | None = None
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._log.create_topic(self._topic, configs={"retention.ms": "-1"})
        self._partition_count = len(await self._log.bounds(self._topic))
        starts = await self._restore()
        async with AsyncExitStack() as stack:
            self._follower = TopicFollower(
                self._log, self._topic, self._on_record, start=starts, partitions=self._partitions
            )
            await stack.enter_async_context(self._follower)
            self._writer = await stack.enter_async_context(self._log.writer())
            self._open = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._open.aclose()

    @property
    def lost_count(self) -> int:
        """Commits in the log that lost a race, of those that were read."""
        return self._fold.lost_count

    def get(self, aggregate_id: str) -> Versioned[S]:
        """State and version as far as the log was read. ValueError: not in the partitions of this store."""
        self._partition_of(aggregate_id)
        return self._fold.get(aggregate_id)

    async def catch_up(self) -> None:
        """Read all that was written before this call."""
        assert self._follower is not None, "the store is not open"
        await self._follower.catch_up()

    async def append(self, aggregate_id: str, events: Sequence[Event], expected_version: int) -> Committed:
        """Add events to an aggregate that is at `expected_version`. ConflictError: it was not; OdradekError."""
        assert self._writer is not None and self._follower is not None, "the store is not open"
        if not events:
            raise ValueError("there are no events to append")
        partition = self._partition_of(aggregate_id)
        version = self._fold.get(aggregate_id).version
        if version != expected_version:
            raise ConflictError(aggregate_id, expected_version, version)
        commit = Commit(aggregate_id, uuid.uuid4().hex, expected_version, tuple(events))
        self._verdicts[commit.commit_id] = None
        try:
            written = await self._writer.publish(
                self._topic, commit.value, commit.key, headers=commit.headers, partition=partition
            )
            if written.offset >= 0:
                await self._follower.wait_for(TopicPartition(self._topic, partition), written.offset + 1)
            else:  # written, but nobody can say where
                await self._follower.catch_up()
        finally:
            counts = self._verdicts.pop(commit.commit_id)
        assert counts is not None, f"commit {commit.commit_id} was written and is not in the log"
        if not counts:
            raise ConflictError(aggregate_id, expected_version, self._fold.get(aggregate_id).version)
        return Committed(self._topic, partition, written.offset, expected_version + len(events))

    async def execute(
        self, aggregate_id: str, decide: Callable[[S], Sequence[Event]], *, attempts: int = _ATTEMPTS
    ) -> Committed | None:
        """Decide on the state, and commit; after a conflict decide again, `attempts` times in all.

        None: `decide` returned no events. What `decide` raises passes through. ConflictError, OdradekError.
        """
        turn = self._turns.setdefault(aggregate_id, asyncio.Lock())
        for attempt in range(1, attempts + 1):
            # Commands that wait for their turn here do not race each other.
            async with turn:
                now = self.get(aggregate_id)
                events = decide(now.state)
                if not events:
                    return None
                try:
                    return await self.append(aggregate_id, events, now.version)
                except ConflictError:
                    if attempt == attempts:
                        raise
        raise ValueError("attempts must be at least 1")

    async def snapshot(self) -> int:
        """Save the aggregates that changed since the last time, and how far they go. How many it were."""
        if self._snapshots is None or self._follower is None:
            raise ValueError("the store has no place for snapshots, or is not open")
        # No await between the two: states may be ahead of positions, not behind.
        positions = {tp.partition: max(0, self._follower.position(tp)) for tp in self._follower.partitions}
        changed = self._fold.take_changed()
        states = {
            name: StateSnapshot(self._aggregate.to_json(one.state), one.version, one.partition, one.offset)
            for name, one in changed.items()
        }
        try:
            await self._snapshots.save(Snapshots(states, positions))
        except BaseException:
            self._fold.put_back_changed(changed)
            raise
        return len(states)

    async def _restore(self) -> dict[int, Position]:
        """Where to begin in each partition."""
        if self._snapshots is None:
            return {}
        found = await self._snapshots.load()
        for name, (state, version, partition, offset) in found.states.items():
            if self._partitions is None or partition in self._partitions:
                restored = Versioned(self._aggregate.from_json(state), version, partition, offset)
                self._fold.restore(name, restored)
        return {partition: Position.at(offset) for partition, offset in found.positions.items()}

    def _partition_of(self, aggregate_id: str) -> int:
        partition = partition_for(aggregate_id.encode(), self._partition_count)
        if self._partitions is not None and partition not in self._partitions:
            raise ValueError(f"{aggregate_id} is in partition {partition}, which this store does not read")
        return partition

    def _on_record(self, record: ConsumerRecord) -> None:
        found = self._fold.apply(record)
        if found is not None and found[0].commit_id in self._verdicts:
            self._verdicts[found[0].commit_id] = found[1] is not None
