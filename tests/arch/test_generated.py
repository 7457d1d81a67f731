"""Generated modules are what their sources say, and the build file fits to them."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]


def _tool() -> ModuleType:
    path = ROOT / "proto" / "tools" / "compile_protos.py"
    spec = importlib.util.spec_from_file_location("compile_protos", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_nothing_generated_is_stale() -> None:
    tool = _tool()
    wanted = tool.generated()
    assert wanted
    assert tool.stale(wanted) == [], "make generate"


def test_a_changed_and_a_forgotten_file_are_stale() -> None:
    tool = _tool()
    wanted = tool.generated()
    changed, forgotten, *_ = sorted(wanted)
    rest = {path: content for path, content in wanted.items() if path != forgotten}
    assert tool.stale(rest | {changed: b"something else"}) == [changed, forgotten]


def test_the_oldest_protobuf_allowed_can_load_what_is_generated() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    oldest = re.search(r'"protobuf>=([0-9.]+)', project)
    assert oldest is not None
    for path in (ROOT / "proto/odradek").rglob("*_pb2.py"):
        made_for = re.search(r"^# Protobuf Python Version: (\S+)$", path.read_text(encoding="utf-8"), re.M)
        assert made_for is not None and made_for[1] == oldest[1], path
