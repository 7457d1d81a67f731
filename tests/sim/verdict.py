"""What a run found: broken invariants, by name, and what it went through, lest it tested nothing."""

from __future__ import annotations

from collections import Counter


class InvariantError(AssertionError):
    """A named invariant does not hold."""


class Verdict:
    """Collects violations. `check` also raises, so that whoever noticed it goes no further."""

    def __init__(self) -> None:
        self.violations: list[str] = []
        self.counts: Counter[str] = Counter()

    @property
    def is_clean(self) -> bool:
        return not self.violations

    def check(self, holds: bool, name: str, *facts: object) -> None:
        """`name` begins with the number of the invariant in the reliability reference."""
        if not holds:
            self.violate(name, *facts)

    def violate(self, name: str, *facts: object) -> None:
        text = f"{name}: {', '.join(map(str, facts))}"
        self.violations.append(text)
        raise InvariantError(text)

    def count(self, what: str, times: int = 1) -> None:
        self.counts[what] += times
