"""The consumer: an iterator over records, which stays where it is when nodes come and go.

Decides: what a caller may ask for, and when a record counts as dealt with. Does not decide: what the node is told
(`consumer_state`), or how streams are kept (`consumer_stream`).
"""

from __future__ import annotations

import asyncio
import inspect
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import TypeAlias, TypedDict, Unpack

from odradek.client.connection import DEFAULT_CLIENT_ID, Connection
from odradek.client.consumer_plan import Plan
from odradek.client.consumer_state import ConsumerState, Event
from odradek.client.consumer_stream import StreamKeeper, steady_ms
from odradek.client.errors import ClosedError, InvalidRequestError
from odradek.client.records import ConsumerRecord, Position, TopicPartition

Callback: TypeAlias = Callable[[Sequence[TopicPartition]], Awaitable[None] | None]


class ConsumerSettings(TypedDict, total=False):
    """The keyword arguments of `Consumer`."""

    topics: Sequence[str]
    topic_pattern: str | None
    partitions: Mapping[TopicPartition, Position | int | None] | None
    group_id: str | None
    instance_id: str | None
    offset_reset: str
    auto_commit: bool
    session_timeout_ms: int
    credit: int
    on_assigned: Callback | None
    on_revoked: Callback | None
    client_id: str


class Consumer:
    """Reads records. An async context manager and an async iterator, for one event loop.

        async with Consumer("localhost:50051", topics=["greetings"], group_id="readers") as consumer:
            async for record in consumer:
                print(record.value)

    `bootstrap` is `host:port[,host:port...]`. Settings:

    * `topics`, or `topic_pattern` (a regular expression for whole names), or `partitions` (a mapping from partition to
      where to begin: a Position, an offset, or None for what the group has committed, else `offset_reset`).
    * `group_id`: partitions of topics are divided among the members of the group, which remembers how far they have
      read. Without one, this consumer reads everything alone. With `partitions` the group only remembers.
    * `instance_id`: the name of this place in the group. Unless given it is new for each consumer, and only serves to
      get the place back when a stream breaks; a name that outlives the process does that for a restart as well.
    * `offset_reset` ("earliest"): where to begin when nothing says where; or "latest"; or "none", which is
      OffsetOutOfRangeError.
    * `auto_commit` (True): a record is acknowledged when the next one is asked for, records of a `poll` by the next
      `poll`, and all of them when the `async with` block is left without an error. False: `acknowledge` or `commit`.
    * `session_timeout_ms` (10000): after the death of its node, a member is given up after so long.
    * `credit` (1000): at most so many records are on their way to this consumer, or wait in it.
    * `on_assigned`, `on_revoked`: called with partitions, may be coroutine functions. While one of them runs no record
      is handed out, so neither may ask for records. `on_revoked` with everything there is, when the group is divided
      anew, as a last occasion to acknowledge; or with what is gone, where that could not be announced.
      `on_assigned` follows with all partitions there are then.

    When its node goes away the consumer goes on at another one, behind the last record that it handed out.
    """

    def __init__(self, bootstrap: str, **settings: Unpack[ConsumerSettings]) -> None:
        chosen = dict(settings)
        self._callbacks: dict[str, Callback | None] = {
            "assigned": settings.get("on_assigned"),
            "revoked": settings.get("on_revoked"),
        }
        for name in ("on_assigned", "on_revoked"):
            chosen.pop(name, None)
        client_id = settings.get("client_id", DEFAULT_CLIENT_ID)
        chosen.pop("client_id", None)
        topics = settings.get("topics", ())
        if isinstance(topics, str):
            raise ValueError("topics is a sequence of names, not one name")
        chosen["topics"] = tuple(topics)
        chosen["instance_id"] = settings.get("instance_id") or f"{client_id}-{uuid.uuid4().hex}"
        self._plan = Plan(**chosen)  # type: ignore[arg-type]
        self._connection = Connection(bootstrap, client_id=client_id)
        self._state = ConsumerState(self._plan)
        self._stream: StreamKeeper | None = None
        self._is_closed = False
        self._waiting: set[asyncio.Future[None]] = set()
        self._events: deque[Event] = deque()
        self._calling: asyncio.Task[None] | None = None
        self._callback_error: BaseException | None = None

    async def __aenter__(self) -> Consumer:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._plan.auto_commit:
            self._state.acknowledge_handed(steady_ms())
        await self.close()

    def start(self) -> None:
        """Begin to read, on the running event loop."""
        if self._is_closed:
            raise ClosedError("the consumer is closed")
        if self._stream is None:
            self._stream = StreamKeeper(self._connection, self._state, self._plan.some_topic, self._on_change)

    async def close(self) -> None:
        """Commit what is acknowledged, leave the group, and end. Records in the caller's hands are not acknowledged."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            if self._stream is not None:
                await self._stream.close()
        finally:
            if self._calling is not None:
                self._calling.cancel()
            self._state.fail(ClosedError("the consumer is closed"))
            self._wake_waiting()
            await self._connection.close()

    # -- records

    def __aiter__(self) -> Consumer:
        return self

    async def __anext__(self) -> ConsumerRecord:
        """The next record; waits for it. Ends when the consumer is closed.

        OdradekError: nothing can be read any more.
        """
        if self._plan.auto_commit:
            self._state.acknowledge_handed(steady_ms())
        while True:
            if self._is_closed:
                raise StopAsyncIteration
            record = self._take()
            if record is not None:
                return record
            await self._wait(None)

    async def poll(self, max_records: int = 500, timeout_ms: int = 1000) -> list[ConsumerRecord]:
        """Records that are there, at most `max_records`; waits for the first one for at most `timeout_ms`.

        Empty: none came. ClosedError. OdradekError: nothing can be read any more.
        """
        if max_records < 1:
            raise ValueError("max_records must be at least 1")
        if self._plan.auto_commit:
            self._state.acknowledge_handed(steady_ms())
            self._tell()
        deadline_ms = steady_ms() + timeout_ms
        records: list[ConsumerRecord] = []
        while True:
            self._check_open()
            while len(records) < max_records and (record := self._take()) is not None:
                records.append(record)
            left_ms = deadline_ms - steady_ms()
            if records or left_ms <= 0:
                return records
            await self._wait(left_ms)

    def _take(self) -> ConsumerRecord | None:
        if self._callback_error is not None:
            error, self._callback_error = self._callback_error, None
            raise error
        stream = self._stream
        if stream is None:
            raise ClosedError("the consumer is not started")
        if stream.failure is not None:
            raise stream.failure
        record = self._state.take() if self._calling is None else None
        stream.wake()
        return record

    def acknowledge(self, record: ConsumerRecord) -> None:
        """This record, and all before it in its partition, are dealt with. The node commits that before long.

        InvalidRequestError: there is no group. A partition that is somebody else's by now is not committed.
        """
        self._check_group()
        self._state.acknowledge(record, steady_ms())
        self._tell()

    async def commit(self, offsets: Mapping[TopicPartition, int] | None = None) -> None:
        """Commit, and wait until that is done. `offsets` are those of the next records to read.

        Without `offsets`: what was acknowledged. With `auto_commit=False`, and if no record ever was acknowledged by
        itself, all that was handed out. CommitFailedError. InvalidRequestError: there is no group. ClosedError.
        """
        self._check_group()
        self._check_open()
        promise: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._state.commit(offsets, promise)
        self._tell()
        await self._outcome(promise)

    async def seek(self, tp: TopicPartition, position: Position | int) -> int:
        """Read a partition on from somewhere else, and return the offset of that place.

        InvalidRequestError: the partition is not, or not any more, assigned. OffsetOutOfRangeError, also of all further
        reading, where `offset_reset` does not say where to go instead.
        """
        self._check_open()
        promise: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._state.seek(TopicPartition(*tp), Position.of(position), promise)
        self._tell()
        await self._outcome(promise)
        return promise.result()

    def pause(self, *tps: TopicPartition) -> None:
        """Hand out nothing of these partitions until `resume`, or until they are assigned anew. InvalidRequestError."""
        self._state.pause(tps)
        self._tell()

    def resume(self, *tps: TopicPartition) -> None:
        """Go on with partitions where they were paused. InvalidRequestError: not assigned."""
        self._state.resume(tps)
        self._tell()

    @property
    def assignment(self) -> frozenset[TopicPartition]:
        """The partitions that are read at the moment."""
        return self._state.assignment

    def position(self, tp: TopicPartition) -> int:
        """The offset that is handed out next; -1 if it is not known yet. InvalidRequestError: not assigned."""
        return self._state.progress(tp).position

    def high_watermark(self, tp: TopicPartition) -> int:
        """One more than the newest offset that can be read, as of the last records that came; -1 before the first.

        InvalidRequestError: not assigned.
        """
        return self._state.progress(tp).high_watermark

    # -- waiting

    def _on_change(self) -> None:
        self._events.extend(self._state.take_events())
        if self._events and self._calling is None and not self._is_closed:
            if any(self._callbacks.values()):
                self._calling = asyncio.get_running_loop().create_task(self._call_back())
            else:
                self._events.clear()
        self._wake_waiting()

    def _wake_waiting(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    async def _wait(self, timeout_ms: int | None) -> None:
        """Until something changes."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            async with asyncio.timeout(None if timeout_ms is None else timeout_ms / 1000):
                await future
        except TimeoutError:
            pass
        finally:
            self._waiting.discard(future)

    async def _outcome(self, promise: asyncio.Future[int] | asyncio.Future[None]) -> None:
        """Wait for a promise, or for the end of all streams."""
        try:
            while not promise.done():
                if self._stream is not None and self._stream.failure is not None:
                    raise self._stream.failure
                waiting = asyncio.ensure_future(self._wait(None))
                try:
                    await asyncio.wait([promise, waiting], return_when=asyncio.FIRST_COMPLETED)
                finally:
                    waiting.cancel()
            promise.result()
        finally:
            promise.cancel()  # of one that is not kept yet nobody will hear how it ended

    async def _call_back(self) -> None:
        try:
            while self._events:
                event = self._events.popleft()
                callback = self._callbacks[event.kind]
                if callback is None:
                    continue
                outcome = callback(event.partitions)
                if inspect.isawaitable(outcome):
                    await outcome
        except Exception as error:  # the boundary of this task: whoever asks for records gets it
            self._callback_error = error
        finally:
            self._calling = None
            self._wake_waiting()

    def _tell(self) -> None:
        if self._stream is not None:
            self._stream.wake()

    def _check_group(self) -> None:
        if not self._plan.can_commit:
            raise InvalidRequestError(
                "INVALID_GROUP_ID", "a consumer without a group has nowhere to commit to", 24
            )

    def _check_open(self) -> None:
        if self._is_closed:
            raise ClosedError("the consumer is closed")
