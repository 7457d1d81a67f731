"""The streams of a consumer: opens one, keeps both its directions going, and opens the next when it breaks.

Decides: at which address, after which pause, and when it is hopeless. Does not decide: what is said
(`consumer_state`). A stream that ends with UNAVAILABLE or breaks is opened again for as long as it takes, once any
was answered; other failures are either final, or are tried a few times.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import grpc.aio

from odradek.client.connection import Connection, Method, unavailable
from odradek.client.consumer_state import ConsumerState
from odradek.client.errors import ClosedError, OdradekError, from_rpc
from odradek.v1 import log_service_pb2 as log_pb
from odradek.v1 import record_service_pb2 as pb

if TYPE_CHECKING:
    from odradek.client.connection import Stream

CONSUME: Final = Method("RecordService/Consume", pb.ConsumeRequest, pb.ConsumeResponse)
METADATA: Final = Method("LogService/Metadata", log_pb.MetadataRequest, log_pb.MetadataResponse)

FIRST_CONTACT_MS: Final = 30_000
"""A cluster that never answered for so long is taken not to be there."""
CLOSE_TIMEOUT_S: Final = 10.0
"""For the node to commit and to leave the group."""
FEW: Final = 5
_LOOK_UP_TIMEOUT_MS: Final = 5_000
_AGAIN: Final = frozenset({"UNAVAILABLE", "CANCELLED", "DEADLINE_EXCEEDED"})
_FEW_TIMES: Final = frozenset({"INTERNAL", "UNKNOWN", "RESOURCE_EXHAUSTED", "NOT_FOUND", "DATA_LOSS"})

log = logging.getLogger(__name__)


def steady_ms() -> int:
    """A steady clock in ms."""
    return time.monotonic_ns() // 1_000_000


class StreamKeeper:
    """`on_change` is called when records, events or a failure are there."""

    def __init__(
        self, connection: Connection, state: ConsumerState, some_topic: str, on_change: Callable[[], None]
    ) -> None:
        self._connection = connection
        self._state = state
        self._some_topic = some_topic
        self._on_change = on_change
        self._awake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._is_closing = False
        self._was_answered = False
        self._is_answered = False
        self._failures = 0
        self._begun_ms = steady_ms()
        self.failure: OdradekError | None = None
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._look_up: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """There may be something to tell the node, at once or by a deadline."""
        if self._state.has_lot or self._is_closing:
            self._awake.set()
        elif self._timer is None and (deadline := self._state.next_deadline()) is not None:
            wait_ms = max(0, deadline - steady_ms()) + 1
            self._timer = asyncio.get_running_loop().call_later(wait_ms / 1000, self._on_deadline)

    def _on_deadline(self) -> None:
        self._timer = None
        self._awake.set()

    async def close(self) -> None:
        """Tell what is acknowledged, end the stream, and wait until the node is done with it."""
        self._is_closing = True
        self._awake.set()
        if self._timer is not None:
            self._timer.cancel()
        if not self._is_answered:
            self._task.cancel()
        tasks = [task for task in (self._task, self._look_up) if task is not None]
        try:
            await asyncio.wait([self._task], timeout=CLOSE_TIMEOUT_S)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self) -> None:
        try:
            while not self._is_closing:
                address = self._connection.preferred
                error = await self._serve(address)
                self._state.on_disconnected()
                if self._is_closing:
                    return
                self._connection.avoid(address)
                if self._is_final(error):
                    self.failure = error
                    self._on_change()
                    return
                log.info("the stream to %s ended, another is opened: %s", address, error)
                await asyncio.sleep(self._connection.backoff_ms(self._failures, error.retry_after_ms) / 1000)
                self._failures += 1
        except Exception as error:  # the boundary of this task: whoever waits for records hears of it
            self.failure = OdradekError("CLIENT_ERROR", repr(error))
            self.failure.__cause__ = error
            self._on_change()
        finally:
            self._is_answered = False

    def _is_final(self, error: OdradekError) -> bool:
        if error.status in _AGAIN:
            return not self._was_answered and steady_ms() - self._begun_ms > FIRST_CONTACT_MS
        return error.status not in _FEW_TIMES or self._failures >= FEW

    async def _serve(self, address: str) -> OdradekError:
        """One stream, from its first request to its end. Returns why it ended."""
        try:
            stream = self._connection.open_stream(address, CONSUME)
        except ClosedError as error:
            return error
        writer: asyncio.Task[None] | None = None
        try:
            await stream.write(self._state.first_request())
            while isinstance(response := await stream.read(), pb.ConsumeResponse):
                if writer is None:
                    writer = asyncio.get_running_loop().create_task(self._write(stream))
                    self._on_answered()
                self._state.on_response(response)
                self.wake()
                self._on_change()
            return unavailable("the node ended the stream")
        except grpc.aio.AioRpcError as failed:
            return from_rpc(failed)
        except (asyncio.InvalidStateError, grpc.aio.UsageError):
            # What gRPC raises for a stream that failed before anything could be written to it.
            return await _reason_of(stream)
        finally:
            self._is_answered = False
            if writer is not None:
                writer.cancel()
            stream.cancel()

    def _on_answered(self) -> None:
        self._is_answered = self._was_answered = True
        self._failures = 0
        if self._look_up is None or self._look_up.done():
            self._look_up = asyncio.get_running_loop().create_task(self._learn_addresses())

    async def _write(self, stream: Stream) -> None:
        """Tell the node what the state wants to be told, as long as the stream lives; reading notices its end."""
        try:
            while True:
                self._awake.clear()
                is_last = self._is_closing
                for request in self._state.take_requests(steady_ms(), is_last=is_last):
                    await stream.write(request)
                if is_last:
                    await stream.done_writing()
                    return
                self.wake()
                await self._awake.wait()
        except (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError) as error:
            log.debug("the stream takes no more requests: %s", error)

    async def _learn_addresses(self) -> None:
        request = log_pb.MetadataRequest(topics=[self._some_topic])
        try:
            found = await self._connection.call(METADATA, request, timeout_ms=_LOOK_UP_TIMEOUT_MS)
        except OdradekError as error:
            log.debug("the addresses of the nodes were not found: %s", error)
            return
        self._connection.learn(f"{node.host}:{node.port}" for node in found.nodes)


async def _reason_of(stream: Any) -> OdradekError:
    code, details, trailing = await stream.code(), await stream.details(), await stream.trailing_metadata()
    return from_rpc(_Ended(code, details, trailing))


class _Ended:
    """The status of a stream, in the shape of an exception."""

    def __init__(self, code: Any, details: str | None, trailing: Any) -> None:
        self._values = code, details, trailing

    def code(self) -> Any:
        return self._values[0]

    def details(self) -> str | None:
        return self._values[1]

    def trailing_metadata(self) -> Any:
        return self._values[2]
