"""A broker's life in the cluster: registered, heard, unfenced, and at the end let go.

Decides when a request to the controller is repeated, and when the node counts as serving. What the answers come to is
the controller's. A fenced node asks often, so that it serves soon; one that serves asks at its heartbeat interval; one
whose controller is lost asks often again, because the next one will want to hear from it.

Source: KIP-631 (broker registration and heartbeats), Kafka's BrokerLifecycleManager for the idea.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from odradek.node.interbroker.lease import Lease
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.controller import (
    BrokerHeartbeatRequest,
    BrokerHeartbeatResponse,
    BrokerRegistrationRequest,
    BrokerRegistrationResponse,
)
from odradek.proto.kafka.schema import Message

log = logging.getLogger(__name__)

M = TypeVar("M", bound=Message)

_REGISTRATION_VERSION = 4
_HEARTBEAT_VERSION = 1
_SOON_MS = 20
_RETRY_MS = 50
_REQUEST_TIMEOUT_MS = 1_000
_REGISTRATION_TIMEOUT_MS = 5_000
_EXPECTED = (ErrorCode.NOT_CONTROLLER, ErrorCode.REQUEST_TIMED_OUT)
_GONE = (ErrorCode.STALE_BROKER_EPOCH, ErrorCode.BROKER_ID_NOT_REGISTERED)


class RegistrationRefusedError(Exception):
    """The cluster does not take this node; the text is a sentence for the operator."""


class Channel(Protocol):
    """`ControllerChannel`."""

    async def request(self, message: Message, version: int, answer: type[M], timeout_ms: int) -> M: ...


@dataclass(frozen=True, slots=True)
class LifecycleSettings:
    """In milliseconds."""

    heartbeat_interval_ms: int
    registration_timeout_ms: int


class Lifecycle:
    """Use: `register`, `begin` once the own registration is in the image, await `serving`; at the end `leave`."""

    def __init__(
        self,
        settings: LifecycleSettings,
        channel: Channel,
        lease: Lease,
        registration: BrokerRegistrationRequest,
        metadata_offset: Callable[[], int],
        monotonic_ms: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._channel = channel
        self._lease = lease
        self._registration = registration
        self._metadata_offset = metadata_offset
        self._monotonic_ms = monotonic_ms
        self._serving = asyncio.Event()
        self._let_go = asyncio.Event()
        self._wants_to_leave = False
        self._hurry = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.offline_directories: list[bytes] = []
        self.broker_epoch = -1

    @property
    def is_serving(self) -> bool:
        """Registered and not fenced, as far as the last heartbeat told."""
        return self._serving.is_set()

    async def register(self) -> int:
        """The broker epoch. Raises RegistrationRefusedError when the cluster does not want this node."""
        deadline_ms = self._monotonic_ms() + self._settings.registration_timeout_ms
        told: ErrorCode | None = None
        while True:
            try:
                answer = await self._channel.request(
                    self._registration,
                    _REGISTRATION_VERSION,
                    BrokerRegistrationResponse,
                    _REGISTRATION_TIMEOUT_MS,
                )
            except (ConnectionError, TimeoutError) as error:
                log.debug("registration: %s", error)
            else:
                error_code = ErrorCode(answer.error_code)
                if error_code is ErrorCode.NONE:
                    self.broker_epoch = answer.broker_epoch
                    self._registration.previous_broker_epoch = answer.broker_epoch
                    return answer.broker_epoch
                if error_code is ErrorCode.INCONSISTENT_CLUSTER_ID:
                    raise RegistrationRefusedError(
                        f"the cluster does not have the id {self._registration.cluster_id} of this node"
                    )
                if error_code not in _EXPECTED and error_code is not told:
                    told = error_code
                    log.warning("the controller does not register this node yet: %s", _sentence(error_code))
            if self._monotonic_ms() > deadline_ms:
                raise RegistrationRefusedError(
                    f"this node was not registered in time{': ' + _sentence(told) if told else ''}"
                )
            await asyncio.sleep(_RETRY_MS / 1000)

    def begin(self) -> None:
        """Send heartbeats from now on."""
        self._task = asyncio.get_running_loop().create_task(self._beat())

    async def serving(self) -> None:
        """Return when the controller counts on this node."""
        await self._serving.wait()

    def hurry(self) -> None:
        """Something changed (another controller, a failed directory): do not wait for the interval."""
        self._hurry.set()

    async def leave(self, timeout_ms: int) -> bool:
        """Have others lead what this node leads (controlled shutdown). False when that was not confirmed in time."""
        self._wants_to_leave = True
        self.hurry()
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                await self._let_go.wait()
        except TimeoutError:
            return False
        return True

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _beat(self) -> None:
        while not self._let_go.is_set():
            pause_ms = await self._beat_once()
            try:
                async with asyncio.timeout(pause_ms / 1000):
                    await self._hurry.wait()
            except TimeoutError:
                continue
            self._hurry.clear()

    async def _beat_once(self) -> int:
        """One heartbeat; how long to wait for the next, in ms."""
        sent_ms = self._monotonic_ms()
        try:
            answer = await self._channel.request(
                BrokerHeartbeatRequest(
                    broker_id=self._registration.broker_id,
                    broker_epoch=self.broker_epoch,
                    current_metadata_offset=self._metadata_offset(),
                    want_shut_down=self._wants_to_leave,
                    offline_log_dirs=list(self.offline_directories),
                ),
                _HEARTBEAT_VERSION,
                BrokerHeartbeatResponse,
                _REQUEST_TIMEOUT_MS,
            )
        except (ConnectionError, TimeoutError) as error:
            log.debug("heartbeat: %s", error)
            return _RETRY_MS
        error_code = ErrorCode(answer.error_code)
        if error_code in _GONE:
            return await self._register_again(error_code)
        if error_code is not ErrorCode.NONE:
            return _RETRY_MS
        if answer.is_fenced:
            if self._serving.is_set():
                log.warning("the controller has fenced this node")
            self._serving.clear()
            self._lease.drop()
        else:
            self._lease.renew(sent_ms)
            self._serving.set()
        if answer.should_shut_down:
            self._let_go.set()
        return _SOON_MS if answer.is_fenced or self._wants_to_leave else self._settings.heartbeat_interval_ms

    async def _register_again(self, error_code: ErrorCode) -> int:
        log.warning("this node registers anew: %s", _sentence(error_code))
        self._serving.clear()
        self._lease.drop()
        try:
            await self.register()
        except RegistrationRefusedError as error:
            log.error("%s", error)
            return self._settings.heartbeat_interval_ms
        return _SOON_MS


def _sentence(error: ErrorCode) -> str:
    known = {
        ErrorCode.DUPLICATE_BROKER_REGISTRATION: "another node with the same node.id is alive",
        ErrorCode.STALE_BROKER_EPOCH: "another registration of its node.id is newer",
        ErrorCode.BROKER_ID_NOT_REGISTERED: "it was removed from the cluster",
    }
    return known.get(error, error.name)
