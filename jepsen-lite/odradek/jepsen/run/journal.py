"""What the run itself did, as events in the history: faults that began and ended, and phases.

Decides: the shape of those events. Does not decide: when a fault comes (`nemesis.schedule`).
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from odradek.jepsen.history import NEMESIS, Event, Writer


class Journal:
    """Writes the events of process "nemesis". May be used from several threads."""

    def __init__(self, path: Path, now_ns: Callable[[], int]) -> None:
        self._writer = Writer(path)
        self._now_ns = now_ns
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self.healed_ns: int | None = None  #: when the last fault was stopped

    def fault(self, number: int, name: str, phase: str, told: Mapping[str, object]) -> None:
        """`phase`: start, stop, or failed (what could not be done is no fault, but it must not be silent)."""
        if phase == "stop":
            self.healed_ns = self._now_ns()
        self._write("fault", {"fault": number, "name": name, "phase": phase, **told})

    def phase(self, name: str) -> None:
        """The run enters a phase: load, faults, healing, stopping (the load ends), final-reads, replicas."""
        self._write("phase", name)

    def _write(self, f: str, value: object) -> None:
        with self._lock:
            self._writer.write(Event(self._now_ns(), NEMESIS, next(self._numbers), "info", f, value))

    def close(self) -> None:
        self._writer.close()
