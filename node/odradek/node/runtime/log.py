"""How the node writes its log: stdlib logging, one line for each event, on one stream.

Decides: the form of a line, and which library may say how much. A line is time (UTC), level, the part of the
node, and the text; line breaks inside a text are written as \\n, so that nobody can forge a line. A
traceback follows its line, indented."""

from __future__ import annotations

import logging
import time
from typing import Final, TextIO

LEVELS: Final = ("debug", "info", "warning", "error")
_PREFIX: Final = "odradek."


class LineFormatter(logging.Formatter):
    """One line for each record: `2026-01-31T12:00:00.123Z INFO    node.broker: text`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, with a traceback behind it if there is one."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        source = record.name.removeprefix(_PREFIX)
        text = record.getMessage().replace("\r", "\\r").replace("\n", "\\n")
        line = f"{stamp}.{int(record.msecs):03d}Z {record.levelname:<7} {source}: {text}"
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        return f"{line}\n{_indented(record.exc_text)}" if record.exc_text else line


def configure_logging(level: str, stream: TextIO) -> None:
    """Send everything of `level` (one of LEVELS) and above to `stream`. Replaces what was configured"
    " before."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    # The event loop reports every slow callback at debug level, which drowns everything else.
    logging.getLogger("asyncio").setLevel(max(logging.INFO, root.level))


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
