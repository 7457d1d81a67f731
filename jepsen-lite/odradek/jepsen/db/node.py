"""A node: one server process at a time in its network namespace, with its data on an image.

Decides: how the process is started, signalled and waited for, and that it does not outlive the run. Does not decide:
what the program is and what its settings mean (`odradek`, `kafka`), nor when something happens to it.
Invariants: the process that is started becomes the server itself, by exec alone, so its id is the server's; it leads a
group of its own, so that Ctrl-C at the terminal does not reach it and a kill reaches what it started; it gets SIGKILL
when the run dies; an end that neither `kill` nor `stop` caused is remembered, whoever starts it again; without its
image in place it is not started, for its data would fall on the disk of the machine.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Protocol

from odradek.jepsen.db.network import Host, entering
from odradek.jepsen.ports import Image

_STAND_S = 10.0
_POLL_S = 0.001
#: Lines of the log that tell why a process ended.
_LINES = 6


class Ended(NamedTuple):
    """A process that ended though nobody asked it to: the number of its start, its exit status (minus the number of the
    signal that killed it), and the last lines of its log."""

    start: int
    status: int
    words: str


class Flavour(Protocol):
    """One kind of broker: its settings, and the command line that runs it with a server.properties."""

    @property
    def name(self) -> str: ...

    @property
    def ports(self) -> Mapping[str, int]: ...

    def properties(self, node: int, addresses: Mapping[int, str], data: Path) -> dict[str, str]:
        """The settings of a node among nodes with those addresses."""

    def command(self, config: Path, data: Path) -> Sequence[str]:
        """What to execute now, for that data as it is."""


# The signal that a process gets at the death of its parent comes, in truth, at the end of the thread that started it:
# so one thread that lives as long as this process starts all of them.
_starter = ThreadPoolExecutor(1, "node-starter")


class ServerNode:
    """`ports.Node`. Its methods may be called from several threads."""

    def __init__(
        self,
        node: int,
        host: Host,
        folder: Path,
        image: Image,
        flavour: Flavour,
        addresses: Mapping[int, str],
    ) -> None:
        self._id = node
        self._host = host
        self._folder = folder
        self._image = image
        self._flavour = flavour
        self._properties = flavour.properties(node, addresses, self.data)
        self._environment: dict[str, str | None] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.RLock()
        self._noticing = threading.Lock()
        self._accounted: subprocess.Popen[bytes] | None = None  # we end it, or its end is remembered
        self._ended: list[Ended] = []
        self.starts = 0
        #: Numbers of the starts whose process was running and had to be killed because it did not end at a `stop`.
        self.deaf: list[int] = []
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def id(self) -> int:
        return self._id

    @property
    def address(self) -> str:
        return self._host.address

    @property
    def namespace(self) -> str:
        return self._host.namespace

    @property
    def folder(self) -> Path:
        return self._folder

    @property
    def image(self) -> Image:
        return self._image

    @property
    def data(self) -> Path:
        return self._image.mount_point / "data"

    @property
    def log(self) -> Path:
        """What all its processes wrote to standard output and error, one after the other."""
        return self._folder / "server.log"

    @property
    def pid(self) -> int | None:
        process = self._process
        if process is None:
            return None
        if process.poll() is None:
            return process.pid
        self._notice(process)
        return None

    @property
    def ended_by_itself(self) -> Sequence[Ended]:
        """All ends until now that neither `kill` nor `stop` caused, in their order."""
        if self._process is not None:
            self._notice(self._process)
        return tuple(self._ended)

    def _notice(self, process: subprocess.Popen[bytes]) -> None:
        # Not under the lock of what is done to the node: a look must not wait for a stop that takes its time.
        with self._noticing:
            status = process.poll()
            if status is None or process is not self._process or process is self._accounted:
                return
            self._accounted = process
            words = "\n".join(self.log_tail().splitlines()[-_LINES:])
            self._ended.append(Ended(self.starts, status, words))

    def _ends_now(self) -> bool:
        """Before the signal that is to end the process: its end is ours from now on. False when it does not run."""
        process = self._process
        if process is None or self.pid is None:
            return False
        with self._noticing:
            if process.poll() is not None:
                return process is self._accounted
            self._accounted = process
        return True

    @property
    def exit_status(self) -> int | None:
        """Of the last process, when it has ended; minus the number of the signal that killed it."""
        process = self._process
        return None if process is None else process.poll()

    @property
    def paused(self) -> bool:
        """Whether the process stands still, whoever stopped it."""
        pid = self.pid
        return pid is not None and _stands(Path(f"/proc/{pid}/stat"))

    def log_tail(self, size: int = 3000) -> str:
        with contextlib.suppress(FileNotFoundError), self.log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - size))
            return log.read().decode(errors="replace")
        return ""

    def set_environment(self, name: str, value: str | None) -> None:
        self._environment[name] = value

    def set_property(self, name: str, value: str | None) -> None:
        if value is None:
            self._properties.pop(name, None)
        else:
            self._properties[name] = value

    def spawn(self) -> None:
        """Raises OSError (ENODEV) when the image is not mounted."""
        with self._lock:
            if self.pid is not None:
                return
            if not self._image.mounted:
                raise OSError(errno.ENODEV, f"the image of node {self._id} is not mounted")
            config = self._folder / "server.properties"
            config.write_text("".join(f"{name}={value}\n" for name, value in self._properties.items()))
            command = self._flavour.command(config, self.data)
            self.starts += 1
            with self.log.open("ab") as log:
                log.write(
                    f"-- start {self.starts} at {time.monotonic_ns()} ns: {' '.join(command)}\n".encode()
                )
                log.flush()
                _starter.submit(self._start, command, log.fileno()).result()

    def _start(self, command: Sequence[str], log: int) -> None:
        # Kept here and not where it was asked for: an interrupt there would lose the process.
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *entering(self.namespace, command)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=self._folder,
            env=environment(os.environ, self._environment),
            process_group=0,
        )

    def kill(self) -> None:
        with self._lock:
            if self._ends_now():
                self._signal(signal.SIGKILL, whole_group=True)
            if self._process is not None:
                self._process.wait()

    def pause(self) -> None:
        """Raises TimeoutError when a thread does not come to a stand within 10 s."""
        with self._lock:
            if not self._signal(signal.SIGSTOP):
                return
            assert self._process is not None
            tasks = Path(f"/proc/{self._process.pid}/task")
            deadline = time.monotonic() + _STAND_S
            while self.pid is not None and not all(_stands(task / "stat") for task in _entries(tasks)):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"node {self._id} does not stand still")
                time.sleep(_POLL_S)

    def resume(self) -> None:
        with self._lock:
            self._signal(signal.SIGCONT)

    def stop(self, timeout_s: float = 30.0) -> None:
        """A paused process does not hear SIGTERM, and is killed when the time is up; of others this is in `deaf`."""
        with self._lock:
            if not self._ends_now() or not self._signal(signal.SIGTERM):
                return
            assert self._process is not None
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                if not self.paused:
                    self.deaf.append(self.starts)
                self.kill()

    def _signal(self, number: signal.Signals, whole_group: bool = False) -> bool:
        """Whether there was a process to signal."""
        pid = self.pid
        if pid is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            # Not reaped yet, so the id is still its own; it leads its group since the fork.
            (os.killpg if whole_group else os.kill)(pid, number)
        return True


def await_starts() -> None:
    """Wait until every start that was asked for is done: afterwards each node knows its process."""
    _starter.submit(lambda: None).result()


def environment(inherited: Mapping[str, str], own: Mapping[str, str | None]) -> dict[str, str]:
    """The environment of a server: inherited, with what is set, without what is taken away."""
    merged = {**inherited, **own}
    return {name: value for name, value in merged.items() if value is not None}


def _entries(folder: Path) -> list[Path]:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return list(folder.iterdir())
    return []


def _stands(stat: Path) -> bool:
    """Whether a thread is stopped; one that has ended does not run either."""
    try:
        return stands(stat.read_text())
    except (FileNotFoundError, ProcessLookupError):
        return True


def stands(stat: str) -> bool:
    """From the text of /proc/PID/stat: stopped by a signal, or ended."""
    return stat.rpartition(") ")[2][0] in "TZX"
