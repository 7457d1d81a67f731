"""The node's ports: what production plugs in, and that a node on its own does not pay for consensus between nodes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from odradek.node.ports import system_ports
from odradek.storage.os_disk import OsDisk


@pytest.mark.asyncio
async def test_the_real_ones() -> None:
    import asyncio

    ports = system_ports(asyncio.get_running_loop())
    assert isinstance(ports.open_disk(16), OsDisk)
    assert ports.is_threaded
    assert ports.wall_ms() > 1_700_000_000_000


def test_a_single_node_never_loads_grpc() -> None:
    program = "import sys, odradek.node.broker; sys.exit('grpc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
