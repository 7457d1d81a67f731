"""The README says what the code does."""

import importlib.util
from pathlib import Path

from odradek.jepsen.nemesis.kinds import KINDS
from odradek.jepsen.outcomes import markdown

ROOT = Path(__file__).resolve().parents[2]


def test_the_table_of_apis_is_that_of_the_registry() -> None:
    path = ROOT / "node" / "tools" / "api_table.py"
    spec = importlib.util.spec_from_file_location("api_table", path)
    assert spec is not None and spec.loader is not None
    api_table = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(api_table)
    text = (ROOT / "README.md").read_text()
    assert api_table.with_table(text) == text, "run: python node/tools/api_table.py"


def test_the_table_of_outcomes_is_that_of_jepsen_lite() -> None:
    text = (ROOT / "jepsen-lite" / "README.md").read_text()
    table = text.partition("<!-- outcomes:begin -->")[2].partition("<!-- outcomes:end -->")[0]
    assert table.strip() == markdown().strip(), "run: python -m odradek.jepsen outcomes"


def test_every_kind_of_fault_is_in_the_readme_of_jepsen_lite() -> None:
    text = (ROOT / "jepsen-lite" / "README.md").read_text()
    short = {name: name.replace("partition-", "-", 1) for name in KINDS}
    assert [name for name in KINDS if f"`{name}`" not in text and f"`{short[name]}`" not in text] == []
