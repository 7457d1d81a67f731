"""A disk that is gone when the process is: what a broker of a test writes to unless it is given a directory.

Decides: nothing is ever made durable, so nothing waits for a sync and no byte is kept twice. Invariant: it outlives a
restart of the node, as a directory would. Does not decide what a power cut leaves; that is `storage.memory_disk`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from random import Random
from typing import Any

from odradek.node.ports import NodePorts, RaftTransport, system_ports
from odradek.node.runtime.clock import wall_ms
from odradek.storage.flusher import SteppedFlusher
from odradek.storage.memory_disk import MemoryDisk

ROOT = "/memory"
"""Where the data is, on such a disk."""


class VolatileDisk(MemoryDisk):
    """A `MemoryDisk` whose files have the time of the clock, and which keeps no durable copy of them."""

    def count(self, operation: str, path: str, on_failure: Callable[[], None] | None = None) -> None:
        """See `MemoryDisk.count`."""
        self.now_ms = wall_ms()
        super().count(operation, path, on_failure)

    def sync_node(self, path: str, node: Any) -> None:
        """See `MemoryDisk.sync_node`: there is nothing to do."""
        self.syncs += 1


def memory_ports(disk: VolatileDisk) -> NodePorts:
    """A node on `disk`, without a thread; all else is real. It reaches no other node, and needs no transport."""
    return NodePorts(
        lambda _: disk,
        SteppedFlusher,
        wall_ms,
        Random(os.urandom(16)),
        _no_transport,
        is_threaded=False,
    )


def directory_ports() -> NodePorts:
    """A node on files, as in production. Call it on the running loop of the node."""
    import asyncio

    return system_ports(asyncio.get_running_loop())


def _no_transport(*_: Any, **__: Any) -> RaftTransport:
    raise AssertionError("a broker of a test is a cluster of its own")
