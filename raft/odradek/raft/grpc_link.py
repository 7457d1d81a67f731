"""The way from this node to one peer: dials, greets, and writes what waits, again and again.

Decides when to dial (at once, then with growing pauses; at once again when the peer shows that it lives) and what one
write carries (everything that waits, up to a limit, so that a busy stream makes larger writes and not more of them).
Does not decide what is lost (`outbox`) or who is welcome (`greeting`, at the other side). Invariants: one stream at a
time; every `on_link_up` is followed by one `on_link_down`; what waited when a stream broke is never written to the
next one, because the peer may be another process.

Every attempt has a channel of its own: gRPC's channels share one back-off per address within the process, and cannot
be told to stop waiting.
"""

import asyncio
import logging
from typing import Any, Final, Protocol

import grpc
import grpc.aio

from .core.messages import Message
from .greeting import Address, Hello, Welcome
from .message_codec import (
    Batch,
    MalformedBatchError,
    decode_welcome,
    encode_batch,
    encode_hello,
    weigh,
)
from .outbox import Outbox
from .transport_limits import TransportLimits

logger = logging.getLogger(__name__)

METHOD: Final = "/odradek.proto.v1.RaftTransportService/Exchange"
UNREACHABLE_AFTER_FAILURES: Final = 8
"""Failed dials in a row after which an operator hears of it (about 5 s): nodes are not started in one moment."""


class LinkOwner(Protocol):
    """Who is told. Everything is called on the event loop's thread."""

    def hello_to(self, peer: int) -> Hello: ...

    def on_link_up(self, welcome: Welcome) -> None:
        """The peer hears us from now on."""

    def on_link_down(self, peer: int) -> None:
        """It does not any more."""


class _LinkBrokenError(Exception):
    """The stream ended, or never came to be. `is_refusal`: the peer does not want this node."""

    def __init__(self, reason: str, is_refusal: bool = False) -> None:
        super().__init__(reason)
        self.is_refusal = is_refusal


class PeerLink:
    """Use: `start()`, `send(batch)`, `await stop()`."""

    def __init__(self, peer: int, address: Address, owner: LinkOwner, limits: TransportLimits) -> None:
        self.peer = peer
        self.address = address
        self.is_up = False
        self._owner = owner
        self._limits = limits
        self._outbox: Outbox[tuple[int, Message]] = Outbox(limits.queue_bytes_max, limits.queue_messages_max)
        self._lost_before = 0
        self._loop = asyncio.get_running_loop()
        self._work = asyncio.Event()
        self._hurry = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._conversation: asyncio.Task[_LinkBrokenError] | None = None
        self._was_up = False
        self._last_refusal = ""

    @property
    def lost_messages(self) -> int:
        """Thrown away since the start, because the peer was away or did not keep up."""
        return self._outbox.lost

    def start(self) -> None:
        assert self._task is None, f"the link to node {self.peer} runs already"
        self._task = self._loop.create_task(self._run(), name=f"raft-link-{self.peer}")

    def take_down(self) -> None:
        """What is sent from now on has no way; tells the owner if that is news."""
        if self.is_up:
            self.is_up = False
            self._outbox.clear()
            self._owner.on_link_down(self.peer)

    async def stop(self) -> None:
        """Take down, and end."""
        self.take_down()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def send(self, batch: Batch) -> None:
        """Queue; what does not fit is lost, oldest first."""
        outbox, now_ms = self._outbox, self._now_ms()
        lost = outbox.lost
        for item in batch:
            weight = weigh(item[1])
            if weight > self._limits.message_bytes_max:
                logger.error(
                    "a Raft message of %d bytes for node %d is larger than the limit of %d: it is lost",
                    weight,
                    self.peer,
                    self._limits.message_bytes_max,
                )
                continue
            outbox.put(item, weight, now_ms)
        if self.is_up and outbox.lost > lost == self._lost_before:
            # Once until the queue is empty again.
            logger.warning("node %d does not keep up: the oldest Raft messages for it are lost", self.peer)
        self._work.set()

    def hurry(self) -> None:
        """The peer lives: dial now instead of later."""
        self._hurry.set()

    def redial(self) -> None:
        """End the stream, and see who answers now."""
        self._hurry.set()
        if self._conversation is not None:
            self._conversation.cancel()

    # -- the loop of attempts

    async def _run(self) -> None:
        failures = 0
        while True:
            self._hurry.clear()
            self._was_up = False
            conversation = self._loop.create_task(self._attempt())
            self._conversation = conversation
            try:
                await asyncio.wait([conversation])
            finally:
                self._conversation = None
                if not conversation.done():  # this link is being stopped
                    conversation.cancel()
                    await asyncio.wait([conversation])
            # Cancelled but not stopped: `redial`.
            is_redialled = conversation.cancelled()
            broken = _LinkBrokenError("it is dialled again") if is_redialled else conversation.result()
            failures = 1 if self._was_up else failures + 1
            if not self._was_up:
                self._log_failure(broken, failures)
            # Configurations change slowly.
            is_slow = broken.is_refusal and not self._was_up
            await self._pause(self._limits.retry_max_ms if is_slow else self._limits.retry_ms(failures))

    async def _pause(self, pause_ms: int) -> None:
        try:
            async with asyncio.timeout(pause_ms / 1000):
                await self._hurry.wait()
        except TimeoutError:
            return

    def _log_failure(self, broken: _LinkBrokenError, failures: int) -> None:
        host, port = self.address
        if broken.is_refusal:
            if str(broken) != self._last_refusal:
                logger.error("node %d at %s:%d refuses this node: %s", self.peer, host, port, broken)
            self._last_refusal = str(broken)
        elif failures == UNREACHABLE_AFTER_FAILURES:
            logger.warning("node %d is not reachable at %s:%d: %s", self.peer, host, port, broken)

    # -- one stream

    async def _attempt(self) -> _LinkBrokenError:
        """The boundary of the task: a bug costs this stream, and the next one is tried. The reason is returned and not
        raised, because nobody looks at it when the link is stopped in that moment."""
        try:
            return await self._converse()
        except _LinkBrokenError as broken:
            return broken
        except Exception as error:
            logger.exception("the link to node %d failed", self.peer)
            return _LinkBrokenError(repr(error))

    async def _converse(self) -> _LinkBrokenError:
        """Returns why a stream that was up ended; raises _LinkBrokenError when there was none."""
        channel = grpc.aio.insecure_channel(_target(self.address), options=_options(self._limits))
        try:
            call: Any = channel.stream_stream(METHOD)()
            welcome = await self._greet(call)
            try:
                self._begin(welcome)
                broken = await self._write_all(call)
                logger.info("the connection to node %d broke: %s", self.peer, broken)
                return broken
            finally:
                self.take_down()
        finally:
            await channel.close()

    async def _greet(self, call: Any) -> Welcome:
        try:
            async with asyncio.timeout(self._limits.greeting_timeout_ms / 1000):
                await call.write(encode_hello(self._owner.hello_to(self.peer)))
                answer = await call.read()
            if answer is grpc.aio.EOF:
                raise _LinkBrokenError("it closed the stream without a word")
            welcome = decode_welcome(answer)
        except TimeoutError:
            raise _LinkBrokenError(f"no answer in {self._limits.greeting_timeout_ms} ms") from None
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError, MalformedBatchError) as error:
            raise await _reason(call, error) from error
        if welcome.node_id != self.peer:
            raise _LinkBrokenError(f"node {welcome.node_id} answers there", is_refusal=True)
        return welcome

    def _begin(self, welcome: Welcome) -> None:
        self.is_up = self._was_up = True
        self._last_refusal = ""
        self._outbox.drop_older(self._now_ms() - self._limits.queue_age_ms_max)
        self._lost_before = self._outbox.lost
        logger.info("connected to node %d at %s:%d", self.peer, *self.address)
        self._owner.on_link_up(welcome)

    async def _write_all(self, call: Any) -> _LinkBrokenError:
        """Until the stream breaks."""
        # The only thing that still comes from the other side is the end.
        call.add_done_callback(lambda _: self._work.set())
        outbox, work, write_bytes_max = self._outbox, self._work, self._limits.write_bytes_max
        try:
            while not call.done():
                batch = outbox.take(write_bytes_max)
                if batch:
                    await call.write(encode_batch(batch))
                    continue
                self._lost_before = outbox.lost
                work.clear()
                await work.wait()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            return await _reason(call, error)
        return await _reason(call, None)

    def _now_ms(self) -> int:
        return int(self._loop.time() * 1000)


async def _reason(call: Any, error: BaseException | None) -> _LinkBrokenError:
    """Why the call ended, in words."""
    if not call.done():
        return _LinkBrokenError(str(error))
    code: grpc.StatusCode = await call.code()
    details: str = await call.details() or code.name
    return _LinkBrokenError(details, code is grpc.StatusCode.FAILED_PRECONDITION)


def _target(address: Address) -> str:
    host, port = address
    return f"dns:///[{host}]:{port}" if ":" in host else f"dns:///{host}:{port}"


def _options(limits: TransportLimits) -> list[tuple[str, Any]]:
    return [
        ("grpc.max_send_message_length", limits.message_bytes_max),
        ("grpc.max_receive_message_length", limits.message_bytes_max),
        ("grpc.keepalive_time_ms", limits.keepalive_ms),
        ("grpc.keepalive_timeout_ms", limits.keepalive_timeout_ms),
        ("grpc.http2.ping_timeout_ms", limits.keepalive_timeout_ms),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.enable_http_proxy", 0),  # a proxy for the world is none for the neighbours
        ("grpc.enable_retries", 0),
        ("grpc.use_local_subchannel_pool", 1),  # see the module's docstring
    ]
