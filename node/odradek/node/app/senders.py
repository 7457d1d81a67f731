"""Under which identity the records of a Publish request are written, so that a batch can be sent again safely.

A sender with a name numbers its records itself; the name's hash is its producer id, from the range of sparse producers
(`storage.producer_state`). A request without a name borrows a name of the node's own, which no other request has at the
same time: then the node can send its batches again when nobody knows what became of them. Numbers of 46 bits: the low
31 are the sequence, the others the producer epoch, so they never come round.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final, NamedTuple

from odradek.proto.kafka.record_batch import MAX_SEQUENCE
from odradek.storage.producer_entry import FIRST_SPARSE_PRODUCER_ID

LENT_MAX: Final = 256
"""Names that are lent at the same time; each takes a place in the producer state of the partitions it writes to."""
_EPOCH_SHIFT: Final = 31
NUMBER_MAX: Final = (1 << 46) - 1


class Identity(NamedTuple):
    """A producer id, and the number of the first record of a request."""

    producer_id: int
    number: int

    def at(self, place: int) -> tuple[int, int, int]:
        """Producer id, epoch and sequence of the batch that begins with the record at `place` of the request."""
        number = self.number + place
        return self.producer_id, number >> _EPOCH_SHIFT, number & MAX_SEQUENCE


class _Lendable:
    __slots__ = ("next_number", "producer_id")

    def __init__(self, producer_id: int) -> None:
        self.producer_id = producer_id
        self.next_number = 0


class Senders:
    """`prefix` begins the names of this node's own: another one in every life of every node."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._free: list[_Lendable] = []
        self._count = 0
        self._lent: dict[int, _Lendable] = {}

    def borrow(self, record_count: int) -> Identity | None:
        """For a request of so many records, until `give_back`. None: too many are lent."""
        if self._free:
            lendable = self._free.pop()
        elif self._count < LENT_MAX:
            lendable = _Lendable(producer_id_of(f"{self._prefix}-{self._count}"))
            self._count += 1
        else:
            return None
        identity = Identity(lendable.producer_id, lendable.next_number)
        lendable.next_number += record_count
        self._lent[identity.producer_id] = lendable
        return identity

    def give_back(self, identity: Identity) -> None:
        """The request is over, whatever became of it: its numbers are not used again."""
        self._free.append(self._lent.pop(identity.producer_id))


def producer_id_of(name: str) -> int:
    """The id under which the log knows a sender by name: 62 bits of a hash, beyond all ids that are allocated."""
    hashed = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big")
    return FIRST_SPARSE_PRODUCER_ID | hashed >> 2
