"""A broker's life as its controller sees it: what is sent, and when the node serves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

import pytest

from odradek.node.interbroker.lease import Lease
from odradek.node.interbroker.lifecycle import Lifecycle, LifecycleSettings, RegistrationRefusedError
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.controller import (
    BrokerHeartbeatRequest,
    BrokerHeartbeatResponse,
    BrokerRegistrationRequest,
    BrokerRegistrationResponse,
)
from odradek.proto.kafka.schema import Message

M = TypeVar("M", bound=Message)


class Controller:
    """A channel with answers to come; the last one repeats."""

    def __init__(self) -> None:
        self.registrations: list[ErrorCode | Exception] = [ErrorCode.NONE]
        self.heartbeats: list[BrokerHeartbeatResponse | Exception] = [
            BrokerHeartbeatResponse(is_fenced=False)
        ]
        self.heard: list[BrokerHeartbeatRequest] = []
        self.epoch = 10
        self.on_heartbeat: Callable[[], None] = lambda: None

    async def request(self, message: Message, version: int, answer: type[M], timeout_ms: int) -> M:
        response: Message
        if isinstance(message, BrokerRegistrationRequest):
            outcome = self.registrations.pop(0) if len(self.registrations) > 1 else self.registrations[0]
            if isinstance(outcome, Exception):
                raise outcome
            self.epoch += 1
            response = BrokerRegistrationResponse(error_code=int(outcome), broker_epoch=self.epoch)
        else:
            assert isinstance(message, BrokerHeartbeatRequest)
            self.heard.append(message)
            self.on_heartbeat()
            beat = self.heartbeats.pop(0) if len(self.heartbeats) > 1 else self.heartbeats[0]
            if isinstance(beat, Exception):
                raise beat
            response = beat
        assert isinstance(response, answer)
        return response


def made(controller: Controller, registration_timeout_ms: int = 60_000) -> tuple[Lifecycle, Lease]:
    loop = asyncio.get_running_loop()

    def now() -> int:
        return int(loop.time() * 1000)

    lease = Lease(60_000, now, is_alone=False)
    settings = LifecycleSettings(heartbeat_interval_ms=1, registration_timeout_ms=registration_timeout_ms)
    registration = BrokerRegistrationRequest(broker_id=1, cluster_id="c")
    return Lifecycle(settings, controller, lease, registration, lambda: 5, now), lease


async def test_registration_is_repeated_until_there_is_a_controller() -> None:
    controller = Controller()
    controller.registrations = [ConnectionError(), TimeoutError(), ErrorCode.NOT_CONTROLLER, ErrorCode.NONE]
    lifecycle, _ = made(controller)
    assert await lifecycle.register() == lifecycle.broker_epoch == 12


@pytest.mark.parametrize(
    ("error", "word"),
    [(ErrorCode.INCONSISTENT_CLUSTER_ID, "id c"), (ErrorCode.DUPLICATE_BROKER_REGISTRATION, "same node.id")],
)
async def test_a_cluster_that_does_not_want_the_node_says_why(error: ErrorCode, word: str) -> None:
    controller = Controller()
    controller.registrations = [error]
    lifecycle, _ = made(controller, registration_timeout_ms=10)
    with pytest.raises(RegistrationRefusedError, match=word):
        await lifecycle.register()


async def test_it_serves_and_holds_its_lease_once_it_is_unfenced() -> None:
    controller = Controller()
    fenced = BrokerHeartbeatResponse(is_fenced=True)
    controller.heartbeats = [fenced, ConnectionError(), BrokerHeartbeatResponse(is_fenced=False)]
    lifecycle, lease = made(controller)
    controller.on_heartbeat = lambda: seen.append((lifecycle.is_serving, lease.is_held()))
    seen: list[tuple[bool, bool]] = []
    await lifecycle.register()
    lifecycle.begin()
    await lifecycle.serving()
    assert seen == [(False, False)] * 3
    assert lease.is_held()
    assert [(beat.broker_epoch, beat.current_metadata_offset) for beat in controller.heard] == [(11, 5)] * 3
    lifecycle.stop()


async def test_a_fenced_node_stops_serving_at_once() -> None:
    controller = Controller()
    lifecycle, lease = made(controller)
    lifecycle.begin()
    await lifecycle.serving()
    controller.heartbeats = [BrokerHeartbeatResponse(is_fenced=True)]
    heard = asyncio.Event()
    controller.on_heartbeat = lambda: heard.set() if not lifecycle.is_serving else None
    lifecycle.hurry()
    await heard.wait()
    assert not lease.is_held()
    lifecycle.stop()


async def test_a_forgotten_registration_is_made_again() -> None:
    controller = Controller()
    stale = BrokerHeartbeatResponse(error_code=int(ErrorCode.STALE_BROKER_EPOCH))
    controller.heartbeats = [stale, BrokerHeartbeatResponse(is_fenced=False)]
    lifecycle, _ = made(controller)
    await lifecycle.register()
    lifecycle.begin()
    await lifecycle.serving()
    assert [beat.broker_epoch for beat in controller.heard][:2] == [11, 12]
    lifecycle.stop()


async def test_leaving_waits_until_the_controller_lets_go() -> None:
    controller = Controller()
    lifecycle, _ = made(controller)
    lifecycle.begin()
    await lifecycle.serving()
    assert not await lifecycle.leave(timeout_ms=30)
    controller.heartbeats = [BrokerHeartbeatResponse(is_fenced=False, should_shut_down=True)]
    assert await lifecycle.leave(timeout_ms=5_000)
    assert controller.heard[-1].want_shut_down
