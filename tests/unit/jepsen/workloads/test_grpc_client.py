"""Names of errors, and sleeping until it is time to stop."""

from __future__ import annotations

import asyncio
import threading

import pytest

from odradek.client.errors import ClosedError, DeliveryTimeoutError, NodeUnavailableError
from odradek.jepsen.workloads.grpc_client import error_name, sleep, within


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (DeliveryTimeoutError("late", is_unknown=True), "DELIVERY_TIMEOUT"),
        (DeliveryTimeoutError("late", is_unknown=False), "DELIVERY_TIMEOUT_NOT_WRITTEN"),
        (ClosedError("closed"), "CLOSED"),
        (NodeUnavailableError("UNAVAILABLE", status="UNAVAILABLE"), "UNAVAILABLE"),
        (NodeUnavailableError("NOT_ENOUGH_REPLICAS", status="UNAVAILABLE"), "NOT_ENOUGH_REPLICAS"),
        (RuntimeError("?"), "RuntimeError"),
    ],
)
def test_errors_have_the_names_of_the_table(error: BaseException, name: str) -> None:
    assert error_name(error) == name


async def test_nobody_sleeps_once_it_is_time_to_stop() -> None:
    stopping = threading.Event()
    stopping.set()
    await sleep(3_600.0, stopping)


async def test_what_takes_too_long_is_given_up_and_errors_are_nobodys() -> None:
    ended = asyncio.Event()

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def fails() -> None:
        raise ClosedError("closed")

    await within(0.0, forever())
    assert ended.is_set()
    await within(60.0, fails())
