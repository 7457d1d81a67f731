"""Blocks of producer ids: each id belongs to one broker once, whatever crashes.

Decides the size of a block and the record that gives it away. A broker hands out single ids of its block from
memory; the rest of a block is lost with the broker, which costs nothing: there are 2**63.

Source: KIP-730.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from odradek.node.controller.image import MetadataImage
from odradek.node.controller.isr import broker_epoch_error
from odradek.node.controller.records import ProducerIdsRecord, Result
from odradek.proto.kafka.errors import ErrorCode

PRODUCER_IDS_PER_BLOCK: Final = 1000
_PRODUCER_ID_MAX: Final = 2**63 - 1


def allocate_block(image: MetadataImage, broker_id: int, count: int) -> Result[int]:
    """Gives `count` ids to the broker; the response is the first of them."""
    first = image.next_producer_id
    assert count > 0 and first <= _PRODUCER_ID_MAX - count, (first, count)
    return Result([ProducerIdsRecord(broker_id=broker_id, next_producer_id=first + count)], first)


@dataclass(frozen=True, slots=True)
class ProducerIdBlock:
    """`count` ids from `first` on; both -1 and 0 where there is an error."""

    error: ErrorCode = ErrorCode.NONE
    first: int = -1
    count: int = 0


def allocate_for(image: MetadataImage, broker_id: int, broker_epoch: int) -> Result[ProducerIdBlock]:
    """Gives a block to a broker, which must be registered with this epoch."""
    if broker_epoch_error(image, broker_id, broker_epoch) is not None:
        return Result([], ProducerIdBlock(ErrorCode.STALE_BROKER_EPOCH))
    given = allocate_block(image, broker_id, PRODUCER_IDS_PER_BLOCK)
    return Result(given.records, ProducerIdBlock(first=given.response, count=PRODUCER_IDS_PER_BLOCK))
