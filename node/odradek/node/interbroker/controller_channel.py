"""Requests to the active controller, wherever it is now: in this process, or a connection away.

Decides where a request goes, nothing about retrying: leadership may move while it is under way, so an answer may be
NOT_CONTROLLER, and a broken connection leaves open whether it was carried out. Every request sent here is harmless
twice.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol, TypeVar

from odradek.node.net.peer import PeerUnavailableError
from odradek.proto.kafka.schema import Message

M = TypeVar("M", bound=Message)


class ControllerLocation(Protocol):
    """The controller of this node, which hears from Raft who is the active one."""

    @property
    def is_active(self) -> bool: ...
    @property
    def active_controller_id(self) -> int | None:
        """The node that leads the metadata group, None while nobody is known to."""


class Dispatch(Protocol):
    def __call__(self, request: Message, version: int) -> Awaitable[Message]:
        """Carry out a request in this process, as if it had come in on the listener for the other nodes."""


class PeerRequests(Protocol):
    """`odradek.node.net.peer.Peers`."""

    async def request(self, node_id: int, message: Message, version: int, timeout_ms: int) -> Message: ...


class ControllerChannel:
    def __init__(
        self, node_id: int, location: ControllerLocation, dispatch: Dispatch, peers: PeerRequests
    ) -> None:
        self._node_id = node_id
        self._location = location
        self._dispatch = dispatch
        self._peers = peers

    async def request(self, message: Message, version: int, answer: type[M], timeout_ms: int) -> M:
        """The active controller's answer. Raises PeerUnavailableError (a ConnectionError), TimeoutError."""
        if self._location.is_active:
            response = await self._dispatch(message, version)
        else:
            controller_id = self._location.active_controller_id
            if controller_id is None or controller_id == self._node_id:
                raise PeerUnavailableError("no active controller is known")
            response = await self._peers.request(controller_id, message, version, timeout_ms)
        assert isinstance(response, answer), f"{response!r} to {message!r}"
        return response
