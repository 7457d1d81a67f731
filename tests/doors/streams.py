"""Readers with a Consume stream, which goes through gRPC or is handed to the servicer as it is.

Nothing here waits for a clock: a reader waits for events, and a deadline far away ends a test that would hang.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import grpc
import grpc.aio
from tests.doors.api_door import DirectCarrier, GrpcCarrier, Refused
from tests.doors.door import Door, TopicPartition, batch_of, values

from odradek.node.grpc_api.refusal import RefusalError
from odradek.v1 import record_pb2
from odradek.v1 import record_service_pb2 as pb

PATIENCE_S = 10
CREDIT = 1_000_000
PATH = "RecordService/Consume"


class Got(NamedTuple):
    """A record as a reader sees it."""

    topic: str
    partition: int
    offset: int
    value: bytes | None


class Wire(Protocol):
    """Both directions of one Consume call. `read` returns None after OK and raises Refused after anything else."""

    async def write(self, request: pb.ConsumeRequest) -> None: ...
    async def read(self) -> pb.ConsumeResponse | None: ...
    async def half_close(self) -> None: ...
    def cancel(self) -> None: ...


class GrpcWire:
    def __init__(self, carrier: GrpcCarrier, timeout_s: float | None = None) -> None:
        self.carrier = carrier
        consume: Any = carrier.channel.stream_stream(
            f"/odradek.v1.{PATH}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=pb.ConsumeResponse.FromString,
        )
        self.call: Any = consume(metadata=carrier.metadata, timeout=timeout_s)

    async def write(self, request: pb.ConsumeRequest) -> None:
        await self.call.write(request)

    async def read(self) -> pb.ConsumeResponse | None:
        try:
            response = await self.call.read()
        except grpc.aio.AioRpcError as error:
            raise Refused.of(error) from None
        if response is not grpc.aio.EOF:
            assert isinstance(response, pb.ConsumeResponse)
            return response
        code = await self.call.code()
        if code is not grpc.StatusCode.OK:
            trailing: Any = await self.call.trailing_metadata()
            initial: Any = None
            details = await self.call.details()
            raise Refused.of(grpc.aio.AioRpcError(code, initial, trailing, details))
        return None

    async def half_close(self) -> None:
        await self.call.done_writing()

    def cancel(self) -> None:
        self.call.cancel()


class DirectWire:
    """The servicer's method with a stream of queues: no server, no serialising."""

    def __init__(self, carrier: DirectCarrier) -> None:
        self._requests: asyncio.Queue[pb.ConsumeRequest | None] = asyncio.Queue()
        self._responses: asyncio.Queue[pb.ConsumeResponse | None] = asyncio.Queue()
        call = carrier.a_call()
        call.deadline_s = None
        work: Any = carrier.methods[PATH].call(call, _Ends(self))
        self.task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self.task.add_done_callback(lambda _: self._responses.put_nowait(None))

    async def write(self, request: pb.ConsumeRequest) -> None:
        self._requests.put_nowait(request)

    async def read(self) -> pb.ConsumeResponse | None:
        response = await self._responses.get()
        if response is None:
            self._responses.put_nowait(None)
            try:
                self.task.result()
            except RefusalError as error:
                raise Refused(error.status.name, error.reason, error.message, error.metadata) from None
        return response

    async def half_close(self) -> None:
        self._requests.put_nowait(None)

    def cancel(self) -> None:
        self.task.cancel()

    async def next_request(self) -> pb.ConsumeRequest | None:
        return await self._requests.get()

    def take(self, response: pb.ConsumeResponse) -> None:
        self._responses.put_nowait(response)


class _Ends:
    """The servicer's side of a DirectWire."""

    def __init__(self, wire: DirectWire) -> None:
        self._wire = wire

    async def read(self) -> Any | None:
        return await self._wire.next_request()

    async def write(self, response: Any) -> None:
        self._wire.take(response)


def subscribe(*topics: str, group: str = "", credit: int = CREDIT, **more: Any) -> pb.ConsumeRequest:
    """The first request of a stream; sessions are short, so that heartbeats (and what they tell) are frequent."""
    if group:
        more.setdefault("session_timeout_ms", 600)
    return pb.ConsumeRequest(subscribe=pb.Subscribe(topics=topics, group_id=group, **more), credit=credit)


def at_offset(offset: int) -> record_pb2.Position:
    return record_pb2.Position(offset=offset)


def assign(
    starts: Mapping[TopicPartition, record_pb2.Position | None], credit: int = CREDIT, **more: Any
) -> pb.ConsumeRequest:
    partitions = [
        pb.AssignedStart(topic=topic, partition=index, position=position)
        for (topic, index), position in starts.items()
    ]
    return pb.ConsumeRequest(assign=pb.Assign(partitions=partitions, **more), credit=credit)


class StreamReader:
    """A reader with a Consume stream."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.assigned: dict[TopicPartition, int] = {}
        self.member_id = ""
        self.generation = -1
        self.is_revoking = False
        self.got: list[Got] = []
        self.committed: dict[int, dict[TopicPartition, str]] = {}
        self.seeked: dict[int, int] = {}
        self.high_watermarks: dict[TopicPartition, int] = {}

    @classmethod
    async def open(cls, wire: Wire, first: pb.ConsumeRequest) -> StreamReader:
        """A reader that has its partitions."""
        reader = cls(wire)
        await wire.write(first)
        await reader.next("assigned")
        return reader

    async def event(self) -> str | None:
        """Take in the next event; None at the end with OK. Raises Refused."""
        async with asyncio.timeout(PATIENCE_S):
            response = await self.wire.read()
        if response is None:
            return None
        kind = response.WhichOneof("event")
        if kind == "records":
            for one in response.records.partitions:
                self.high_watermarks[one.topic, one.partition] = one.high_watermark
                self.got += [
                    Got(
                        one.topic,
                        one.partition,
                        record.offset,
                        record.value if record.HasField("value") else None,
                    )
                    for record in one.records
                ]
        elif kind == "assigned":
            assigned = response.assigned
            self.assigned = {(one.topic, one.partition): one.offset for one in assigned.partitions}
            self.member_id, self.generation = assigned.member_id, assigned.generation
            self.is_revoking = False
        elif kind == "committed":
            self.committed[response.committed.request_id] = {
                (one.topic, one.partition): one.reason or "NONE" for one in response.committed.partitions
            }
        elif kind == "seeked":
            self.seeked[response.seeked.request_id] = response.seeked.offset
        elif kind == "revoking":
            self.is_revoking = True
        return str(kind)

    async def next(self, kind: str) -> None:
        """Go on until an event of this kind."""
        await self.until_event(lambda told: told == kind)

    async def until_event(self, is_it: Callable[[str], bool]) -> None:
        while True:
            told = await self.event()
            assert told is not None, "the stream ended"
            if is_it(told):
                return

    async def until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            told = await self.event()
            assert told is not None, "the stream ended"

    async def until_assigned(self, count: int) -> None:
        """Until it has so many partitions."""
        await self.until(lambda: len(self.assigned) == count)

    async def records(self, count: int) -> list[Got]:
        """So many more than were taken before; fails if more came."""
        await self.until(lambda: len(self.got) >= count)
        found, self.got = self.got, []
        assert len(found) == count, f"{len(found)} records, expected {count}"
        return found

    async def ending(self) -> Refused | None:
        """Read to the end: None for OK."""
        try:
            while await self.event() is not None:
                pass
        except Refused as refused:
            return refused
        return None

    # -- asking

    async def grant(self, credit: int) -> None:
        await self.wire.write(pb.ConsumeRequest(credit=credit))

    async def acknowledge(self, *records: tuple[str, int, int]) -> None:
        await self.wire.write(
            pb.ConsumeRequest(
                acknowledge=pb.Acknowledge(
                    records=[
                        record_pb2.TopicPartitionOffset(topic=topic, partition=index, offset=offset)
                        for topic, index, offset in records
                    ]
                )
            )
        )

    async def commit(
        self, offsets: Mapping[TopicPartition, int], request_id: int = 1, metadata: str = ""
    ) -> dict[TopicPartition, str]:
        """Commit, and wait for the answer."""
        request = pb.Commit(
            offsets=[
                pb.CommitOffset(topic=topic, partition=index, offset=offset, metadata=metadata)
                for (topic, index), offset in offsets.items()
            ],
            request_id=request_id,
        )
        self.committed.pop(request_id, None)
        await self.wire.write(pb.ConsumeRequest(commit=request))
        await self.until(lambda: request_id in self.committed)
        return self.committed[request_id]

    async def seek(self, key: TopicPartition, position: record_pb2.Position, request_id: int = 1) -> int:
        """Seek, and wait until it has happened; the records that came meanwhile are forgotten. Returns the offset."""
        request = pb.Seek(topic=key[0], partition=key[1], position=position, request_id=request_id)
        self.seeked.pop(request_id, None)
        await self.wire.write(pb.ConsumeRequest(seek=request))
        await self.until(lambda: request_id in self.seeked)
        self.got = []
        return self.seeked[request_id]

    async def pause(self, *keys: TopicPartition) -> None:
        await self.wire.write(pb.ConsumeRequest(pause=pb.Pause(partitions=_partitions(keys))))

    async def resume(self, *keys: TopicPartition) -> None:
        await self.wire.write(pb.ConsumeRequest(resume=pb.Resume(partitions=_partitions(keys))))

    async def leave(self) -> None:
        """Half-close, and see it end well."""
        await self.wire.half_close()
        assert await self.ending() is None


def _partitions(keys: Sequence[TopicPartition]) -> list[record_pb2.TopicPartition]:
    return [record_pb2.TopicPartition(topic=topic, partition=index) for topic, index in keys]


async def eventually(ask: Callable[[], Awaitable[Any]], is_so: Callable[[Any], bool]) -> Any:
    """Ask again until it is so: for what a node does in the background and tells nobody."""
    async with asyncio.timeout(PATIENCE_S):
        while not is_so(found := await ask()):  # noqa: ASYNC110  (nobody tells)
            await asyncio.sleep(0.01)
    return found


async def send(door: Door, topic: str, count: int, partition: int = 0) -> None:
    assert (await door.produce(topic, partition, batch_of(values(*[b"v"] * count)))).error == "NONE"


async def is_empty(door: Door, group: str) -> None:
    """Return when a group has no members any more."""
    view = await eventually(lambda: door.describe(group), lambda view: view.state == "Empty")
    assert view.members == ()
