"""Which API keys this node serves, in which versions, and by whom: the single source of the ApiVersions answer,
of the dispatch table and of the README's table.

Invariant: what is advertised is served, and nothing else is dispatched. The one exception is Produce, whose
advertised minimum is 0 although versions 0 to 2 are refused (KAFKA-18659: older librdkafka silently stops
compressing otherwise). What is for other nodes is served and not advertised.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple

from odradek.node.app.context import RequestContext
from odradek.node.runtime.deferred import Deferred
from odradek.proto.kafka import api
from odradek.proto.kafka.api import ApiKey
from odradek.proto.kafka.schema import Message
from odradek.storage.durations import Durations, new_durations


class CloseConnection(Exception):
    """An answer where the protocol leaves no other (a failed acks=0 produce): close, no reply."""


class EncodedResponse:
    """A response as another node has encoded it, from its header (the correlation id) on."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


Outcome = Message | CloseConnection | EncodedResponse | None
"""What a request ends in; None is no response at all (acks=0)."""

Answer = Message | Deferred[Outcome] | Awaitable[Outcome]
"""A response now, an outcome later without a task, or a coroutine (one task)."""

Call = Callable[[RequestContext, Any, int], Any]
"""`call(context, request, version)` returns an `Answer`; the request is an instance of the key's request class."""


class Route(NamedTuple):
    """`to_controller`: only the active controller can carry it out, other nodes pass it on to that. `inter_broker`:
    for other nodes, on the listener among brokers; not advertised."""

    key: ApiKey
    min_version: int
    max_version: int
    call: Call
    to_controller: bool = False
    inter_broker: bool = False


async def settled(answer: Answer) -> Outcome:
    """What an answer comes to, whichever form it has."""
    if isinstance(answer, Deferred):
        return await answer.wait()
    if answer is None or isinstance(answer, (Message, CloseConnection)):
        return answer
    return await answer


class Registry:
    """Routes by API key; request classes are imported when their key is first asked for."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes: dict[int, Route] = {}
        self.durations: dict[int, Durations] = {}
        """By API key: from the arrival of a request to its answer, waits included."""
        self._classes: dict[int, type[Message]] = {}
        for route in routes:
            assert route.key not in self.routes, f"two handlers for {route.key.name}"
            self.routes[int(route.key)] = route
            self.durations[int(route.key)] = new_durations()

    def request_class(self, key: int) -> type[Message]:
        cls = self._classes.get(key)
        if cls is None:
            cls = self._classes[key] = api.request_class(ApiKey(key))
        return cls

    def advertised(self) -> list[tuple[int, int, int]]:
        """`(api key, min version, max version)` in key order, as ApiVersions lists them."""
        return [
            (key, 0 if route.key is ApiKey.PRODUCE else route.min_version, route.max_version)
            for key, route in sorted(self.routes.items())
            if not route.inter_broker
        ]
