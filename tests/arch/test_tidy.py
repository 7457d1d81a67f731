"""Rules of the house that no linter knows: sizes, names, and a test beside every module.

The rules are checked on the syntax tree, so that a word in a text is not mistaken for code.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("proto", "storage", "raft", "node", "client", "jepsen-lite")
MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 70
MAX_CONSTRUCTOR_ARGUMENTS = 8

#: Words that a class name may not end in or contain as a word: each hides what the class is.
FORBIDDEN_WORDS = {"Manager", "Helper", "Util", "Utils", "Impl", "Base"}

#: The schema tables are data, one class for each message; the round trip tests go through all of them.
MESSAGES = "proto/odradek/proto/kafka/messages/"

#: What proto/tools/compile_protos.py writes (tests/arch/test_generated.py compares it), and builds of the examples.
GENERATED = ("_pb2.py", "_pb2_grpc.py")

#: Modules that are data, or only shapes without behaviour, and are tested by whoever uses them.
WITHOUT_TEST_PARTNER = {
    "node/odradek/node/config/table_cluster.py",
    "node/odradek/node/config/table_groups.py",
    "node/odradek/node/config/table_log.py",
    "node/odradek/node/config/table_network.py",
    "node/odradek/node/config/table_security.py",
    "node/odradek/node/app/context.py",
    "node/odradek/node/app/elsewhere.py",
    "node/odradek/node/partition/placement.py",
    "node/odradek/node/partition/ports.py",
    "node/odradek/node/http_api/sources.py",
    "storage/odradek/storage/disk.py",
    "raft/odradek/raft/ports.py",
    "jepsen-lite/odradek/jepsen/ports.py",
    "jepsen-lite/odradek/jepsen/checkers/anomaly.py",
}

# Written in pieces, so that this file does not find itself.
DEBUG_MARKS = ("breakpoint" + "(", "pdb." + "set_trace", "TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")
MACHINE_PATHS = re.compile(r"/(ro" + r"ot|ho" + r"me|Users|wo" + r"rk)/[a-z]")


def _modules() -> list[str]:
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    paths = [path for path in paths if not path.name.endswith(GENERATED)]
    return sorted(path.relative_to(ROOT).as_posix() for path in paths)


def _source_modules() -> list[str]:
    """Modules of the product, without generated ones and without the schema tables."""
    return [name for name in _modules() if "/odradek/" in name and not name.startswith(MESSAGES)]


def _test_modules() -> list[str]:
    return sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("*.py"))


@cache
def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@cache
def _tree(name: str) -> ast.Module:
    return ast.parse(_text(name), name)


def _functions(name: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(_tree(name)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _classes(name: str) -> Iterator[ast.ClassDef]:
    for node in ast.walk(_tree(name)):
        if isinstance(node, ast.ClassDef):
            yield node


def _listed(found: Iterable[str]) -> str:
    """The whole list: pytest would cut it."""
    return "\n" + "\n".join(found)


def test_there_is_something_to_check() -> None:
    assert len(_source_modules()) > 50
    assert len(_test_modules()) > 20


def test_files_are_short() -> None:
    names = [*_source_modules(), *_test_modules()]
    long = [f"{name}: {lines}" for name in names if (lines := _text(name).count("\n")) > MAX_FILE_LINES]
    assert not long, _listed(long)


def test_functions_are_short() -> None:
    long = []
    for name in [*_source_modules(), *_test_modules()]:
        for function in _functions(name):
            lines = (function.end_lineno or function.lineno) - function.lineno + 1
            if lines > MAX_FUNCTION_LINES:
                long.append(f"{name}: {function.name} has {lines} lines")
    assert not long, _listed(long)


def test_constructors_take_few_arguments() -> None:
    wide = []
    for name in _source_modules():
        for owner in _classes(name):
            for function in owner.body:
                if isinstance(function, ast.FunctionDef) and function.name == "__init__":
                    arguments = function.args
                    count = len(arguments.posonlyargs) + len(arguments.args) + len(arguments.kwonlyargs) - 1
                    if count > MAX_CONSTRUCTOR_ARGUMENTS:
                        wide.append(f"{name}: {owner.name} takes {count}")
    assert not wide, _listed(wide)


def test_every_module_says_what_it_is() -> None:
    silent = [
        name
        for name in _source_modules()
        if not name.endswith("__init__.py") and not ast.get_docstring(_tree(name))
    ]
    assert not silent, _listed(silent)


def test_class_names_say_what_a_class_is() -> None:
    vague = []
    for name in [*_source_modules(), *_test_modules()]:
        for owner in _classes(name):
            words = set(re.findall(r"[A-Z][a-z0-9]*", owner.name))
            if words & FORBIDDEN_WORDS:
                vague.append(f"{name}: {owner.name}")
    assert not vague, _listed(vague)


def test_only_the_command_line_prints() -> None:
    printing = [
        f"{name}:{node.lineno}"
        for name in [*_source_modules(), *_test_modules()]
        if not name.startswith("tests/bench/") and name != "node/odradek/node/cli.py"
        for node in ast.walk(_tree(name))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not printing, _listed(printing)


def test_no_marks_of_unfinished_work() -> None:
    marked = [
        f"{name}: {mark}"
        for name in [*_modules(), *_test_modules()]
        for mark in DEBUG_MARKS
        if re.search(rf"(?<![A-Za-z]){re.escape(mark)}(?![A-Za-z])", _text(name))
    ]
    assert not marked, _listed(marked)


def test_no_path_of_one_machine() -> None:
    names = [*_modules(), *_test_modules(), "Makefile", "pyproject.toml", "README.md", ".ci/run"]
    found = [name for name in names if MACHINE_PATHS.search(_text(name))]
    assert not found, _listed(found)


def test_nothing_swallows_everything() -> None:
    bare = [
        f"{name}:{node.lineno}"
        for name in _source_modules()
        for node in ast.walk(_tree(name))
        if isinstance(node, ast.ExceptHandler) and node.type is None
    ]
    assert not bare, _listed(bare)


def _partner(name: str) -> str:
    """The unit test of a module: the path below `odradek`, in tests/unit."""
    inside = name.partition("/odradek/")[2]
    folder, _, module = inside.rpartition("/")
    return f"tests/unit/{folder}/test_{module}"


@pytest.mark.parametrize("name", sorted(WITHOUT_TEST_PARTNER))
def test_exceptions_are_needed(name: str) -> None:
    if (ROOT / name).exists():
        assert not (ROOT / _partner(name)).exists(), f"{name} has a test now: take it off the list"


def test_every_module_has_a_test_partner() -> None:
    alone = [
        name
        for name in _source_modules()
        if not name.endswith("__init__.py")
        and name not in WITHOUT_TEST_PARTNER
        and not (ROOT / _partner(name)).exists()
    ]
    assert not alone, _listed(alone)


def test_every_unit_test_has_a_module() -> None:
    packages = {name.rpartition("/")[0] + ".py" for name in _modules() if name.endswith("__init__.py")}
    partners = {_partner(name) for name in [*_source_modules(), *packages]}
    lost = [
        name
        for name in _test_modules()
        if name.startswith("tests/unit/") and Path(name).name.startswith("test_") and name not in partners
    ]
    assert not lost, _listed(lost)
