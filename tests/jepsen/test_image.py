"""Power cuts of a real file system: what a writer had synced is there afterwards, what it had not is gone.

Needs root, loop devices and mkfs.ext4; skipped where they are missing.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import cast

import pytest

from odradek.jepsen.db.image import LoopImage, quiet_writeback
from odradek.jepsen.nemesis.power import Supply
from odradek.jepsen.nemesis.torn_tails import inode
from odradek.jepsen.ports import Node

#: Appends records of 16 bytes for ever: it syncs after ten, tells how many are safe, and writes some more to two files.
WRITER = """
import os, sys
log = os.open("log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
other = os.open("never-synced", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
number = 0
while True:
    for _ in range(10):
        number += 1
        os.write(log, b"%16d" % number)
    os.fdatasync(log)
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
    os.write(other, bytes(1000))
    for _ in range(500):
        number += 1
        os.write(log, b"%16d" % number)
"""


class Writer:
    """As much of a node as a power cut needs."""

    id = 1

    def __init__(self, image: LoopImage) -> None:
        self.image = image
        self.data = image.mount_point / "data"
        self.data.mkdir()
        self.process = subprocess.Popen(
            [sys.executable, "-c", WRITER], cwd=self.data, stdout=subprocess.PIPE, text=True
        )

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)
        while Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(") ")[2][0] != "T":
            time.sleep(0.001)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def tells(self, at_least: int) -> int:
        """Until it has said that so many are safe; returns how many."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if (safe := int(line)) >= at_least:
                return safe
        raise AssertionError("the writer ended by itself")

    def told(self) -> list[int]:
        """What else it said before its end."""
        assert self.process.stdout is not None
        return [int(line) for line in self.process.stdout if line.endswith("\n")]


@pytest.fixture
def image(tmp_path: Path) -> Iterator[LoopImage]:
    if os.geteuid():
        pytest.skip("needs root")
    image = LoopImage(tmp_path / "image", tmp_path / "disk", size_mib=64)
    try:
        image.create()
        image.mount()
    except OSError as error:
        pytest.skip(f"no loop-mounted ext4 here: {error}")
    try:
        with quiet_writeback():
            yield image
    finally:
        image.unmount()


def _records(log: Path) -> list[bytes]:
    content = log.read_bytes()
    return [content[place : place + 16] for place in range(0, len(content), 16)]


@pytest.mark.parametrize("torn", [False, True])
def test_a_power_cut_takes_what_was_not_synced_and_nothing_else(image: LoopImage, torn: bool) -> None:
    writer = Writer(image)
    with contextlib.closing(writer.process.stdout or sys.stdin):
        safe = writer.tells(at_least=10_000)
        told = Supply(identity=inode if torn else None).cut([cast(Node, writer)], Random(5))
        safe = [safe, *writer.told()][-1]
    found = _records(writer.data / "log")
    assert found[:safe] == [b"%16d" % number for number in range(1, safe + 1)]
    if torn:
        assert cast(int, told["1"]["lost"]) >= cast(int, told["1"]["restored"])
    else:
        # Cut where the last sync ended, which may be one that the writer had no time to tell of.
        assert (len(found) - 10) % 510 == 0
        assert len(found) <= safe + 510
        never_synced = writer.data / "never-synced"
        assert not never_synced.exists() or never_synced.stat().st_size < safe // 510 * 1000


def test_a_failed_image_answers_nothing_until_it_is_mounted_again(image: LoopImage) -> None:
    path = image.mount_point / "file"
    with path.open("wb") as file:
        file.write(b"synced")
        file.flush()
        os.fsync(file.fileno())
        file.write(b" and not synced")
        file.flush()
        image.fail()
        with pytest.raises(OSError, match="Input/output"):
            os.fsync(file.fileno())
    with pytest.raises(OSError, match="Input/output"):
        path.read_bytes()
    image.unmount()
    image.mount()
    assert path.read_bytes() == b"synced"


def test_who_holds_a_mount_is_named(image: LoopImage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("odradek.jepsen.db.image.UNMOUNT_TIMEOUT_S", 0.05)
    with (image.mount_point / "file").open("wb"), pytest.raises(OSError, match=f"held by {os.getpid()} "):
        image.unmount()
    assert image.mounted
