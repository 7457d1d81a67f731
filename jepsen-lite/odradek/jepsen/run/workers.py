"""The client processes of a run: started, killed, frozen, replaced and stopped.

Decides: how a worker's process lives. Does not decide: what it does (`workloads`), nor when it is hurt (`nemesis`).
Invariants: a worker that is replaced is another Jepsen process with a history file of its own; a worker that ended by
itself is never mistaken for one that did its work, also when its place was taken since; nothing outlives `close`.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from odradek.jepsen.db.network import entering
from odradek.jepsen.workloads.spec import WorkerSpec

_ENDS_WITHIN_S = 15.0
_WORDS = 1500
#: Statuses of workers that were told to stop: in order, or before they had begun to listen.
_STOPPED = (0, -signal.SIGTERM)


class WorkerFailed(Exception):
    """A worker ended by itself; the message ends with what it wrote."""


class _Running(NamedTuple):
    spec: WorkerSpec
    process: subprocess.Popen[bytes]


def worker_in(namespace: str) -> Callable[[WorkerSpec], Sequence[str]]:
    """The command of workers that run in that namespace."""
    program = [sys.executable, "-m", "odradek.jepsen.workloads.worker", "--spec"]
    return lambda spec: entering(namespace, [*program, spec.to_json()])


class Workers:
    """Implements `nemesis.clients.Workers`. A worker is known by the name of its first incarnation."""

    def __init__(self, log: Path, command: Callable[[WorkerSpec], Sequence[str]]) -> None:
        """`log` takes what all of them write; `command` runs one."""
        self._log = log
        self._command = command
        self._running: dict[str, _Running] = {}
        self._replaced: list[_Running] = []  # frozen ones whose place was taken; they wake up again
        self._killed: set[str] = set()  # by the name of the incarnation
        self._failures: list[str] = []

    def start(self, specs: Iterable[WorkerSpec]) -> None:
        """Start workers that are not there yet."""
        for spec in specs:
            assert spec.process not in self._running, f"{spec.process} runs already"
            self._running[spec.process] = self._spawn(spec)

    def _spawn(self, spec: WorkerSpec) -> _Running:
        with self._log.open("ab") as log:
            # A pipe as its input: it ends with this process, whatever ends it.
            process = subprocess.Popen(self._command(spec), stdin=subprocess.PIPE, stdout=log, stderr=log)
        return _Running(spec, process)

    # -- for nemeses

    def names(self, producers: bool = False) -> Sequence[str]:
        return sorted(
            name
            for name, running in self._running.items()
            if not producers or running.spec.role.endswith("-send")
        )

    def kill(self, name: str) -> None:
        running = self._running[name]
        self._look_at(running)
        self._killed.add(running.spec.name)
        running.process.kill()
        running.process.wait()

    def pause(self, name: str) -> None:
        self._running[name].process.send_signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """The frozen one goes on, also when its place was taken."""
        for running in [self._running[name], *self._replaced]:
            if running.spec.process == name:
                running.process.send_signal(signal.SIGCONT)

    def respawn(self, name: str) -> None:
        """The next incarnation takes the place."""
        before = self._running[name]
        self._look_at(before)
        if before.process.poll() is None:
            self._replaced.append(before)
        spec = before.spec.again()
        self._running[name] = self._spawn(spec)

    def _look_at(self, running: _Running) -> None:
        """While it should be at work: when it has ended and was not killed, this is a failure."""
        status, name = running.process.poll(), running.spec.name
        if status is not None and name not in self._killed:
            self._killed.add(name)  # told once
            self._failures.append(f"{name} ended by itself with status {status}")

    # -- for the run

    def ended(self) -> list[str]:
        """Names of workers that do not run, whoever ended them."""
        return [name for name, running in self._running.items() if running.process.poll() is not None]

    def await_end(self, timeout_s: float) -> None:
        """Until all have ended by themselves. Raises WorkerFailed for one that failed or takes too long."""
        deadline = time.monotonic() + timeout_s
        for name, running in self._running.items():
            try:
                status = running.process.wait(max(0.01, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                raise WorkerFailed(f"{name} did not end within {timeout_s} s\n{self._words()}") from None
            if status != 0:
                raise WorkerFailed(f"{name} ended with status {status}\n{self._words()}")
        self._running.clear()

    def stop(self) -> None:
        """Tell all to finish what is under way, and wait. Raises WorkerFailed if one of all that there ever were ended
        badly: by itself, or with another status than that of a worker that was stopped.

        One that takes too long is killed, and that is no failure: what it has not told is open in its history. (A
        consumer of librdkafka may wait in its `close` for a coordinator that it has lost.)
        """
        everyone = [*self._running.values(), *self._replaced]
        for running in everyone:
            self._look_at(running)
            running.process.send_signal(signal.SIGCONT)
            running.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + _ENDS_WITHIN_S
        for running in everyone:
            name = running.spec.name
            try:
                status = running.process.wait(max(0.01, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                continue
            if name not in self._killed and status not in _STOPPED:
                self._failures.append(f"{name} ended with status {status}")
        self.close()
        failures, self._failures = self._failures, []
        if failures:
            raise WorkerFailed(f"{'; '.join(failures)}\n{self._words()}")

    def close(self) -> None:
        """SIGKILL to whatever is left."""
        for running in [*self._running.values(), *self._replaced]:
            running.process.kill()
            running.process.wait()
            if running.process.stdin is not None:
                running.process.stdin.close()
        self._running.clear()
        self._replaced.clear()

    def _words(self) -> str:
        with contextlib.suppress(FileNotFoundError):
            return self._log.read_bytes()[-_WORDS:].decode(errors="replace")
        return ""
