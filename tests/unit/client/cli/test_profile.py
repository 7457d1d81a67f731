from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from tests.unit.client.cli.conftest import Command

from odradek.client.cli import exits


def test_profiles_are_made_used_and_deleted(alone: Command, server: str) -> None:
    assert alone("profile", "create", "here", "--servers", server).out.endswith("and in use\n")
    assert (
        alone("profile", "create", "there", "--servers", "h:1,i", "--client-id", "me", "--no-use").code
        == exits.OK
    )
    assert alone("profile", "create", "here").code == exits.FAILED
    assert alone("topic", "list").code == exits.OK
    rows = json.loads(alone("profile", "list", "-o", "json").out)
    assert [(row["name"], row["in_use"]) for row in rows] == [("here", True), ("there", False)]
    assert json.loads(alone("profile", "show", "there", "-o", "json").out)["servers"] == ["h:1", "i:50051"]
    assert alone("profile", "use", "there").code == exits.OK
    assert json.loads(alone("profile", "show", "-o", "json").out)["client_id"] == "me"
    assert alone("topic", "list", "--profile", "here").code == exits.OK
    assert alone("topic", "list", "--profile", "nowhere").code == exits.NOT_FOUND
    assert alone("profile", "delete", "there").code == exits.OK
    assert alone("profile", "use", "there").code == exits.NOT_FOUND
    assert alone("profile", "create", "a b").code == exits.USAGE


def test_edit_takes_only_what_can_be_read(
    alone: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = tmp_path / "editor.py"
    monkeypatch.setenv("VISUAL", f"{sys.executable} {editor}")
    editor.write_text("import sys; open(sys.argv[1], 'w').write('[profiles.x]\\nservers = [\"h:1\"]\\n')")
    assert alone("profile", "edit").code == exits.OK
    assert "h:1" in alone("profile", "list").out
    editor.write_text("import sys; open(sys.argv[1], 'w').write('servers = 1')")
    wrong = alone("profile", "edit")
    assert wrong.code == exits.USAGE and "unknown: servers" in wrong.err
    assert "h:1" in alone("profile", "list").out
    editor.write_text("import sys; sys.exit(3)")
    assert alone("profile", "edit").code == exits.FAILED
    monkeypatch.setenv("VISUAL", str(tmp_path / "none"))
    assert "cannot start the editor" in alone("profile", "edit").err
