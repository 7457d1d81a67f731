"""The door as a scraper and an orchestrator see it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from tests.unit.node.http_api.fakes import FakeHealth, FakeNode, series, value

from odradek.node.controller.controller import Controller
from odradek.node.coordinator.runtime import CoordinatorRuntime
from odradek.node.http_api import server as module
from odradek.node.http_api.server import HttpServer, open_http_server
from odradek.node.http_api.sources import Sources
from odradek.node.kafka_api.registry import Registry
from odradek.node.net.listener import Listener
from odradek.node.partition.replicas import Replicas
from odradek.node.runtime.metrics import GcPauses, LoopLag
from odradek.raft.group import RaftGroup
from odradek.raft.host import RaftHost
from odradek.storage.log_dirs import LogDirs


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[FakeNode, FakeHealth, HttpServer]]:
    node, health = FakeNode(asyncio.get_running_loop()), FakeHealth()
    server = HttpServer(node.sources, health)
    await server.start("127.0.0.1", 0)
    try:
        yield node, health, server
    finally:
        server.stop()
        await asyncio.sleep(0)


async def get(server: HttpServer, path: str, headers: str = "") -> tuple[int, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(f"GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}\r\n".encode())
    head, _, body = (await asyncio.wait_for(reader.read(), 20)).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split()[1]), body.decode()


async def test_metrics() -> None:
    async with serving() as (node, _, server):
        node.listeners[0].accepted = 4
        status, body = await get(server, "/metrics?name=ignored")
        assert status == 200
        found = series(body)
        assert value(found, "odradek_listener_accepted_connections_total", listener="PLAINTEXT") == 4
        status, body = await get(server, "/metrics", "accept: application/openmetrics-text;version=1.0.0\r\n")
        assert (status, body[-6:]) == (200, "# EOF\n")


async def test_health_is_told_with_its_reasons() -> None:
    async with serving() as (_, health, server):
        assert await get(server, "/healthz/live") == (200, "ok\n")
        assert await get(server, "/healthz/ready") == (200, "ok\n")
        health.ready_problems = ["fenced", "the metadata is behind"]
        assert await get(server, "/healthz/ready") == (503, "fenced\nthe metadata is behind\n")
        assert await get(server, "/healthz/live") == (200, "ok\n")
        health.live_problems = ["the disk failed"]
        assert await get(server, "/healthz/live") == (503, "the disk failed\n")


async def test_other_paths_are_told_what_there_is() -> None:
    async with serving() as (_, _, server):
        status, body = await get(server, "/")
        assert status == 404
        assert "/metrics" in body


async def test_connections_beyond_the_limit_are_refused_and_places_are_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CONNECTIONS_MAX", 1)
    async with serving() as (_, _, server):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /healthz/live HTTP/1.1\r\nhost: a\r\n\r\n")
        await asyncio.wait_for(reader.readuntil(b"ok\n"), 20)
        refused, _ = await asyncio.open_connection("127.0.0.1", server.port)
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(refused.read(), 20) == b""
        writer.close()
        await asyncio.wait_for(reader.read(), 20)
        for _ in range(100):
            try:
                assert (await get(server, "/healthz/live"))[0] == 200
                break
            except (ConnectionResetError, IndexError):
                continue


async def test_nothing_is_left_after_the_end() -> None:
    async with serving() as (node, _, server):
        callbacks = len(gc.callbacks)
        reader, _ = await asyncio.open_connection("127.0.0.1", server.port)
        assert (await get(server, "/healthz/live"))[0] == 200
        server.stop()
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), 20) == b""
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", server.port)
        assert len(gc.callbacks) == callbacks - 1
        assert node.sources.loop_lag._timer is None
        server.stop()


async def test_an_address_that_is_taken_is_an_error() -> None:
    async with serving() as (_, health, server):
        other = HttpServer(FakeNode(asyncio.get_running_loop()).sources, health)
        with pytest.raises(OSError, match="address"):
            await other.start("127.0.0.1", server.port)


@dataclass
class Settings:
    http_listener: tuple[str, int] | None
    http_metrics_partitions: bool = True


async def test_the_settings_decide_whether_there_is_a_door() -> None:
    node, health = FakeNode(asyncio.get_running_loop()), FakeHealth()
    assert await open_http_server(Settings(None), node.sources, health) is None
    server = await open_http_server(Settings(("127.0.0.1", 0)), node.sources, health)
    assert server is not None
    assert server.address == f"127.0.0.1:{server.port}"
    assert (await get(server, "/healthz/live"))[0] == 200
    server.stop()


def the_parts_of_a_node_fit(
    controller: Controller,
    replicas: Replicas,
    log_dirs: LogDirs,
    coordinators: CoordinatorRuntime,
    raft: RaftHost,
    group: RaftGroup,
    listener: Listener,
    registry: Registry,
) -> Sources:
    """Never called: the type checker proves that the ports fit what a node is made of."""
    loop = asyncio.get_running_loop()
    return Sources(
        1,
        "1.2.3",
        lambda: controller.image,
        lambda: controller.is_active,
        lambda _: 1,
        replicas,
        log_dirs,
        coordinators.state_machines,
        raft,
        lambda: [group],
        lambda: [listener],
        registry.durations,
        LoopLag(loop),
        GcPauses(),
    )
