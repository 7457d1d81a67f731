"""Envelope: requests that another broker passes on to the active controller.

Keys: 58. Versions: 0. Behaviour: the request inside is carried out as if its client had connected here, with its
principal, address and listener; the answer goes back encoded. NOT_CONTROLLER where this node is not the active one,
or was not until the end, so that the other broker looks for the next. Served on the listener among brokers alone, and
not advertised. Version notes: none. Not implemented: nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from odradek.node.app.context import RequestContext
from odradek.node.kafka_api.envelope import Forwarded, IdentityError, unwrap
from odradek.node.kafka_api.error_codes import has_error
from odradek.node.kafka_api.registry import CloseConnection, Outcome, Registry, Route, settled
from odradek.proto.kafka.api import ApiKey
from odradek.proto.kafka.codec import decode
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.headers import encode_response_frame
from odradek.proto.kafka.messages.controller import EnvelopeRequest, EnvelopeResponse
from odradek.proto.kafka.primitives import DecodeError
from odradek.proto.kafka.schema import Message

_SIZE_BYTES = 4


class ControllerLocation(Protocol):
    """The controller of this node."""

    @property
    def is_active(self) -> bool: ...


class EnvelopeHandlers:
    """`registry` gives all routes, once they are in; `listener` is the name of the one among brokers."""

    def __init__(self, registry: Callable[[], Registry], location: ControllerLocation, listener: str) -> None:
        self._registry = registry
        self._location = location
        self._listener = listener

    def routes(self) -> list[Route]:
        return [Route(ApiKey.ENVELOPE, 0, 0, self.envelope, inter_broker=True)]

    async def envelope(self, context: RequestContext, request: EnvelopeRequest, version: int) -> Outcome:
        if context.listener != self._listener:
            return EnvelopeResponse(error_code=ErrorCode.CLUSTER_AUTHORIZATION_FAILED)
        if not self._location.is_active:
            return EnvelopeResponse(error_code=ErrorCode.NOT_CONTROLLER)
        try:
            forwarded = unwrap(request, context)
            found = self._find(forwarded)
        except IdentityError:
            return EnvelopeResponse(error_code=ErrorCode.PRINCIPAL_DESERIALIZATION_FAILURE)
        except DecodeError:
            return EnvelopeResponse(error_code=ErrorCode.INVALID_REQUEST)
        if isinstance(found, ErrorCode):
            return EnvelopeResponse(error_code=found)
        route, inner = found
        header = forwarded.header
        outcome = await settled(route.call(forwarded.context, inner, header.api_version))
        assert outcome is not None and not isinstance(outcome, CloseConnection), (route.key, outcome)
        assert isinstance(outcome, Message), (route.key, outcome)
        if has_error(outcome, ErrorCode.NOT_CONTROLLER):
            return EnvelopeResponse(error_code=ErrorCode.NOT_CONTROLLER)
        frame = encode_response_frame(header.correlation_id, header.api_key, header.api_version, outcome)
        return EnvelopeResponse(response_data=b"".join(frame)[_SIZE_BYTES:])

    def _find(self, forwarded: Forwarded) -> tuple[Route, Message] | ErrorCode:
        """The route and the decoded request. Raises DecodeError."""
        key, version, _, _ = forwarded.header
        registry = self._registry()
        route = registry.routes.get(key)
        if route is None or not route.to_controller:
            return ErrorCode.INVALID_REQUEST
        if not route.min_version <= version <= route.max_version:
            return ErrorCode.UNSUPPORTED_VERSION
        return route, decode(registry.request_class(key), version, forwarded.data, forwarded.body_offset)
