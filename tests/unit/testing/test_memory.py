"""The disk that is gone with the process."""

from __future__ import annotations

import time

import pytest

from odradek.storage.os_disk import OsDisk
from odradek.testing.memory import VolatileDisk, directory_ports, memory_ports


def test_files_are_there_as_long_as_the_disk_and_are_not_kept_twice() -> None:
    disk = VolatileDisk()
    disk.makedirs("/memory/orders-0")
    file = disk.open("/memory/orders-0/0.log", create=True)
    file.append([b"one", b"two"])
    file.sync()
    assert file.pread(0, 6) == b"onetwo"
    assert disk.durable("/memory/orders-0/0.log") is None
    disk.sync_dir("/memory/orders-0")
    assert disk.durable("/memory/orders-0/0.log") == b""


def test_files_have_the_time_of_the_clock() -> None:
    disk = VolatileDisk()
    before_ms = int(time.time() * 1000)
    disk.makedirs("/memory")
    disk.open("/memory/file", create=True).append([b"x"])
    assert before_ms <= disk.stat("/memory/file").modified_ms <= int(time.time() * 1000)


def test_a_node_in_memory_has_no_thread_and_reaches_nobody() -> None:
    disk = VolatileDisk()
    ports = memory_ports(disk)
    assert ports.open_disk(100) is disk and not ports.is_threaded
    with pytest.raises(AssertionError, match="cluster of its own"):
        ports.raft_transport(1, str, {}, _ignore, _ignore, _ignore)


async def test_a_node_on_files_has_the_ports_of_production() -> None:
    assert isinstance(directory_ports().open_disk(100), OsDisk)


def _ignore(_: object) -> None: ...
