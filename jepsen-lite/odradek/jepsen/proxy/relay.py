"""Proxied connections: sockets and timers around an `Exchange`.

Decides: nothing that a test would want to vary; it does what deliveries say when their time has come, keeps bytes of
one direction in order, and stops reading where too much is under way.
Ends: when one side closes, what it sent before still arrives, and then the other side is closed. A request that was
held back arrives whatever has become of its client, and its connection to the target stays until it is answered.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from typing import cast

from odradek.jepsen.proxy.exchange import Exchange, LinkState
from odradek.jepsen.proxy.pace import Delivery

CONNECT_TIMEOUT_S = 10.0
#: How long a connection without a client waits for the answer of a late request, and a replay for its own.
LINGER_S = 5.0
#: Bytes under way in one direction, above which its source is not read.
PENDING_BYTES_MAX = 8 * 1024 * 1024
_ABORT = struct.pack("ii", 1, 0)


def now_ms() -> float:
    return time.monotonic() * 1000.0


def abort(transport: asyncio.Transport) -> None:
    """Close with a reset, whatever is still to be written."""
    found = transport.get_extra_info("socket")
    if found is not None and not transport.is_closing():
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
    transport.abort()


class End(asyncio.Protocol):
    """One of the two sockets of a connection."""

    def __init__(self, conduit: Conduit, is_client: bool) -> None:
        self._conduit = conduit
        self._is_client = is_client
        self.transport: asyncio.Transport | None = None

    @property
    def is_open(self) -> bool:
        return self.transport is not None and not self.transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if self._is_client:
            self._conduit.dial()

    def data_received(self, data: bytes) -> None:
        self._conduit.on_data(data, self._is_client)

    def eof_received(self) -> bool:
        self._conduit.on_end(self._is_client)
        return True  # it is closed when the other side has heard of it

    def connection_lost(self, error: Exception | None) -> None:
        self._conduit.on_lost(self._is_client)

    def pause_writing(self) -> None:
        self._conduit.lane(not self._is_client).set_full(True)

    def resume_writing(self) -> None:
        self._conduit.lane(not self._is_client).set_full(False)

    def write(self, data: bytes) -> bool:
        if self.transport is None or self.transport.is_closing():
            return False
        self.transport.write(data)
        return True

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        if self.transport is not None:
            abort(self.transport)


class Lane:
    """What is under way in one direction."""

    def __init__(self, conduit: Conduit, source: End, sink: End) -> None:
        self._conduit = conduit
        self._source = source
        self.sink = sink
        self._queue: deque[Delivery] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._pending_bytes = 0
        self._is_full = False
        self._is_paused = False
        #: The source will send no more; `on_done` comes when all it sent has left.
        self.has_ended = False
        self._is_done = False

    @property
    def is_empty(self) -> bool:
        return not self._queue

    @property
    def has_late(self) -> bool:
        return any(delivery.late for delivery in self._queue)

    def push(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            if delivery.kind == "replay":
                self._conduit.carry_out(delivery, self)  # it goes its own way, and holds up nobody
                continue
            self._queue.append(delivery)
            self._pending_bytes += len(delivery.data)
        self._run()

    def end(self) -> None:
        self.has_ended = True
        self._run()

    def connected(self) -> None:
        """The sink is there; what came before it waits. (Reading could be paused, but not before it has begun.)"""
        self._run()

    def set_full(self, is_full: bool) -> None:
        self._is_full = is_full
        self._flow()

    def release_late(self) -> None:
        """Everything up to the last held request leaves now; the rest is dropped."""
        place = max((place for place, delivery in enumerate(self._queue) if delivery.late), default=-1)
        kept = [delivery for delivery in list(self._queue)[: place + 1] if delivery.kind == "deliver"]
        self._queue.clear()
        self.push([delivery._replace(at_ms=0.0) for delivery in kept])

    def drop(self) -> None:
        self._queue.clear()
        self._pending_bytes = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        self._timer = None
        self._run()

    def _run(self) -> None:
        queue = self._queue
        if self.sink.transport is None:
            self._flow()
            return  # until `connected`
        now = now_ms()
        while queue and queue[0].at_ms <= now:
            delivery = queue.popleft()
            self._pending_bytes -= len(delivery.data)
            self._conduit.carry_out(delivery, self)
        if queue:
            if self._timer is not None:
                self._timer.cancel()
            wait_s = (queue[0].at_ms - now) / 1000.0
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._on_timer)
        elif self.has_ended and not self._is_done:
            self._is_done = True
            self._conduit.on_done(self)
        self._flow()

    def _flow(self) -> None:
        """Read from the source, or do not."""
        pause = self._is_full or self._pending_bytes > PENDING_BYTES_MAX
        transport = self._source.transport
        if pause == self._is_paused or transport is None or transport.is_closing():
            return
        self._is_paused = pause
        if pause:
            transport.pause_reading()
        else:
            transport.resume_reading()


class Conduit:
    """One proxied connection: the client's end, the target's, and a lane for each direction."""

    def __init__(
        self, state: LinkState, ordinal: int, target: tuple[str, int], on_closed: Callable[[Conduit], None]
    ) -> None:
        self._state = state
        self._target = target
        self._on_closed = on_closed
        self._exchange = Exchange(state, ordinal)
        self.client = End(self, is_client=True)
        self._server = End(self, is_client=False)
        self._up = Lane(self, self.client, self._server)
        self._down = Lane(self, self._server, self.client)
        self._dialling: asyncio.Task[None] | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._replays: dict[int, tuple[asyncio.TimerHandle, bytes]] = {}
        self._replay_number = 0
        self._replaying: set[asyncio.Task[None]] = set()
        self._is_up_done = False
        self._is_over = False

    def lane(self, upwards: bool) -> Lane:
        return self._up if upwards else self._down

    def dial(self) -> None:
        self._dialling = asyncio.get_running_loop().create_task(self._dial())

    async def _dial(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await loop.create_connection(lambda: self._server, *self._target)
        except (OSError, TimeoutError):
            self._state.counts["not_connected"] += 1
            self._dialling = None
            self.abort()
            self._look_whether_over()
            return
        self._dialling = None
        if self._is_over:
            self._server.abort()
        self._up.connected()

    def on_data(self, data: bytes, upwards: bool) -> None:
        lane, exchange = self.lane(upwards), self._exchange
        if lane.is_empty and exchange.is_idle and lane.sink.transport is not None:
            self._state.counts["bytes_up" if upwards else "bytes_down"] += len(data)
            lane.sink.write(data)
            return
        now = now_ms()
        lane.push(exchange.up(data, now) if upwards else exchange.down(data, now))
        if self._is_up_done and not exchange.waits_for_late:
            self._finish()

    def on_end(self, upwards: bool) -> None:
        """A side has sent its last byte."""
        pace = self._state.behaviour.up if upwards else self._state.behaviour.down
        if pace.swallow:
            self._exchange.has_swallowed = True
            return
        lane = self.lane(upwards)
        lane.push(self._exchange.rest(upwards, now_ms()))
        lane.end()

    def on_lost(self, was_client: bool) -> None:
        if not self._is_over:
            self.on_end(was_client)
        self._look_whether_over()

    def _look_whether_over(self) -> None:
        if not self._is_over and not self.client.is_open and not self._server.is_open:
            self._is_over = not self._is_waiting
            if self._is_over:
                self._on_closed(self)

    @property
    def _is_waiting(self) -> bool:
        """Something is still to happen although both ends are closed."""
        return self._dialling is not None or bool(self._replays) or bool(self._replaying)

    def on_done(self, lane: Lane) -> None:
        """All that one side sent has left, and no more will come."""
        if lane is self._down:
            self.client.close()
            if not self._up.has_late:
                self._server.close()
        elif self._exchange.waits_for_late and self._server.is_open:
            self._is_up_done = True
            loop = asyncio.get_running_loop()
            self._linger = loop.call_later(LINGER_S, self._finish)
        else:
            self._finish()

    def _finish(self) -> None:
        """The target hears that the client is gone, or (half a close) that it will send no more."""
        if self._linger is not None:
            self._linger.cancel()
        transport = self._server.transport
        if self.client.is_open and transport is not None and not transport.is_closing():
            transport.write_eof()
        else:
            self._server.close()

    def carry_out(self, delivery: Delivery, lane: Lane) -> None:
        counts = self._state.counts
        if delivery.kind == "deliver":
            has_left = lane.sink.write(delivery.data)
            if delivery.late and has_left:
                counts["delivered_late"] += 1
                if lane.has_ended or not self.client.is_open:
                    counts["delivered_after_close"] += 1
            elif not has_left:
                counts["undelivered"] += 1
        elif delivery.kind == "replay":
            loop = asyncio.get_running_loop()
            self._replay_number += 1
            wait_s = max(0.0, delivery.at_ms - now_ms()) / 1000.0
            timer = loop.call_later(wait_s, self._start_replay, self._replay_number)
            self._replays[self._replay_number] = (timer, delivery.data)
        elif delivery.kind == "cut":
            self.client.abort()
        else:
            self.abort()

    def _start_replay(self, number: int) -> None:
        timer, frame = self._replays.pop(number)
        timer.cancel()
        task = asyncio.get_running_loop().create_task(self._replay(frame))
        self._replaying.add(task)
        task.add_done_callback(self._on_replayed)

    async def _replay(self, frame: bytes) -> None:
        """What a client would do that tries again by another connection."""
        try:
            async with asyncio.timeout(LINGER_S):
                reader, writer = await asyncio.open_connection(*self._target)
                try:
                    writer.write(frame)
                    self._state.counts["replayed"] += 1
                    size = int.from_bytes(await reader.readexactly(4))
                    await reader.readexactly(size)
                    self._state.counts["replays_answered"] += 1
                finally:
                    writer.close()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            self._state.counts["replays_unanswered"] += 1

    def _on_replayed(self, task: asyncio.Task[None]) -> None:
        self._replaying.discard(task)
        self._look_whether_over()

    def change(self) -> bool:
        """The link's behaviour is another. False: this connection had to be reset for it."""
        if self._exchange.change():
            return True
        self.abort()
        return False

    def release(self) -> None:
        """The link goes: the client is reset; what was held back, or is to come twice, arrives now."""
        self.client.abort()
        if self._up.has_late:
            self._up.release_late()
        else:
            self._up.drop()
            if not self._exchange.waits_for_late:
                self._server.abort()
        for number in list(self._replays):
            self._start_replay(number)

    def abort(self) -> None:
        """Both ends are reset, and nothing more is done."""
        self._up.drop()
        self._down.drop()
        if self._linger is not None:
            self._linger.cancel()
        self.client.abort()
        self._server.abort()

    def end(self) -> None:
        """As `abort`, without waiting for what is still to come twice."""
        self._is_over = True
        for timer, _ in self._replays.values():
            timer.cancel()
        self._replays.clear()
        for task in [*self._replaying, *([self._dialling] if self._dialling else [])]:
            task.cancel()
        self.abort()
        self._on_closed(self)
