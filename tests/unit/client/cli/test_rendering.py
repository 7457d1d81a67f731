from __future__ import annotations

import json
from typing import Any

import yaml

from odradek.client.cli.rendering import Table, cell, properties, render

ROWS: list[dict[str, Any]] = [
    {"name": "orders", "count": 12, "nodes": [1, 2], "ok": True, "on": "no"},
    {"name": "p", "count": None, "nodes": [], "ok": False, "on": "1e3"},
]


def test_a_table_is_aligned_and_numbers_are_on_the_right() -> None:
    text = render(ROWS, [Table(ROWS, ("name", "count:HOW MANY", "nodes", "ok"))], "table")
    assert text == (
        "NAME    HOW MANY  NODES  OK\n"
        "orders        12  1,2    yes\n"
        "p              -  -      no\n"
    )  # fmt: skip


def test_an_empty_table_has_its_head() -> None:
    assert render([], [Table([], ("name", "leader_id"))], "table") == "NAME  LEADER ID\n"


def test_tables_have_titles_and_a_line_between_them() -> None:
    one = Table([{"a": 1}], ("a",), "first")
    assert render([], [one, one], "table") == "first\nA\n1\n\nfirst\nA\n1\n"


def test_machines_read_all_keys() -> None:
    assert json.loads(render(ROWS, [], "json")) == ROWS
    assert yaml.safe_load(render(ROWS, [], "yaml")) == ROWS
    assert "Größe" in render({"a": "Größe"}, [], "json") + render({"a": "Größe"}, [], "yaml")


def test_cells() -> None:
    assert [cell(one) for one in (None, "", 0, 1.25, (1, "a"), {"a": 1})] == [
        "-",
        "-",
        "0",
        "1.2",
        "1,a",
        "a=1",
    ]


def test_properties_are_one_below_the_other() -> None:
    assert render({}, [properties({"cluster_id": "x", "alive": True})], "table") == (
        "FIELD       VALUE\ncluster id  x\nalive       yes\n"
    )
