"""The APIs of the Kafka protocol: keys, version ranges, and the message class of each side.

The families of messages are imported when one of their classes is first asked for: a broker pays for what it
serves. Decides nothing; what is served, and which range is advertised, is the business of a node's registry.
Source: `messages/index.py`, derived from the message definitions of Kafka.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Final, NamedTuple, cast

from odradek.proto.kafka.messages.index import INDEX, ApiKey
from odradek.proto.kafka.schema import Message

__all__ = ["APIS", "Api", "ApiKey", "api", "is_flexible", "request_class", "response_class", "versions"]


class Api(NamedTuple):
    """One API. Versions are inclusive; `flexible_from` is `schema.NO_VERSION` when none is flexible.

    `latest_unstable`: the last version may still change and is not advertised (`last_stable` excludes it).
    """

    key: ApiKey
    name: str
    family: str
    first: int
    last: int
    flexible_from: int
    latest_unstable: bool

    @property
    def last_stable(self) -> int:
        return self.last - 1 if self.latest_unstable else self.last


APIS: Final[dict[int, Api]] = {key: Api(ApiKey(key), *facts) for key, facts in INDEX.items()}
"""Every live API by key. Keys 4 to 7 are not live: no version of them is valid any more."""


def api(key: int) -> Api:
    """Raises KeyError for a key that is not live."""
    return APIS[key]


def versions(key: int) -> tuple[int, int]:
    """First and last version of an API, the unstable one included. Raises KeyError for an unknown key."""
    found = APIS[key]
    return found.first, found.last


def is_flexible(key: int, version: int) -> bool:
    """Whether a version uses compact types and tagged fields. Raises KeyError for an unknown key."""
    return version >= APIS[key].flexible_from


@cache
def request_class(key: int) -> type[Message]:
    """Raises KeyError for an unknown key."""
    return _message_class(key, "Request")


@cache
def response_class(key: int) -> type[Message]:
    """Raises KeyError for an unknown key."""
    return _message_class(key, "Response")


def _message_class(key: int, side: str) -> type[Message]:
    found = APIS[key]
    module = import_module(f"odradek.proto.kafka.messages.{found.family}")
    return cast("type[Message]", getattr(module, found.name + side))
