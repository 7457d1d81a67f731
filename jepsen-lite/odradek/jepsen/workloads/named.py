"""Requests of one producer name: numbered, one at a time, and sent again until somebody says what became of them.

Decides: what is in a request, and what its operations become at the end. Does not decide: how it is sent. No clock, no
I/O.

The API (record_service.proto): records under a name are numbered 0, 1, 2, ...; a request that is sent again repeats
its number with the same records, and is written once. A request that was given up may have been written or not: the
next one takes the next number all the same, since for these names a gap is in sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from odradek.jepsen.history import Type
from odradek.jepsen.outcomes import outcome


class Sent(NamedTuple):
    """One record of a request: an operation of its own."""

    op: int
    key: str
    value: int


class NamedRequest:
    """One request until its end. All of its records are in one topic."""

    def __init__(self, sequence: int, records: Sequence[Sent]) -> None:
        self.sequence = sequence
        self.records = records
        self.attempts = 0
        self._is_unknown = False

    @property
    def next_sequence(self) -> int:
        return self.sequence + len(self.records)

    def failed(self, error: str) -> Type | None:
        """An attempt ended with that error. Returns fail if the records were certainly not written, info if it makes no
        sense to send them again; None: send them again."""
        self.attempts += 1
        kind = outcome("grpc", "publish", error, unknown_before=self._is_unknown)
        if error not in FINAL:
            self._is_unknown = self._is_unknown or kind == "info"
            return None
        return kind

    def given_up(self, error: str) -> Type:
        """What the operations are when there is no time for another attempt; `error` is that of the last one."""
        return outcome("grpc", "publish", error, unknown_before=self._is_unknown)


#: Errors that another attempt cannot mend. After all others, also those that nobody has heard of, it is sent again.
FINAL = frozenset(
    {
        "INVALID_ARGUMENT",
        "INVALID_RECORD",
        "INVALID_TIMESTAMP",
        "MESSAGE_TOO_LARGE",
        "OUT_OF_ORDER_SEQUENCE_NUMBER",
        "TOPIC_AUTHORIZATION_FAILED",
        "UNIMPLEMENTED",
    }
)
