"""Source text under construction: lines, indentation, names of constants, and the shape shared by both
compilers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast


class Source:
    """One function being written. `scope` holds the objects that its text refers to by name."""

    def __init__(self, scope: dict[str, Any]) -> None:
        self.lines: list[str] = []
        self.scope = scope
        self._depth = 0
        self._names: dict[int, str] = {}

    def emit(self, line: str) -> None:
        self.lines.append("    " * self._depth + line)

    @contextmanager
    def block(self, header: str) -> Iterator[None]:
        """Everything emitted inside is the body of `header`; `pass` if nothing is."""
        self.emit(header)
        self._depth += 1
        before = len(self.lines)
        yield
        if len(self.lines) == before:
            self.emit("pass")
        self._depth -= 1

    def constant(self, prefix: str, value: Any) -> str:
        """The name by which the text refers to `value`."""
        name = self._names.get(id(value))
        if name is None:
            name = f"{prefix}{len(self._names)}"
            self._names[id(value)] = name
            self.scope[name] = value
        return name

    def build(self, name: str, title: str) -> Callable[..., Any]:
        """Compiles the text and returns the function `name` that it defines."""
        exec(compile("\n".join(self.lines), f"<{title}>", "exec"), self.scope)
        return cast("Callable[..., Any]", self.scope[name])
