"""Writes the README's table of served API keys and versions from the registry: `python node/tools/api_table.py`.

Not shipped. `tests/arch/test_readme.py` fails when the table is not what this prints.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from odradek.node.kafka_api.routes import Services, build_registry
from odradek.proto.kafka.api import ApiKey, request_class

README = Path(__file__).resolve().parents[2] / "README.md"
BEGIN, END = "<!-- api-table:begin -->\n", "<!-- api-table:end -->\n"
_COLUMNS = 3


class _NoServices(SimpleNamespace):
    """Handlers only keep their services until a request comes."""

    def __getattr__(self, name: str) -> Any:
        return None


def table() -> str:
    """Markdown: key, name and versions, three APIs a row."""
    registry = build_registry(cast(Services, _NoServices()))
    cells: list[str] = []
    for key, _, high in registry.advertised():
        route = registry.routes.get(key)
        assert route is not None
        name = request_class(ApiKey(key)).__name__.removesuffix("Request")
        versions = str(high) if route.min_version == high else f"{route.min_version}-{high}"
        cells.append(f"{key} | {name} | {versions}")
    rows = -(-len(cells) // _COLUMNS)
    lines = [
        "| " + " | ".join(["key | API | versions"] * _COLUMNS) + " |",
        "|" + "---|---|---|" * _COLUMNS,
    ]
    for row in range(rows):
        line = [cells[at] if at < len(cells) else " | | " for at in range(row, rows * _COLUMNS, rows)]
        lines.append("| " + " | ".join(line) + " |")
    return "\n".join(lines) + "\n"


def with_table(text: str) -> str:
    """The README with the table between its marks."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}{table()}{END}{tail}"


if __name__ == "__main__":
    README.write_text(with_table(README.read_text()))
    sys.stdout.write(f"{README.name} is up to date\n")
