"""Whatever is judged by its name is explained by its name."""

from __future__ import annotations

import pytest

from odradek.jepsen.checkers.verdict import (
    ALLOWED_WITH_SUBSCRIBE,
    ALLOWED_WITH_WRITE_EDGES,
    ALWAYS_ALLOWED,
    GAVE_UP,
)
from odradek.jepsen.report.meanings import meaning_of


@pytest.mark.parametrize(
    "kind", sorted(ALWAYS_ALLOWED | ALLOWED_WITH_SUBSCRIBE | ALLOWED_WITH_WRITE_EDGES | {GAVE_UP})
)
def test_every_kind_that_a_policy_names_has_a_meaning(kind: str) -> None:
    assert meaning_of(kind)


def test_a_variant_of_a_cycle_has_the_meaning_of_the_cycle() -> None:
    assert meaning_of("G0-realtime") == meaning_of("G0")


def test_an_unknown_kind_has_none() -> None:
    assert meaning_of("something-new") == ""
