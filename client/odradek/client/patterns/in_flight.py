"""Records that are being handled at the same time, and how far their partitions are done. Pure.

A log remembers one offset for each partition: everything before it is done. Records that are handled side by side
finish in any order, so what may be acknowledged is the last record of the finished prefix.

Invariant: `finish` never returns a record behind one of its partition that began and has not finished.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

from odradek.client.records import ConsumerRecord, TopicPartition


class Ticket:
    """One record that is being handled."""

    __slots__ = ("is_finished", "record")

    def __init__(self, record: ConsumerRecord) -> None:
        self.record = record
        self.is_finished = False


class InFlight:
    def __init__(self) -> None:
        self._tickets: dict[TopicPartition, deque[Ticket]] = {}

    def __len__(self) -> int:
        """Records that began and are not acknowledged, among them those that finished out of turn."""
        return sum(map(len, self._tickets.values()))

    def begin(self, record: ConsumerRecord) -> Ticket:
        """Call it in the order in which records are read."""
        ticket = Ticket(record)
        self._tickets.setdefault(record.topic_partition, deque()).append(ticket)
        return ticket

    def finish(self, ticket: Ticket) -> ConsumerRecord | None:
        """The record that is to be acknowledged now, with all before it; None: an earlier one is not finished, or
        the partition was taken away meanwhile."""
        ticket.is_finished = True
        tickets = self._tickets.get(ticket.record.topic_partition)
        last: ConsumerRecord | None = None
        while tickets and tickets[0].is_finished:
            last = tickets.popleft().record
        return last

    def keep_only(self, partitions: Collection[TopicPartition]) -> None:
        """Other partitions are somebody else's now: what is unfinished there will be read again."""
        for tp in [tp for tp in self._tickets if tp not in partitions]:
            del self._tickets[tp]
