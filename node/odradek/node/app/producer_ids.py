"""InitProducerId: an identity for an idempotent producer.

Decides: a new id with epoch 0, from a block that this node owns. Ids of a block are handed out from memory;
a block is gone with the process, so no id is ever given twice (KIP-730). A transactional id is refused:
this release serves no transactions. A producer that brings an id and an epoch (KIP-360) has lost its
sequence numbers; without a transactional id there is no state that could bump its epoch, so it too gets a
new id.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from odradek.node.controller.controller import ControllerError
from odradek.node.controller.producer_ids import PRODUCER_IDS_PER_BLOCK
from odradek.proto.kafka.errors import ErrorCode


class ProducerIdSource(Protocol):
    """The controller, as far as it is needed here."""

    async def allocate_producer_ids(self, count: int = ...) -> int: ...


@dataclass(frozen=True, slots=True)
class ProducerIdentity:
    """A producer id and epoch; both -1 where there is an error."""

    error: ErrorCode
    producer_id: int = -1
    producer_epoch: int = -1


class ProducerIdService:
    def __init__(self, source: ProducerIdSource) -> None:
        self._source = source
        self._next = 0
        self._end = 0
        self._block: asyncio.Task[ErrorCode] | None = None

    async def init_producer_id(
        self, transactional_id: str | None, producer_id: int, producer_epoch: int
    ) -> ProducerIdentity:
        """`producer_id`, `producer_epoch`: what the producer has, -1 for a new one."""
        if transactional_id is not None:
            return ProducerIdentity(ErrorCode.INVALID_REQUEST)
        if (producer_id < 0) != (producer_epoch < 0):
            return ProducerIdentity(ErrorCode.INVALID_REQUEST)
        while self._next == self._end:
            error = await self._more()
            if error is not ErrorCode.NONE:
                return ProducerIdentity(error)
        fresh = self._next
        self._next += 1
        return ProducerIdentity(ErrorCode.NONE, fresh, 0)

    async def _more(self) -> ErrorCode:
        """One new block, however many wait for it, and also when none of them does any more."""
        if self._block is None:
            self._block = asyncio.get_running_loop().create_task(self._fetch_block())
        return await asyncio.shield(self._block)

    async def _fetch_block(self) -> ErrorCode:
        try:
            first = await self._source.allocate_producer_ids(PRODUCER_IDS_PER_BLOCK)
        except ControllerError as error:
            return error.error
        finally:
            self._block = None
        self._next, self._end = first, first + PRODUCER_IDS_PER_BLOCK
        return ErrorCode.NONE
