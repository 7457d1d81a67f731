"""What a poll brought, in the shape that histories have.

Decides: how records, errors and records that nobody sent are told. A poll that brought a corrupt record tells it in
`more`: "corrupt": [{"key": key, "offset": offset, "reason": text}, ...], and leaves it out of its value.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Polled:
    """Filled record by record."""

    records: dict[str, list[list[int]]] = field(default_factory=dict)
    corrupt: list[dict[str, Any]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, key: str, offset: int, value: int) -> None:
        self.count += 1
        found = self.records.get(key)
        if found is None:
            self.records[key] = [[offset, value]]
        else:
            found.append([offset, value])

    def value(self) -> list[Any]:
        """The micro-operation, as told."""
        return [["poll", self.records]]

    def last_offsets(self) -> dict[str, int]:
        return {key: records[-1][0] for key, records in self.records.items()}

    def more(self, moved: Sequence[str] = (), final: bool = False) -> dict[str, Any] | None:
        """`moved`: keys that came or went meanwhile."""
        told: dict[str, Any] = {}
        if moved:
            told["rebalanced"] = list(moved)
        if final:
            told["final"] = True
        if self.corrupt:
            told["corrupt"] = self.corrupt
        if self.errors:
            told["errors"] = self.errors
        return told or None


def end_status(name: str, left: Mapping[str, int]) -> int:
    """Of a worker that had to read everything: 1 when keys are left, which the log of the workers names then."""
    if left:
        sys.stderr.write(f"{name} did not read to their ends: {dict(sorted(left.items()))}\n")
    return 1 if left else 0
