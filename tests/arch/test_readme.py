"""The README says what the code does."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_table_of_apis_is_that_of_the_registry() -> None:
    path = ROOT / "node" / "tools" / "api_table.py"
    spec = importlib.util.spec_from_file_location("api_table", path)
    assert spec is not None and spec.loader is not None
    api_table = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(api_table)
    text = (ROOT / "README.md").read_text()
    assert api_table.with_table(text) == text, "run: python node/tools/api_table.py"
