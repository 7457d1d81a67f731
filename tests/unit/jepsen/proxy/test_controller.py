"""The proxy as a process: it serves, and its end is noticed. The protocol is tested in test_service."""

from __future__ import annotations

import os
import signal
import socket

import pytest
from tests.unit.jepsen.proxy.requests_made import request

from odradek.jepsen.proxy.behaviour import Behaviour
from odradek.jepsen.proxy.controller import Proxy, ProxyError


def test_a_process_of_its_own_from_start_to_end() -> None:
    proxy = Proxy()
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = proxy.open("a", server.getsockname(), Behaviour(frames=True))
            with socket.create_connection((proxy.address, port)) as client:
                client.sendall(request(1, 2))
                accepted, _ = server.accept()
                with accepted:
                    assert accepted.recv(1000) == request(1, 2)
            assert proxy.counts("a")["api_1"] == 1
            with pytest.raises(ProxyError, match="link a is open"):
                proxy.open("a", server.getsockname(), Behaviour())
            assert proxy.close("a", deliver=False)["connections"] == 1
        os.kill(proxy.pid, signal.SIGKILL)
        with pytest.raises(ProxyError):
            proxy.counts("a")
    finally:
        proxy.stop()
    assert not proxy.is_alive


def test_one_that_cannot_start_is_an_error() -> None:
    with pytest.raises(ProxyError, match="did not start"):
        Proxy(inside=["false"])
