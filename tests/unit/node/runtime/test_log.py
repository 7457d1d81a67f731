"""What a line of the log looks like."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from odradek.node.runtime.log import LEVELS, LineFormatter, configure_logging


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def _record(text: str, *arguments: object) -> logging.LogRecord:
    record = logging.LogRecord("odradek.node.broker", logging.INFO, "", 0, text, arguments, None)
    record.created, record.msecs = 1_769_860_800.5, 500.0
    return record


def test_one_event_is_one_line_in_utc() -> None:
    line = LineFormatter().format(_record("partition %s\nforged", "t-0"))
    assert line == "2026-01-31T12:00:00.500Z INFO    node.broker: partition t-0\\nforged"


def test_a_traceback_follows_indented() -> None:
    stream = io.StringIO()
    configure_logging("info", stream)
    try:
        raise ValueError("bad\nnews")
    except ValueError:
        logging.getLogger("odradek.x").exception("it broke")
    first, *rest = stream.getvalue().splitlines()
    assert first.endswith("ERROR   x: it broke")
    assert all(line.startswith("    ") for line in rest)


@pytest.mark.parametrize("level", LEVELS)
def test_lower_levels_are_left_out(level: str) -> None:
    stream = io.StringIO()
    configure_logging(level, stream)
    for each in LEVELS:
        logging.getLogger("odradek.x").log(getattr(logging, each.upper()), each)
    said = [line.rpartition(" ")[2] for line in stream.getvalue().splitlines()]
    assert said == list(LEVELS[LEVELS.index(level) :])


def test_configuring_again_replaces_the_stream() -> None:
    first, second = io.StringIO(), io.StringIO()
    configure_logging("info", first)
    configure_logging("info", second)
    logging.getLogger("odradek.x").info("once")
    assert first.getvalue() == ""
    assert second.getvalue().count("once") == 1


def test_the_event_loop_stays_quiet_at_debug_level() -> None:
    configure_logging("debug", io.StringIO())
    assert not logging.getLogger("asyncio").isEnabledFor(logging.DEBUG)
