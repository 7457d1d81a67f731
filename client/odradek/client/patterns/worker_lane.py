"""Reads records and has them handled, several at once: the shell under queue, subscriber, responder and participant.

Decides: how many records are under way (`window`), and when one is acknowledged: when it and all before it in its
partition are finished. Does not decide: what a failure of the handler means; an error that leaves it ends the lane, and
what was not finished is read again by whoever reads on.

With a window of 1 records are handled in the order of their partitions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias, cast

from odradek.client.patterns.in_flight import InFlight, Ticket
from odradek.client.patterns.log_access import Log, Reader
from odradek.client.patterns.service import first_of
from odradek.client.records import ConsumerRecord, TopicPartition

if TYPE_CHECKING:
    from odradek.client.consumer import ConsumerSettings

Handle: TypeAlias = Callable[[ConsumerRecord], Awaitable[bool]]
"""True: the record is dealt with. False: leave it, it is to be read again later."""


class WorkerLane:
    def __init__(self, log: Log, handle: Handle, window: int, settings: ConsumerSettings) -> None:
        if window < 1:
            raise ValueError("at least one record has to be handled at a time")
        self._log = log
        self._handle = handle
        self._settings = settings
        self._window = window
        self._acknowledges = bool(settings.get("group_id"))
        self._room = asyncio.Semaphore(window)
        self._in_flight = InFlight()
        self._ready = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._is_stopping = False

    async def run(self) -> None:
        # What waits in this process is read again by others when partitions move: it should not be much.
        ours: ConsumerSettings = {
            "credit": max(2, 2 * self._window),
            "auto_commit": False,
            "on_assigned": self._on_assigned,
        }
        settings = cast("ConsumerSettings", {**self._settings, **ours})
        try:
            async with self._log.reader(**settings) as reader, asyncio.TaskGroup() as group:
                if not self._is_stopping:
                    self._reading = group.create_task(self._read(reader, group))
        except BaseExceptionGroup as failed:
            raise first_of(failed) from None

    async def ready(self) -> None:
        await self._ready.wait()

    def stop(self) -> None:
        self._is_stopping = True
        self._ready.set()
        if self._reading is not None:
            self._reading.cancel()

    async def _read(self, reader: Reader, group: asyncio.TaskGroup) -> None:
        async for record in reader:
            ticket = self._in_flight.begin(record)
            await self._room.acquire()
            group.create_task(self._work(reader, ticket))

    async def _work(self, reader: Reader, ticket: Ticket) -> None:
        try:
            is_finished = await self._handle(ticket.record)
        finally:
            self._room.release()
        if is_finished:
            last = self._in_flight.finish(ticket)
            if last is not None and self._acknowledges:
                reader.acknowledge(last)

    def _on_assigned(self, partitions: Sequence[TopicPartition]) -> None:
        self._in_flight.keep_only(frozenset(partitions))
        self._ready.set()
