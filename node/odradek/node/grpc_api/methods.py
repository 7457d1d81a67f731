"""What a gRPC service of this node is made of: its methods, and what a method is given.

A servicer is a plain class: its methods take a `Call` and a request message and return a response message, or raise
`RefusalError`. They know no server, so tests (and a simulation) call them as they are. Methods with streams get a
`Stream` to read from and write to.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, TypeVar

from google.protobuf.message import Message

from odradek.node.app.context import RequestContext
from odradek.node.controller.image import MetadataImage
from odradek.proto.kafka.errors import ErrorCode

M = TypeVar("M", bound=Message)
Request = TypeVar("Request", bound=Message, contravariant=True)
Response = TypeVar("Response", bound=Message, covariant=True)


class Call:
    """One call of a client: who asks, and until when it waits.

    `deadline_s` is on the clock of the event loop; None where the client waits for ever. `is_forwarded`: another node
    passed it on, which is not to be done twice.
    """

    __slots__ = ("context", "deadline_s", "is_forwarded", "now_s")

    def __init__(
        self,
        context: RequestContext,
        now_s: Callable[[], float],
        deadline_s: float | None = None,
        *,
        is_forwarded: bool = False,
    ) -> None:
        self.context = context
        self.now_s = now_s
        self.deadline_s = deadline_s
        self.is_forwarded = is_forwarded

    def timeout_ms(self, default_ms: int) -> int:
        """How long the work may take: what is left of the client's deadline, else `default_ms`."""
        if self.deadline_s is None:
            return default_ms
        return max(1, int((self.deadline_s - self.now_s()) * 1000))


class Location(Protocol):
    """Where this node is in its cluster: `odradek.node.controller.controller.Controller`."""

    node_id: int

    @property
    def image(self) -> MetadataImage: ...
    @property
    def active_controller_id(self) -> int | None: ...


class OtherNodes(Protocol):
    """`odradek.node.grpc_api.forwarding.UnaryForwarder`."""

    async def ask(
        self, node_id: int, path: str, call: Call, request: Message, answer: type[M], timeout_s: float
    ) -> M:
        """What another node answers to a part of `call`, which it sees as forwarded. Raises RefusalError."""
        ...


class Stream(Protocol):
    """Both directions of a call."""

    async def read(self) -> Any | None:
        """The next request; None when the client has no more."""

    async def write(self, response: Message) -> None:
        """Returns when the transport wants more: a client that does not read holds this up."""


class Shape(Enum):
    UNARY = "unary"
    CLIENT_STREAM = "client_stream"
    BIDIRECTIONAL = "bidirectional"


Where = Callable[[Any], int | None]
"""The node that has to carry out a request; None while nobody knows. Without a `Where`: this one."""


@dataclass(frozen=True, slots=True)
class Method:
    """`call` takes (call, request), or (call, stream) for streams; a CLIENT_STREAM returns its one response. `nobody`
    is the error while `where` knows of nobody."""

    name: str
    request: type[Message]
    call: Callable[[Call, Any], Awaitable[Any]]
    shape: Shape = Shape.UNARY
    where: Where | None = None
    nobody: ErrorCode = ErrorCode.NOT_CONTROLLER
    bytes_max: int | None = None
    """Of a request, where that is less than the node's limit; a larger one is never parsed."""
    parse: Callable[[bytes], Any] | None = None
    """Instead of protobuf's own."""


class Oversized:
    """Stands for a request that was not parsed."""

    __slots__ = ("size",)

    def __init__(self, size: int) -> None:
        self.size = size


class Servicer(Protocol):
    @property
    def service(self) -> str:
        """The full name, such as "odradek.v1.LogService"."""

    def methods(self) -> list[Method]: ...
