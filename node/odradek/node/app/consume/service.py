"""Consume: readers that have nothing but a stream, at any node.

Decides: which readers there are, that they hear of new metadata, that they end when the node does, and what becomes of
a place in a group when its stream breaks: who has an `instance_id` may be coming back, and is waited for a moment.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Set
from typing import Any, Final

from odradek.node.app.consume.consumer import Consumer, Surroundings
from odradek.node.app.consume.values import Assignment, ConsumeError, Sink, Subscription
from odradek.node.app.context import RequestContext
from odradek.proto.kafka.errors import ErrorCode

RECONNECT_GRACE_S: Final = 2.0
STOP_TIMEOUT_S: Final = 2.0

log = logging.getLogger(__name__)


class ConsumeService:
    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._consumers: set[Consumer] = set()
        self._farewells: set[asyncio.Task[None]] = set()
        self._is_stopping = False

    def __len__(self) -> int:
        """Readers now."""
        return len(self._consumers)

    def open(self, context: RequestContext, what: Subscription | Assignment, sink: Sink) -> Consumer:
        """A reader, for `serve`."""
        return Consumer(context, what, self._around, sink)

    async def serve(self, consumer: Consumer) -> None:
        """Until the reader ends it. Raises ConsumeError; may be cancelled when the reader is gone."""
        if self._is_stopping:
            raise ConsumeError(ErrorCode.BROKER_NOT_AVAILABLE, "the node stops")
        self._consumers.add(consumer)
        try:
            await consumer.run()
            if not await consumer.farewell("the reader ended its stream", leaves=True):
                raise ConsumeError(
                    ErrorCode.COORDINATOR_NOT_AVAILABLE, "what was acknowledged last is not committed"
                )
        except ConsumeError as error:
            if error.error is ErrorCode.NETWORK_EXCEPTION:
                self._part(consumer, self._on_broken(consumer))
                raise
            # Whoever was fenced has no place any more, and whoever took it wants to keep it.
            is_own = error.error is not ErrorCode.FENCED_INSTANCE_ID
            self._part(
                consumer, consumer.farewell("the stream failed", leaves=is_own and not self._is_stopping)
            )
            raise
        except BaseException:
            self._part(consumer, self._on_broken(consumer))
            raise
        finally:
            self._consumers.discard(consumer)

    def on_image(self, changed: Set[str]) -> None:
        """Topics of these names came, went or changed."""
        for consumer in list(self._consumers):
            if consumer.is_about(changed):
                consumer.on_metadata()

    async def stop(self) -> None:
        """All readers are told to go elsewhere."""
        self._is_stopping = True
        for consumer in list(self._consumers):
            consumer.fail(ConsumeError(ErrorCode.BROKER_NOT_AVAILABLE, "the node stops"))
        deadline_s = asyncio.get_running_loop().time() + STOP_TIMEOUT_S
        while self._consumers or self._farewells:
            waiting = list(self._farewells)
            left_s = deadline_s - asyncio.get_running_loop().time()
            if left_s <= 0:
                break
            await (asyncio.wait(waiting, timeout=left_s) if waiting else asyncio.sleep(0.01))
        for task in self._farewells:
            task.cancel()

    async def _on_broken(self, consumer: Consumer) -> None:
        membership = consumer.membership
        if membership is not None and consumer.may_come_back and not self._is_stopping:
            await consumer.farewell("", leaves=False)
            await asyncio.sleep(RECONNECT_GRACE_S)
        await consumer.farewell("the stream broke", leaves=True)

    def _part(self, consumer: Consumer, work: Coroutine[Any, Any, object]) -> None:
        async def part() -> None:
            try:
                await work
            except Exception:  # the boundary of this task: the group does without
                log.exception("a reader could not be taken out of its group cleanly")

        task = asyncio.get_running_loop().create_task(part())
        self._farewells.add(task)
        task.add_done_callback(self._farewells.discard)
