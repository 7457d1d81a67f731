"""A node's own file system: ext4 on a loop device over one sparse file, whose power can be cut.

Decides: how the file system is made and mounted so that what was not synced stays out of the file; how the file is
copied at one instant; that nobody holds it after an unmount; that the kernel does not write back by itself in a run.
Does not decide: when power is cut, nor what of the unsynced bytes survives it (`nemesis.power`, `nemesis.torn_tails`).
Invariants: the file holds exactly what the file system was made to write (fsync, or an unmount). A mount is never
detached lazily: an old file system that lives on under the new one would take the node's writes with it.
Limits: the journal of ext4 is one for all files, so a sync of any file makes all finished directory changes durable.
Source: reliability.md 4.2; ioctl EXT4_IOC_SHUTDOWN (fs/ext4/ioctl.c).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from odradek.jepsen.db.leftovers import uninterrupted

MOUNT_OPTIONS = "loop,noatime,commit=600,noauto_da_alloc"
SHUTDOWN = 0x8004587D
SHUTDOWN_WITHOUT_LOG_FLUSH = 2
UNMOUNT_TIMEOUT_S = 10.0
COPY_TIMEOUT_S = 10.0
POLL_S = 0.01

#: What the kernel is told of dirty pages while a run lasts: no flusher wakes up, and no page is too old.
QUIET = {"dirty_writeback_centisecs": "0", "dirty_expire_centisecs": "360000"}
STATE_FOLDER = Path("/run/odradek-jepsen")
SETTINGS_FOLDER = Path("/proc/sys/vm")


class Progress(NamedTuple):
    """Writes that a block device has done, and requests under way."""

    writes: int
    sectors: int
    discards: int
    in_flight: int


def parse_progress(stat: str) -> Progress:
    """Of /sys/block/NAME/stat (Documentation/block/stat.rst)."""
    fields = [int(word) for word in stat.split()]
    return Progress(fields[4], fields[6], fields[11] if len(fields) > 11 else 0, fields[8])


def format_command(file: Path) -> list[str]:
    """Everything is initialised now, so that no kernel thread writes later; nothing is kept back for root."""
    options = ["-b", "4096", "-m", "0", "-N", "8192", "-J", "size=4"]
    return [
        "mkfs.ext4", "-q", "-F", *options, "-E", "lazy_itable_init=0,lazy_journal_init=0", str(file)
    ]  # fmt: skip


class LoopImage:
    """`ports.Image`. `file` is made by `create`, `mount_point` is a folder of its own. Mounts need root."""

    def __init__(self, file: Path, mount_point: Path, size_mib: int = 128) -> None:
        self._file = file
        self._mount_point = mount_point
        self._size_mib = size_mib

    @property
    def file(self) -> Path:
        return self._file

    @property
    def mount_point(self) -> Path:
        return self._mount_point

    @property
    def mounted(self) -> bool:
        return os.path.ismount(self._mount_point)

    def create(self) -> None:
        """An empty file system, not mounted, and the folder to mount it on."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._mount_point.mkdir(parents=True, exist_ok=True)
        self.make_anew()

    def mount(self) -> None:
        """Replays the journal. Raises OSError."""
        if not self.mounted:
            _run(["mount", "-t", "ext4", "-o", MOUNT_OPTIONS, str(self._file), str(self._mount_point)])

    def unmount(self) -> None:
        """Writes what is dirty, except after `fail`, and waits until the loop device has let the file go.

        Raises OSError (EBUSY), with the processes that hold it in its text, when somebody does so for 10 s.
        """
        if not self.mounted:
            return
        device = os.stat(self._mount_point).st_dev
        said = _await(lambda: _try_unmount(self._mount_point), UNMOUNT_TIMEOUT_S)
        if said:
            raise OSError(errno.EBUSY, f"{said}: held by {_named(holders(device))}", str(self._mount_point))
        if _await(lambda: _kept_by(device, self._file), UNMOUNT_TIMEOUT_S):
            text = f"unmounted, but another mount namespace still has it: {_named(holders(device))}"
            raise OSError(errno.EBUSY, text, str(self._mount_point))

    def copy_to(self, target: Path) -> None:
        """The bytes of the device at one instant: a copy during which the device wrote is made again.

        Sparse. Raises OSError (EBUSY) when the device writes without a pause for 10 s.
        """
        deadline = time.monotonic() + COPY_TIMEOUT_S
        while True:
            before = self._progress()
            if before is None or not before.in_flight:
                copy_sparse(self._file, target)
                if self._progress() == before:
                    return
            if time.monotonic() > deadline:
                raise OSError(errno.EBUSY, "the device does not stand still", str(self._file))
            time.sleep(POLL_S)

    def replace_by(self, source: Path) -> None:
        """The file system becomes that copy, which is moved here: `source` is gone. Raises OSError when mounted."""
        self._require_unmounted()
        # Why first: a rename over it would have the host write all of it to disk.
        self._file.unlink(missing_ok=True)
        shutil.move(source, self._file)

    def fail(self) -> None:
        """Every call fails with EIO until unmounted; what was not synced is lost then. Nothing when not mounted."""
        if not self.mounted:
            return
        descriptor = os.open(self._mount_point, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(descriptor, SHUTDOWN, struct.pack("I", SHUTDOWN_WITHOUT_LOG_FLUSH))
        finally:
            os.close(descriptor)

    def make_anew(self) -> None:
        self._require_unmounted()
        self._file.unlink(missing_ok=True)
        with self._file.open("xb") as file:
            file.truncate(self._size_mib << 20)
        _run(format_command(self._file))

    def _require_unmounted(self) -> None:
        if self.mounted:
            raise OSError(errno.EBUSY, "is mounted", str(self._mount_point))

    def _progress(self) -> Progress | None:
        """None when not mounted: then nobody writes."""
        if not self.mounted:
            return None
        return parse_progress((_block(os.stat(self._mount_point).st_dev) / "stat").read_text())


def copy_sparse(source: Path, target: Path) -> None:
    """Copy a file, holes as holes. An older file at `target` is overwritten."""
    with source.open("rb", buffering=0) as reader, target.open("wb", buffering=0) as writer:
        size = os.fstat(reader.fileno()).st_size
        os.ftruncate(writer.fileno(), size)
        for start, end in _data(reader.fileno()):
            os.lseek(writer.fileno(), start, os.SEEK_SET)
            while start < end and (sent := os.sendfile(writer.fileno(), reader.fileno(), start, end - start)):
                start += sent


def _data(descriptor: int) -> Iterator[tuple[int, int]]:
    end = 0
    while True:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # no data after `end`
                return
            raise
        end = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, end


def holders(device: int) -> dict[int, str]:
    """Names by id of the processes that hold the file system of that st_dev: files, folders, mappings, or a mount."""
    found: dict[int, str] = {}
    mount = f" {os.major(device)}:{os.minor(device)} "
    mapping = f" {os.major(device):02x}:{os.minor(device):02x} "
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal():
            continue
        with contextlib.suppress(OSError):
            name = (process / "comm").read_text().strip()
            places = [process / "cwd", process / "root", *(process / "fd").iterdir()]
            mapped = mapping in (process / "maps").read_text()
            if mapped or any(_device(place) == device for place in places):
                found[int(process.name)] = name
            elif mount in (process / "mountinfo").read_text() and not os.path.samefile(
                process / "ns/mnt", "/proc/self/ns/mnt"
            ):
                found[int(process.name)] = f"{name} (mounted in its namespace)"
    return found


def _device(path: Path) -> int | None:
    try:
        return os.stat(path).st_dev
    except OSError:
        return None


def _named(processes: dict[int, str]) -> str:
    return ", ".join(f"{process} {name}" for process, name in sorted(processes.items())) or "nobody in sight"


def _block(device: int) -> Path:
    return Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")


def _kept_by(device: int, file: Path) -> str:
    """The file, while the loop device serves it; empty when the device is free or serves another one."""
    try:
        serves = (_block(device) / "loop/backing_file").read_text().rstrip("\n")
    except OSError:
        return ""
    return serves if serves == str(file.resolve()) else ""


def _try_unmount(mount_point: Path) -> str:
    """What went wrong, in a text; an empty one when nothing did."""
    done = subprocess.run(["umount", str(mount_point)], capture_output=True, text=True, check=False)
    return (done.stderr.strip() or f"umount ended with {done.returncode}") if done.returncode else ""


def _await(question: Callable[[], str], timeout_s: float) -> str:
    """Asks until the answer is empty, or the time is up; the last answer."""
    deadline = time.monotonic() + timeout_s
    while (answer := question()) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    return answer


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")


@contextlib.contextmanager
def quiet_writeback(state: Path = STATE_FOLDER, settings: Path = SETTINGS_FOLDER) -> Iterator[None]:
    """While it lasts, dirty pages are written when a program asks for it and not by the kernel's own clock.

    The settings are the machine's, so runs share them: the last one that leaves restores what the first one found, and
    after a crash of all the next one does. A run lives as long as the lock on its file under `state` is held.
    """
    state.mkdir(parents=True, exist_ok=True)
    own = state / f"run-{os.getpid()}-{time.monotonic_ns()}"
    descriptor = None
    try:
        # An interrupt half-way would leave the settings quiet, or a file that looks like a run.
        with uninterrupted(), _locked(state / "lock"):
            if not _others(state):
                _quieten(state / "found.json", settings)
            descriptor = os.open(own, os.O_CREAT | os.O_EXCL | os.O_RDWR)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        with uninterrupted():
            with _locked(state / "lock"):
                own.unlink(missing_ok=True)
                if descriptor is not None:
                    os.close(descriptor)
            restore_writeback(state, settings)


def restore_writeback(state: Path = STATE_FOLDER, settings: Path = SETTINGS_FOLDER) -> bool:
    """Restore what runs found, unless one lives. Whether there was something to be restored."""
    found = state / "found.json"
    if not found.exists():
        return False
    with _locked(state / "lock"):
        if _others(state) or not found.exists():
            return False
        _restore(found, settings)
    return True


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _others(state: Path) -> bool:
    """Whether a run lives. Files of dead ones are removed."""
    alive = False
    for path in state.glob("run-*"):
        descriptor = os.open(path, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
        except BlockingIOError:
            alive = True
        finally:
            os.close(descriptor)
    return alive


def _quieten(found: Path, settings: Path) -> None:
    """A crashed run left quiet values behind and its `found`; any other value was set by the machine's owner since."""
    left = json.loads(found.read_text()) if found.exists() else {}
    now = {name: (settings / name).read_text().strip() for name in QUIET}
    kept = {name: left.get(name, value) if value == QUIET[name] else value for name, value in now.items()}
    partial = found.with_suffix(".partial")
    partial.write_text(json.dumps(kept))
    partial.replace(found)
    for name, value in QUIET.items():
        (settings / name).write_text(value)


def _restore(found: Path, settings: Path) -> None:
    for name, value in json.loads(found.read_text()).items():
        (settings / name).write_text(value)
    found.unlink()
