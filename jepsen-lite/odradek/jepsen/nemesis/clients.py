"""Clients that die, and clients that come back from the dead.

Decides: which worker is struck and how it is replaced. Does not decide: how workers run (`Workers`, a port).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Protocol


class Workers(Protocol):
    """The client processes of a run, each by a name that it keeps over its incarnations."""

    def names(self, producers: bool = False) -> Sequence[str]:
        """Those that live, or those of them that send; in an order that does not change."""

    def kill(self, name: str) -> None:
        """SIGKILL, and wait for the end."""

    def pause(self, name: str) -> None:
        """SIGSTOP."""

    def resume(self, name: str) -> None:
        """SIGCONT to the one that was paused, also when another one runs under its name now."""

    def respawn(self, name: str) -> None:
        """Start a fresh incarnation: a new process of the history that takes the place of the old one, whether that
        one is dead or stands still."""


class ClientCrash:
    """SIGKILL for one worker, a fresh one at `stop`."""

    name = "client-crash"

    def __init__(self, workers: Workers, random: Random) -> None:
        self._workers = workers
        self._random = random
        self._struck: str | None = None

    def start(self) -> Mapping[str, object]:
        names = self._workers.names()
        if not names:
            return {"nodes": [], "worker": None, "did": False}
        self._struck = self._random.choice(names)
        self._workers.kill(self._struck)
        return {"nodes": [], "worker": self._struck}

    def stop(self) -> Mapping[str, object]:
        struck, self._struck = self._struck, None
        if struck is not None:
            self._workers.respawn(struck)
        return {"nodes": [], "worker": struck}


class ZombieProducer:
    """A producer stands still for longer than its delivery timeout, is replaced, and goes on at `stop`.

    What it wakes up with are records that it believes to be in time, on a producer id that the broker still knows.
    """

    name = "zombie-producer"

    def __init__(self, workers: Workers, random: Random) -> None:
        self._workers = workers
        self._random = random
        self._struck: str | None = None

    def start(self) -> Mapping[str, object]:
        names = self._workers.names(producers=True)
        if not names:
            return {"nodes": [], "worker": None, "did": False}
        self._struck = self._random.choice(names)
        self._workers.pause(self._struck)
        self._workers.respawn(self._struck)
        return {"nodes": [], "worker": self._struck}

    def stop(self) -> Mapping[str, object]:
        struck, self._struck = self._struck, None
        if struck is not None:
            self._workers.resume(struck)
        return {"nodes": [], "worker": struck}
