"""A whole node and its HTTP door: what it tells is true of the node, and goes with it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.unit.node.http_api.fakes import series, value

from odradek.node.broker import Broker
from odradek.node.config import ConfigError, load_config


def node(data: Path, *settings: str) -> Broker:
    return Broker(load_config(data=str(data), listen="127.0.0.1:0", assignments=list(settings)).config)


async def get(address: str, path: str) -> tuple[int, str]:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".encode())
    head, _, body = (await asyncio.wait_for(reader.read(), 20)).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split()[1]), body.decode()


async def test_a_node_tells_of_itself_while_it_lives(tmp_path: Path) -> None:
    broker = node(tmp_path, "odradek.http.listener=127.0.0.1:0")
    await broker.start()
    assert broker._http is not None
    address = broker._http.address
    assert await get(address, "/healthz/ready") == (200, "ok\n")
    found = series((await get(address, "/metrics"))[1])
    assert value(found, "odradek_node_ready") == 1
    assert value(found, "odradek_raft_is_leader", group="0") == 1
    assert value(found, "odradek_raft_fsync_seconds_count", file="raft-wal") > 0
    assert value(found, "odradek_log_directory_online", directory=str(tmp_path)) == 1
    assert value(found, "odradek_listener_connections", listener="PLAINTEXT") == 0
    assert value(found, "kafka_controller_kafkacontroller_activecontrollercount") == 1
    assert value(found, "kafka_brokers") == 1
    await broker.stop()
    with pytest.raises(ConnectionRefusedError):
        await get(address, "/healthz/live")


async def test_without_the_setting_there_is_no_door(tmp_path: Path) -> None:
    broker = node(tmp_path)
    await broker.start()
    assert broker._http is None
    await broker.stop()


async def test_an_address_that_is_taken_stops_the_start_with_a_sentence(tmp_path: Path) -> None:
    one = node(tmp_path / "one", "odradek.http.listener=127.0.0.1:0")
    await one.start()
    assert one._http is not None
    two = node(tmp_path / "two", f"odradek.http.listener={one._http.address}")
    with pytest.raises(ConfigError, match=f"cannot listen on {one._http.address}"):
        await two.start()
    await one.stop()
    again = node(tmp_path / "two")
    await again.start()
    await again.stop()
