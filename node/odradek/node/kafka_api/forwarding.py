"""Requests that only the active controller can carry out, passed on to it by any other node.

Decides where such a request goes, how long its client waits, and what the client hears when there is nobody to ask.
The answer comes back as the controller encoded it. What is in an envelope is in `envelope`, how the other side opens
it in `handlers/envelope`.

Leadership moves: a controller that is none any more answers NOT_CONTROLLER and has done nothing, so the request goes
to the next one, until the request's own time is up. A connection that broke leaves open whether the request was
carried out. What comes to the same when it is done twice is sent again, as Kafka's brokers do. What does not (`ONCE`)
is answered with REQUEST_TIMED_OUT then: sent again it might be told of a topic that "exists already", which it has made
itself, or delete one that somebody else has made meanwhile. A controller that is silent is given up as soon as another
one is known.

Source: KIP-590; Kafka's ForwardingManager and NodeToControllerRequestThread, observed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from odradek.node.app.context import RequestContext
from odradek.node.kafka_api.envelope import wrap
from odradek.node.kafka_api.refusals import refusal
from odradek.node.kafka_api.registry import CloseConnection, EncodedResponse, Outcome, Route, settled
from odradek.node.net.peer import PeerNotReachedError
from odradek.proto.kafka.api import ApiKey
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.controller import EnvelopeRequest, EnvelopeResponse
from odradek.proto.kafka.schema import Message

WAIT_MS_MIN: Final = 1_000
"""Even a request that asks not to wait gets so long: an election of a controller is shorter."""
WAIT_MS_MAX: Final = 30_000
PAUSE_MS_MIN: Final = 20
PAUSE_MS_MAX: Final = 200
CATCH_UP_MS: Final = 1_000
"""How long an answer is held back at most until the change is seen here."""
WATCH_MS: Final = 200
"""How often a request under way looks whether its controller still is the one that is known."""

_MESSAGES: Final = {
    ErrorCode.NOT_CONTROLLER: "no active controller was found in time",
    ErrorCode.REQUEST_TIMED_OUT: "the active controller did not answer in time: the change may have been made",
    ErrorCode.UNKNOWN_SERVER_ERROR: "the active controller could not read what was passed on to it",
}

#: Done twice, they are not what was asked for once.
ONCE: Final = frozenset(
    (
        ApiKey.CREATE_TOPICS,
        ApiKey.DELETE_TOPICS,
        ApiKey.CREATE_PARTITIONS,
        ApiKey.ADD_RAFT_VOTER,
        ApiKey.REMOVE_RAFT_VOTER,
    )
)

log = logging.getLogger(__name__)


class ControllerLocation(Protocol):
    """The controller of this node, which hears from Raft who is the active one."""

    @property
    def is_active(self) -> bool: ...
    @property
    def active_controller_id(self) -> int | None:
        """The node that leads the metadata group, None while nobody is known to."""


class PeerRequests(Protocol):
    """`odradek.node.net.peer.Peers`."""

    async def request(self, node_id: int, message: Message, version: int, timeout_ms: int) -> Message:
        """Raises ConnectionError, after which nobody knows whether it was carried out, and TimeoutError."""


async def nothing_to_wait_for() -> None:
    """For who does not mind that this node hears of a change later than its client."""


class Forwarder:
    """Passes requests on from node `node_id`, `node_id` being what other nodes know it by.

    `catch_up` returns when this node has applied all that was agreed on before the call: a client that created a topic
    through this node finds it here.
    """

    def __init__(
        self,
        node_id: int,
        location: ControllerLocation,
        peers: PeerRequests,
        catch_up: Callable[[], Awaitable[None]] = nothing_to_wait_for,
    ) -> None:
        self._node_id = node_id
        self._catch_up = catch_up
        self._location = location
        self._peers = peers

    @property
    def is_local(self) -> bool:
        """This node is the active controller: there is nobody to pass anything on to."""
        return self._location.is_active

    async def forward(
        self, route: Route, context: RequestContext, request: Message, version: int, frame: bytes
    ) -> Outcome:
        """What a request of a `to_controller` route comes to; `frame` is the same request from its header on."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_ms(request) / 1000
        envelope = wrap(context, frame, self._node_id)
        error = ErrorCode.NOT_CONTROLLER
        pause_s = PAUSE_MS_MIN / 1000
        while True:
            if self._location.is_active:
                return await settled(route.call(context, request, version))
            target = self._location.active_controller_id
            if target is not None and target != self._node_id:
                answer = await self._ask(target, envelope, deadline)
                error = answer if isinstance(answer, ErrorCode) else ErrorCode(answer.error_code)
                if error is ErrorCode.NONE:
                    assert isinstance(answer, EnvelopeResponse), answer
                    await self._wait_for_change()
                    return EncodedResponse(answer.response_data or b"")
                if error not in (ErrorCode.NOT_CONTROLLER, ErrorCode.REQUEST_TIMED_OUT):
                    return _refused(route, request, error)
            is_undecided = error is ErrorCode.REQUEST_TIMED_OUT and route.key in ONCE
            if is_undecided or loop.time() >= deadline:
                return refusal(request, error, _MESSAGES[error])
            await asyncio.sleep(min(pause_s, max(deadline - loop.time(), 0)))
            pause_s = min(2 * pause_s, PAUSE_MS_MAX / 1000)

    async def _wait_for_change(self) -> None:
        try:
            async with asyncio.timeout(CATCH_UP_MS / 1000):
                await self._catch_up()
        except TimeoutError:
            log.debug("the change was made, and is not seen here yet")

    async def _ask(
        self, target: int, envelope: EnvelopeRequest, deadline: float
    ) -> EnvelopeResponse | ErrorCode:
        """One attempt. NOT_CONTROLLER where nothing was done, REQUEST_TIMED_OUT where nobody knows."""
        loop = asyncio.get_running_loop()
        left_ms = max(int((deadline - loop.time()) * 1000), 1)
        attempt = loop.create_task(self._peers.request(target, envelope, 0, left_ms))
        try:
            while not attempt.done():
                await asyncio.wait((attempt,), timeout=WATCH_MS / 1000)
                if self._location.active_controller_id not in (target, None):
                    break
            if not attempt.done():
                return ErrorCode.REQUEST_TIMED_OUT
            answer = attempt.result()
        except PeerNotReachedError as error:
            log.debug("controller %d: %s", target, error)
            return ErrorCode.NOT_CONTROLLER  # as if it had said so: nothing was done
        except (ConnectionError, TimeoutError) as error:
            log.debug("controller %d: %s", target, error)
            return ErrorCode.REQUEST_TIMED_OUT
        finally:
            attempt.cancel()
        assert isinstance(answer, EnvelopeResponse), answer
        return answer


def wait_ms(request: Message) -> int:
    """How long the client of `request` waits for its answer: as it says, within bounds."""
    asked = getattr(request, "timeout_ms", WAIT_MS_MAX)
    return min(max(asked, WAIT_MS_MIN), WAIT_MS_MAX)


def _refused(route: Route, request: Message, error: ErrorCode) -> Outcome:
    log.error("the active controller refuses what is passed on to it (%s): %s", route.key.name, error.name)
    if error is ErrorCode.UNSUPPORTED_VERSION:
        # As Kafka: a client that connects anew asks again which versions are served.
        return CloseConnection(f"the active controller does not serve this version of {route.key.name}")
    return refusal(request, ErrorCode.UNKNOWN_SERVER_ERROR, _MESSAGES[ErrorCode.UNKNOWN_SERVER_ERROR])
