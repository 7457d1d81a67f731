from __future__ import annotations

import json

import pytest
from tests.unit.client.cli.conftest import Command

from odradek.client.cli import exits


@pytest.fixture
def orders(odradek: Command) -> Command:
    """A topic with five records in its only partition."""
    odradek("topic", "create", "g-orders", "-p", "1", "--if-not-exists")
    if not odradek("consume", "g-orders", "-e").out:
        for key in "abcde":
            odradek("produce", "g-orders", "-k", key, "--tombstone")
    return odradek


def test_seek_describe_delete(orders: Command) -> None:
    assert orders("group", "seek", "g-one", "--to", "start").code == exits.NOT_FOUND
    moved = orders("group", "seek", "g-one", "--to", "-2", "-t", "g-orders", "-o", "json")
    assert json.loads(moved.out) == [{"topic": "g-orders", "partition": 0, "from": None, "to": 3}]
    dry = orders("group", "seek", "g-one", "--to", "start", "--dry-run", "-o", "json")
    assert json.loads(dry.out)[0]["to"] == 0
    described = json.loads(orders("group", "describe", "g-one", "-o", "json").out)[0]
    assert (described["state"], described["lag"], described["partitions"][0]["offset"]) == ("empty", 2, 3)
    assert "lag 2" in orders("group", "describe", "g-one").out
    assert orders("group", "seek", "g-two", "--to-group", "g-one").code == exits.OK
    assert orders("group", "seek", "g-two", "--to", "@2000-01-01").out.split()[-1] == "0"
    assert orders("group", "seek", "g-two", "--to", "@-0s").out.split()[-1] == "5"
    names = [
        row["group"] for row in json.loads(orders("group", "list", "-o", "json", "--state", "empty").out)
    ]
    assert {"g-one", "g-two"} <= set(names)
    assert orders("group", "offset-delete", "g-two", "-t", "g-orders/0").code == exits.OK
    deleted = orders("group", "delete", "g-one", "g-nobody")
    assert (deleted.code, deleted.out) == (exits.PARTLY, "g-one: deleted\n")
    assert "g-nobody" in deleted.err


def test_who_is_not_there(orders: Command) -> None:
    assert orders("group", "describe", "g-none").code == exits.NOT_FOUND
    assert orders("group", "seek", "g-none", "--to", "noon").code == exits.USAGE
    assert orders("group", "seek", "g-none", "--to-group", "g-none").code == exits.NOT_FOUND
    assert orders("group", "remove-member", "g-none", "--member", "m").code == exits.NOT_FOUND
