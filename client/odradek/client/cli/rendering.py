"""What verbs print: the same data as a table, as JSON or as YAML. Pure.

The keys of the data are stable, for scripts: what a table leaves out for width is in JSON and YAML all the same.
Tables are plain aligned text, never cut or wrapped, so that `cut`, `awk` and `grep` work on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

FORMATS: Final = ("table", "json", "yaml")

Row = Mapping[str, Any]


class Table(NamedTuple):
    """Rows and which of their keys are shown, in order. A column's title is its key in capitals, with spaces for
    underscores, unless it is given as `key:title`."""

    rows: Sequence[Row]
    columns: Sequence[str]
    title: str = ""


def render(data: Any, tables: Sequence[Table], output: str) -> str:
    """The text of `data` (lists, mappings with string keys, and scalars) as JSON or YAML; of `tables` else."""
    if output == "json":
        import json

        return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    if output == "yaml":
        import yaml

        return str(yaml.safe_dump(data, sort_keys=False, allow_unicode=True, default_flow_style=False))
    return "\n".join(_table(table) for table in tables)


def _table(table: Table) -> str:
    keys = [column.partition(":")[0] for column in table.columns]
    titles = [(column.partition(":")[2] or column).upper().replace("_", " ") for column in table.columns]
    cells = [titles, *([cell(row.get(key)) for key in keys] for row in table.rows)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(keys))]
    numeric = [bool(table.rows) and all(_is_number(row.get(key)) for row in table.rows) for key in keys]
    lines = [
        "  ".join(
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in cells
    ]
    if table.title:
        lines.insert(0, table.title)
    return "".join(f"{line}\n" for line in lines)


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def cell(value: Any) -> str:
    """A value in a table: `-` for none, lists with commas, yes and no."""
    if value is None or value in ("", [], ()):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ",".join(cell(one) for one in value)
    if isinstance(value, Mapping):
        return ",".join(f"{name}={cell(one)}" for name, one in value.items())
    if isinstance(value, float):
        return f"{value:.1f}"
    return str(value)


def properties(data: Mapping[str, Any]) -> Table:
    """A table of one thing: its fields below each other."""
    return Table(
        [{"field": name.replace("_", " "), "value": cell(value)} for name, value in data.items()],
        ("field", "value"),
    )
