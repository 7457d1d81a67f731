from __future__ import annotations

import json

import pytest
from tests.unit.client.cli.conftest import Command

from odradek.client.cli import exits
from odradek.client.cli.config import parse_resource


def test_resources() -> None:
    assert parse_resource("topic:a:b") == ("topic", "a:b")
    assert parse_resource("node:3") == parse_resource("broker:3") == ("node", "3")
    assert parse_resource("cluster") == ("node", "")
    for wrong in ("", "orders", "topic:", "node:x", "group:g"):
        with pytest.raises(ValueError, match="write topic:NAME"):
            parse_resource(wrong)


def test_settings_of_a_topic(odradek: Command) -> None:
    odradek("topic", "create", "conf", "--if-not-exists")
    assert odradek("config", "set", "topic:conf", "retention.ms=5000", "--dry-run").code == exits.OK
    assert odradek("config", "list", "topic:conf", "--changed").out.count("\n") == 1
    assert odradek("config", "set", "topic:conf", "retention.ms=5000").code == exits.OK
    assert odradek("config", "get", "topic:conf", "retention.ms").out == "5000\n"
    rows = json.loads(odradek("config", "list", "topic:conf", "--changed", "-o", "json").out)
    assert [(row["name"], row["source"]) for row in rows] == [("retention.ms", "topic")]
    assert odradek("config", "delete", "topic:conf", "retention.ms").code == exits.OK
    assert odradek("config", "get", "topic:conf", "retention.ms", "nope").code == exits.PARTLY
    assert odradek("config", "get", "topic:conf", "nope").code == exits.NOT_FOUND
    wrong = odradek("config", "set", "topic:conf", "retention.ms=soon")
    assert wrong.code == exits.FAILED and "expected a whole number" in wrong.err
    assert odradek("config", "list", "topic:ghost").code == exits.NOT_FOUND


def test_settings_of_nodes(odradek: Command) -> None:
    assert "DOCUMENTATION" in odradek("config", "list", "node:1", "--docs").out
    assert odradek("config", "get", "cluster", "no.such").code == exits.NOT_FOUND
