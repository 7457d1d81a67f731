"""What there is to say about values: their defaults, and what an end says."""

from __future__ import annotations

from odradek.node.app.consume.values import (
    UNKNOWN_POSITION,
    ConsumeError,
    OffsetReset,
    Position,
    Subscription,
)
from odradek.node.app.list_offsets import EARLIEST, LATEST
from odradek.proto.kafka.errors import ErrorCode


def test_an_end_says_its_reason() -> None:
    assert str(ConsumeError(ErrorCode.FENCED_INSTANCE_ID)) == "FENCED_INSTANCE_ID"
    assert str(ConsumeError(ErrorCode.FENCED_INSTANCE_ID, "in words")) == "in words"


def test_nothing_said_is_from_the_beginning() -> None:
    assert Subscription(frozenset("t")).offset_reset is OffsetReset.EARLIEST
    assert Position() == (UNKNOWN_POSITION, EARLIEST)
    assert {one.value for one in OffsetReset} == {EARLIEST, LATEST, None}
