"""One request through a handler as the session would pass it: encoded, decoded, handled, encoded, decoded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from tests.unit.node.app.data_path import CONTEXT, World

from odradek.node.runtime.deferred import Deferred
from odradek.proto.kafka.codec import decode, encode
from odradek.proto.kafka.schema import Message

R = TypeVar("R", bound=Message)


def _bytes(message: Message, version: int) -> bytearray:
    return bytearray(b"".join(encode(message, version)))


def call(
    handle: Callable[..., Any],
    request: Message,
    version: int,
    response_class: type[R],
    world: World | None = None,
) -> R:
    """The response as a client of `version` reads it; what waits is answered by one flush of `world`."""
    answer = handle(CONTEXT, decode(type(request), version, _bytes(request, version)), version)
    if isinstance(answer, Deferred):
        if not answer.done:
            assert world is not None, "the handler waits for something"
            world.flush()
        answer = answer.value
    assert isinstance(answer, response_class), answer
    return decode(response_class, version, _bytes(answer, version))
