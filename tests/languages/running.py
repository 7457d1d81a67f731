"""An example that runs: its lines so far, its end.

Decides: how a program is started and waited for. Does not decide: what it should have said.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from tests.compat.clusters import until


class Seen(NamedTuple):
    """What a consumer said of one record."""

    partition: int
    offset: int
    value: int


class Running:
    """A process; as a context manager it is killed if it still runs."""

    def __init__(self, command: Sequence[str], arguments: Sequence[str], folder: Path, log: Path) -> None:
        self._output, self._errors = log.with_suffix(".out"), log.with_suffix(".err")
        with self._output.open("wb") as output, self._errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [*command, *arguments], cwd=folder, stdout=output, stderr=errors, stdin=subprocess.DEVNULL
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()

    def lines(self) -> list[str]:
        """The whole lines so far."""
        return self._output.read_text().split("\n")[:-1]

    def await_lines(self, count: int, timeout_s: float = 90.0) -> None:
        """Fails when it ends before, with another status than 0."""

        def look() -> bool:
            assert not self.process.poll(), self._shown()
            return self._output.read_bytes().count(b"\n") >= count

        until(look, timeout_s, lambda: f"{count} lines: {self._shown()}")

    def await_end(self, timeout_s: float = 90.0) -> int:
        """The exit status."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"does not end: {self._shown()}") from None

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def complaints(self) -> str:
        return self._errors.read_text()[-2000:]

    def _shown(self) -> str:
        lines = self.lines()
        return f"{self.process.args!r}\n{len(lines)} lines, at last {lines[-3:]}\n{self.complaints()}"


def acknowledged(producer: Running) -> list[int]:
    """The numbers that a producer has said to be safe, in the order in which it did."""
    numbers: list[int] = []
    for line in producer.lines():
        word, first, last = line.split()
        assert word == "acknowledged", line
        numbers.extend(range(int(first), int(last) + 1))
    return numbers


def seen(consumer: Running) -> list[Seen]:
    return [Seen(*map(int, line.split())) for line in consumer.lines()]
