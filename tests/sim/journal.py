"""What nodes write to their log during a run: kept for the report of a seed that fails, with virtual time and node.

A traceback in the log is a violation (X1): the node met something that nobody had thought of.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TextIO

from tests.sim.loop import HostLoop, Scheduler

_KEPT = 200


class Journal(logging.Handler):
    """The root logger's handler while a run goes on. `echo`: where to write every line at once, if anywhere."""

    def __init__(self, scheduler: Scheduler, echo: TextIO | None = None) -> None:
        super().__init__(logging.INFO)
        self.lines: deque[str] = deque(maxlen=_KEPT)
        self._scheduler = scheduler
        self._echo = echo
        self._root = logging.getLogger()
        self._before: list[logging.Handler] = []
        self._level = self._root.level

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        loop = asyncio._get_running_loop()
        where = loop.name if isinstance(loop, HostLoop) else "-"
        at_s = self._scheduler.now_us / 1e6
        line = f"{at_s:10.6f} {where:<12} {record.levelname:<7} {record.name}: {record.getMessage()}"
        self.lines.append(line)
        if record.exc_info and record.exc_info[1] is not None and record.levelno >= logging.ERROR:
            error = record.exc_info[1]
            self._scheduler.problems.append(f"{where} logged {record.getMessage()}: {error!r}")
            line += "\n" + logging.Formatter().formatException(record.exc_info)
            self.lines.append(line)
        if self._echo is not None:
            self._echo.write(line + "\n")

    def __enter__(self) -> Journal:
        self._before = self._root.handlers[:]
        self._root.handlers[:] = [self]
        self._level = self._root.level
        self._root.setLevel(logging.INFO)
        return self

    def __exit__(self, *_: object) -> None:
        self._root.handlers[:] = self._before
        self._root.setLevel(self._level)
