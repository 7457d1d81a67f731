"""Whose a run is, and how all that it holds of the machine is taken away: its own things, or those of a dead run.

Decides: the claim on a tag (a file that names the main process), and what belongs to a tag: the namespaces of its
name, the processes in them, the mounts, loop devices and images below its folder. Does not decide: how these are
made. Logs and settings stay.
Invariants: a claim is made before anything else of its tag and goes last, so a namespace of ours without a claim
belongs to nobody; what a living process claimed is never touched by others.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from odradek.jepsen.db import network

CLAIMS = Path("/run/odradek-jepsen/claims")
#: In the folder of a node: the file of its file system, and where it is mounted.
IMAGE, MOUNT_POINT = "disk.img", "disk"
_END_S = 10.0
_POLL_S = 0.01


class Claim(NamedTuple):
    """`started` is the start of the process in ticks since boot, because process ids are used again."""

    tag: str
    pid: int
    started: int
    folder: Path

    @property
    def is_alive(self) -> bool:
        return _started(self.pid) == self.started


class TagTaken(OSError):
    """A living process uses that tag."""


def claim(tag: str, folder: Path) -> Claim:
    """Claim a tag for this process, and everything below that folder. Raises TagTaken."""
    pid = os.getpid()
    started = _started(pid)
    assert started is not None
    made = Claim(tag, pid, started, folder.resolve())
    CLAIMS.mkdir(parents=True, exist_ok=True)
    file = CLAIMS / f"{tag}.json"
    # Written aside and linked: the file is whole from the moment when it is there, and never taken from another.
    aside = CLAIMS / f".{tag}.{pid}"
    aside.write_text(json.dumps(made._asdict() | {"folder": str(made.folder)}))
    try:
        os.link(aside, file)
    except FileExistsError:
        raise TagTaken(f"{file}: {file.read_text()}") from None
    finally:
        aside.unlink()
    return made


@contextlib.contextmanager
def claimed(tag: str, folder: Path) -> Iterator[Claim]:
    """A claim that is released at the end, with all that belongs to it. Raises TagTaken."""
    made = claim(tag, folder)
    try:
        yield made
    finally:
        with uninterrupted():
            release(made)


#: What ends a run in order: Ctrl-C, an operator or a scheduler, a terminal that is gone.
_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP come after it, in the main thread; elsewhere they do not arrive anyhow."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {ending: signal.signal(ending, lambda number, _: came.append(number)) for ending in _ENDINGS}
    try:
        yield
    finally:
        for ending, handler in before.items():
            signal.signal(ending, handler or signal.SIG_DFL)
        if came:
            signal.raise_signal(came[0])


def claims() -> list[Claim]:
    """All that are there, of living and of dead processes."""
    found = []
    for file in sorted(CLAIMS.glob("*.json")):
        with contextlib.suppress(FileNotFoundError, ValueError, KeyError):
            fields = json.loads(file.read_text())
            found.append(Claim(fields["tag"], fields["pid"], fields["started"], Path(fields["folder"])))
    return found


def sweep() -> list[str]:
    """Take away what dead runs left; returns their tags."""
    seen = [(name, network.tag_of(name)) for name in network.existing()]
    # Read after the namespaces: a claim comes before them and goes after them.
    known = claims()
    dead = [one for one in known if not one.is_alive]
    for one in dead:
        release(one)
    ownerless = [name for name, tag in seen if tag is not None and tag not in {one.tag for one in known}]
    _end_all(ownerless)
    network.tear_down(ownerless)
    return sorted({one.tag for one in dead} | {tag for name, tag in seen if tag and name in ownerless})


def release(claimed: Claim) -> None:
    """Take away all that belongs to a claim, and the claim itself. Can be repeated, and after half a set-up."""
    namespaces = [name for name in network.existing() if network.tag_of(name) == claimed.tag]
    _end_all(namespaces)
    unmount_below(claimed.folder)
    _remove_images(claimed.folder)
    network.tear_down(namespaces)
    (CLAIMS / f"{claimed.tag}.json").unlink(missing_ok=True)


def processes_in(namespaces: Iterable[str]) -> list[int]:
    """The processes whose main thread is in one of these network namespaces. Never this one."""
    inodes = set()
    for name in namespaces:
        with contextlib.suppress(FileNotFoundError):
            inodes.add((network.NAMED / name).stat().st_ino)
    found = []
    for entry in Path("/proc").iterdir() if inodes else ():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            # A process that ended, or that is a zombie, has no namespace to look at.
            with contextlib.suppress(OSError):
                if (entry / "ns" / "net").stat().st_ino in inodes:
                    found.append(int(entry.name))
    return found


def _end_all(namespaces: Iterable[str]) -> None:
    """SIGKILL to every process there until there is none."""
    names = list(namespaces)
    deadline = time.monotonic() + _END_S
    while left := processes_in(names):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise OSError(errno.EBUSY, f"processes {left} in {names} do not end")
        time.sleep(_POLL_S)


def mounts_below(folder: Path, mountinfo: str) -> list[str]:
    """The mount points below a folder, the innermost and latest first, from the text of /proc/self/mountinfo."""
    points = (_unescape(line.split(" ")[4]) for line in mountinfo.splitlines())
    return [point for point in points if Path(point).is_relative_to(folder)][::-1]


def _unescape(field: str) -> str:
    """The kernel writes space, tab, newline and backslash as octal numbers."""
    for character in " \t\n\\":
        field = field.replace(f"\\{ord(character):03o}", character)
    return field


def unmount_below(folder: Path) -> None:
    """Unmount everything below a folder, and free the loop devices whose files lie there."""
    for point in mounts_below(folder, Path("/proc/self/mountinfo").read_text()):
        done = subprocess.run(["umount", point], capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            # Somebody has a file open there: it goes out of sight now, and altogether with the last user.
            subprocess.run(["umount", "--lazy", point], capture_output=True, timeout=60)
    for device in loop_devices_below(folder):
        subprocess.run(["losetup", "--detach", device], capture_output=True, timeout=60)


def _remove_images(folder: Path) -> None:
    """The files of nodes' file systems, copies of them that a power cut left half-way, and where they were mounted."""
    for image in folder.glob(f"node*/{IMAGE}*"):
        image.unlink(missing_ok=True)
    for place in folder.glob(f"node*/{MOUNT_POINT}*"):
        with contextlib.suppress(
            OSError
        ):  # still mounted, and so in use: what lies there is not ours to delete
            place.rmdir()


def loop_devices_below(folder: Path) -> Iterator[str]:
    """Those whose files lie there, mounted or not, deleted or not."""
    for entry in Path("/sys/block").glob("loop*"):
        with contextlib.suppress(OSError):
            if Path((entry / "loop" / "backing_file").read_text().strip()).is_relative_to(folder):
                yield f"/dev/{entry.name}"


def _started(pid: int) -> int | None:
    """When a process was started, in ticks since boot; None when there is none (a zombie counts as none)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])
