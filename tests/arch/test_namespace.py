"""One namespace package over six folders: what would break it is forbidden here."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("proto", "storage", "raft", "node", "client", "jepsen-lite")
#: A folder brings the part of its name, but for this one: a hyphen is no name in Python.
PART = {"jepsen-lite": "jepsen"}


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_folder_claims_the_namespace_for_itself(folder: str) -> None:
    assert (ROOT / folder / "odradek").is_dir()
    assert not (ROOT / folder / "odradek" / "__init__.py").exists(), "it would hide the other folders"
    assert not (ROOT / folder / "__init__.py").exists()


def test_every_package_below_says_that_it_is_one() -> None:
    missing = []
    for folder in FOLDERS:
        for path in sorted((ROOT / folder / "odradek").rglob("*.py")):
            package = path.parent
            if package == ROOT / "proto/odradek/v1":
                continue  # what others generate from the same files lies beside it
            if package != ROOT / folder / "odradek" and not (package / "__init__.py").exists():
                missing.append(str(package.relative_to(ROOT)))
    assert sorted(set(missing)) == []


def test_each_folder_brings_only_its_own_part() -> None:
    for folder in FOLDERS:
        parts = {path.name for path in (ROOT / folder / "odradek").iterdir() if path.is_dir()} - {
            "__pycache__"
        }
        own = {"node": {"testing"}, "proto": {"v1"}}.get(folder, set())
        assert parts <= {PART.get(folder, folder)} | own


def test_tests_are_no_package() -> None:
    assert [str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("__init__.py")] == []


def test_all_parts_are_importable_side_by_side() -> None:
    import importlib

    for folder in FOLDERS:
        module = importlib.import_module(f"odradek.{PART.get(folder, folder)}")
        assert module.__file__ is not None
        assert Path(module.__file__).is_relative_to(ROOT / folder)
