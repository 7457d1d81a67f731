"""Connections are led through the proxy, and back, between real namespaces. Root only."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from odradek.jepsen.db import leftovers, network
from odradek.jepsen.nemesis.diversions import CLIENTS, Diversions, Link
from odradek.jepsen.ports import Cluster
from odradek.jepsen.proxy.behaviour import Behaviour, Pace, same
from odradek.jepsen.proxy.controller import Proxy

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or any(shutil.which(tool) is None for tool in ("ip", "nft", "ss", "nsenter")),
    reason="NOT RUN: links are led through the proxy by root alone, with ip, nft, ss and nsenter",
)
LINK = Link(CLIENTS, 1, "CLIENT")
TIMEOUT_S = 20.0


@pytest.fixture
def net(tmp_path: Path) -> Iterator[network.Network]:
    tag = f"px{os.getpid() % 10**8}"
    claim = leftovers.claim(tag, tmp_path)
    made = network.plan(tag, 1)
    try:
        network.set_up(made)
        yield made
    finally:
        leftovers.release(claim)


def _cluster(net: network.Network) -> Cluster:
    named = SimpleNamespace(nodes=net.nodes, clients=net.clients, proxy=net.proxy, ports={"CLIENT": 9092})
    return cast(Cluster, named)


def _echo(server: socket.socket) -> None:
    """Says who dials, then repeats what it hears; one connection at a time each in a thread."""

    def serve(connection: socket.socket, peer: str) -> None:
        with connection, contextlib.suppress(OSError):
            connection.sendall(f"{peer:>16}".encode())
            while heard := connection.recv(4096):
                connection.sendall(heard)

    with contextlib.suppress(OSError):
        while True:
            connection, (peer, _) = server.accept()
            threading.Thread(target=serve, args=(connection, peer), daemon=True).start()


def _dial(net: network.Network) -> tuple[socket.socket, str]:
    """A connection of the clients to the node, and whom the node sees."""
    with network.sockets_in(net.clients.namespace):
        client = socket.create_connection((net.nodes[1].address, 9092), TIMEOUT_S)
    assert client.getpeername()[0] == net.nodes[1].address
    return client, client.recv(16, socket.MSG_WAITALL).decode().strip()


def _hears(client: socket.socket, said: bytes) -> bytes:
    client.sendall(said)
    return client.recv(len(said), socket.MSG_WAITALL)


def _is_over(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def test_a_link_is_led_through_the_proxy_and_back(net: network.Network) -> None:
    with network.sockets_in(net.nodes[1].namespace):
        server = socket.create_server((net.nodes[1].address, 9092))
    threading.Thread(target=_echo, args=(server,), daemon=True).start()
    proxy = Proxy(net.proxy.address, inside=network.entering(net.proxy.namespace, []))
    try:
        diversions = Diversions(_cluster(net), proxy, network.run_in)
        before, seen = _dial(net)
        assert seen == net.clients.address and _hears(before, b"hello") == b"hello"

        assert diversions.divert(1, {LINK: same(Pace(delay_ms=1.0))}) == [LINK]
        assert _is_over(before), "what was there before the fault is killed"
        during, seen = _dial(net)
        assert seen == net.proxy.address and _hears(during, b"hello") == b"hello"

        counts = diversions.heal(1)
        assert counts["connections"] == 1 and counts["bytes_up"] == 5
        assert _is_over(during), "nobody is led through the proxy afterwards"
        after, seen = _dial(net)
        assert seen == net.clients.address and _hears(after, b"hello") == b"hello"

        diversions.stand({LINK: Behaviour()})
        diversions.stand_no_more()
        tables = network.run_in(net.clients.namespace, ["nft", "list", "tables"]).stdout
        assert tables == ""
        for client in (before, during, after):
            client.close()
    finally:
        proxy.stop()
        server.close()
