"""The derived modules are what the tools derive."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[4]
MESSAGES = ROOT / "proto" / "odradek" / "proto" / "kafka" / "messages"
VARIABLE = "ODRADEK_KAFKA_CLIENTS_JAR"


def load_tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "proto" / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


def test_deriving_again_changes_nothing(tmp_path: Path) -> None:
    jar = os.environ.get(VARIABLE)
    if not jar:
        pytest.skip(f"{VARIABLE} is not set: the messages are NOT compared with Kafka's definitions")
    written = load_tool("derive_messages").derive(Path(jar), tmp_path)
    for path in written:
        assert path.read_text() == (MESSAGES / path.name).read_text(), path.name


def test_every_module_is_derived_and_says_so() -> None:
    families = load_tool("derive_messages").FAMILIES
    names = {path.stem for path in MESSAGES.glob("*.py")} - {"__init__"}
    assert names == {*families, "index"}
    for name in names:
        assert (MESSAGES / f"{name}.py").read_text().startswith('"""Derived from kafka-clients-')


def test_facts_only() -> None:
    """No comment is carried over: the only one is ours, above the index."""
    comments = [
        line
        for path in sorted(MESSAGES.glob("*.py"))
        for line in path.read_text().splitlines()
        if "#" in line
    ]
    assert len(comments) == 1
    assert comments[0].startswith("# key: name, family module")


@pytest.mark.parametrize(
    ("kafka", "ours"),
    [
        ("ThrottleTimeMs", "throttle_time_ms"),
        ("IsrNodes", "isr_nodes"),
        ("V3AndBelowTransactionalId", "v3_and_below_transactional_id"),
        ("KRaftVersionFeature", "k_raft_version_feature"),
    ],
)
def test_names(kafka: str, ours: str) -> None:
    assert load_tool("derive_messages").snake(kafka) == ours
