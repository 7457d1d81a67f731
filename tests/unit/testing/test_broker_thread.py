"""A broker in a thread of its own, for tests that block."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from pathlib import Path

import pytest

from odradek.client import TopicExistsError
from odradek.testing import BrokerThread

WAIT_S = 20
LOOK_S = 0.05


async def published(broker: BrokerThread, value: bytes) -> bytes | None:
    """Write and read on the event loop that this runs on."""
    async with broker.broker.producer() as producer:
        await producer.publish("orders", value)
    async with broker.broker.consumer("orders", group_id="readers") as consumer:
        return (await asyncio.wait_for(anext(aiter(consumer)), WAIT_S)).value


def test_coroutines_run_on_the_brokers_event_loop() -> None:
    async def where() -> threading.Thread:
        return threading.current_thread()

    with BrokerThread() as broker:
        assert broker.run(where()) is not threading.current_thread()


def test_clients_of_odradek_are_used_there() -> None:
    with BrokerThread(grpc=True) as broker:
        assert broker.create_topic("orders", partitions=2) == "orders"
        assert broker.run(published(broker, b"one")) == b"one"


def test_clients_of_odradek_can_be_used_on_another_event_loop() -> None:
    with BrokerThread(grpc=True) as broker:
        broker.create_topic("orders")
        assert asyncio.run(published(broker, b"one")) == b"one"


async def test_it_serves_a_test_that_awaits() -> None:
    with BrokerThread(grpc=True) as broker:
        broker.create_topic("orders")
        assert await published(broker, b"one") == b"one"


def test_without_a_word_there_is_no_grpc() -> None:
    with BrokerThread() as broker, pytest.raises(RuntimeError, match="grpc=True"):
        _ = broker.grpc_servers


def test_errors_come_through() -> None:
    with BrokerThread() as broker:
        broker.create_topic("orders")
        with pytest.raises(TopicExistsError):
            broker.create_topic("orders")


def test_a_restart_keeps_data_and_address(tmp_path: Path) -> None:
    with BrokerThread(data=tmp_path) as broker:
        broker.create_topic("orders")
        address = broker.bootstrap_servers
        broker.restart()
        assert broker.bootstrap_servers == address
        with pytest.raises(TopicExistsError):
            broker.create_topic("orders")


def test_it_is_told_where_it_cannot_run() -> None:
    broker = BrokerThread()
    with pytest.raises(RuntimeError, match="does not run"):
        broker.create_topic("orders")
    broker.stop()

    async def inside() -> None:
        with pytest.raises(RuntimeError, match="wait for itself"):
            broker.create_topic("orders")

    with broker:
        broker.run(inside())
        with pytest.raises(RuntimeError, match="runs already"):
            broker.start()


def test_it_can_be_started_again() -> None:
    broker = BrokerThread()
    for _ in range(2):
        with broker:
            assert broker.run(asyncio.sleep(0, "alive")) == "alive"


Held = tuple[int, set[threading.Thread]]
NOTHING: Held = (0, set())


def held() -> Held:
    """Descriptors and threads of this process."""
    gc.collect()
    return len(os.listdir("/proc/self/fd")), set(threading.enumerate())


def held_at_rest() -> Held:
    """When two looks are equal: gRPC closes its sockets in threads of its own, after `close` has returned."""
    last, now = None, held()
    while now != last:
        time.sleep(LOOK_S)
        last, now = now, held()
    return now


def left_since(before: Held) -> Held:
    """What is held beyond that: as soon as nothing is, or after `WAIT_S`."""
    deadline = time.monotonic() + WAIT_S
    while True:
        count, threads = held()
        left = max(0, count - before[0]), threads - before[1]
        if left == NOTHING or time.monotonic() > deadline:
            return left
        time.sleep(LOOK_S)


def test_what_still_runs_is_cancelled_and_nothing_is_left() -> None:
    async def for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def begin() -> None:
        kept.append(asyncio.ensure_future(for_ever()))
        await asyncio.sleep(0)

    kept: list[asyncio.Future[None]] = []
    with BrokerThread(grpc=True) as broker:  # what is made once for the process
        broker.run(asyncio.sleep(0))
    before = held_at_rest()
    for grpc in (False, True):
        ended = threading.Event()
        with BrokerThread(grpc=grpc) as broker:
            broker.run(begin())
        assert ended.is_set()
    assert left_since(before) == NOTHING


def test_nothing_is_left_of_a_start_that_fails() -> None:
    with BrokerThread() as broker:
        before = held_at_rest()
        port = int(broker.bootstrap_servers.rpartition(":")[2])
        with pytest.raises(ValueError, match="cannot listen"):
            BrokerThread(port=port).start()
        assert left_since(before) == NOTHING
