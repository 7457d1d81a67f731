"""Messages: values that nobody changes, and none that the core does not know."""

from dataclasses import FrozenInstanceError, fields
from typing import get_args

import pytest

from odradek.raft.core.messages import FromLeader, HeartbeatResponse, Message
from odradek.raft.core.raft import _HANDLERS


def test_every_message_has_a_handler_and_an_envelope() -> None:
    kinds = set(get_args(Message))
    assert kinds == set(_HANDLERS)
    assert set(get_args(FromLeader)) < kinds
    for kind in kinds:
        assert [field.name for field in fields(kind)][:3] == ["sender", "to", "term"]


def test_messages_are_frozen() -> None:
    message = HeartbeatResponse(1, 2, 3)
    with pytest.raises(FrozenInstanceError):
        message.term = 4  # type: ignore[misc]  # the point of the test
