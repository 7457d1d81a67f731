"""What an operation of a coordinator returns: records to agree on, answers that may leave once they are
agreed, and what to tell the machine at that moment.

Decides nothing; it is the type that makes durability visible. The order is: propose `records`, wait until
they are committed and applied, hand `then` back to the machine, send `replies`. Without records all of it
happens at once.

A request that waits (a join barrier, a sync barrier) is a `Token` that the machine keeps; the answer appears
in the `replies` of whatever operation or deadline ends the wait.

Source: the idea of Kafka's `CoordinatorResult`.
"""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

from odradek.proto.kafka.schema import Message

R_co = TypeVar("R_co", covariant=True)

Token = int
"""Names one request of this shard whose answer is still due; answered exactly once."""


class Instant(NamedTuple):
    """Now, on both clocks: timers follow the monotonic one, records carry the wall's. Both in ms."""

    monotonic_ms: int
    wall_ms: int


class Reply(NamedTuple):
    token: Token
    value: object


class Result(Generic[R_co]):
    """The outcome of one operation whose own answer, now or later, is an R_co. A machine appends to it as it
    works.
    """

    __slots__ = ("records", "replies", "then")

    def __init__(self) -> None:
        self.records: list[Message] = []
        self.replies: list[Reply] = []
        self.then: list[object] = []

    def reply(self, token: Token, value: object) -> None:
        self.replies.append(Reply(token, value))
