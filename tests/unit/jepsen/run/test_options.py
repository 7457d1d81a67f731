"""Options that make no sense are refused with what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from odradek.jepsen.run.options import Options, OptionsError


def test_the_defaults_make_sense() -> None:
    assert Options(seed=1, folder=Path("x")).nodes == 3


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"flavour": "redpanda"}, "odradek, kafka"),
        ({"nodes": 0}, "1 to 7"),
        ({"nodes": 8}, "1 to 7"),
        ({"seconds": 4}, "at least 5"),
        ({"workloads": ()}, "names none"),
        ({"interval_s": (30.0, 15.0)}, "the shorter first"),
        ({"interval_s": (0.5, 1.0)}, "1 s or more"),
        ({"flavour": "kafka", "command": ("odradek",)}, "no meaning for Apache Kafka"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(OptionsError, match=named):
        Options(seed=1, folder=Path("x"), **wrong)
