"""What the documentation of `odradek.testing` shows is run as it stands."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest
from tests.compat.pytest_runs import run_pytest

import odradek.testing

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"


def examples_of_the_page() -> str:
    """Every block of the page that is a whole test."""
    blocks: list[str] = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return "\n".join(block for block in blocks if block.startswith("from ") and "def test_" in block)


def example_of_the_package() -> str:
    text = odradek.testing.__doc__ or ""
    return textwrap.dedent(text.partition("\n\n")[2].partition("\n`Broker`")[0])


@pytest.mark.parametrize(("source", "count"), [(examples_of_the_page(), 3), (example_of_the_package(), 2)])
def test_the_examples_work(tmp_path: Path, source: str, count: int) -> None:
    (tmp_path / "test_it.py").write_text(source)
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    done = run_pytest(tmp_path)
    assert f"{count} passed" in done.stdout, done.stdout + done.stderr
