from __future__ import annotations

import json

from tests.unit.client.cli.conftest import Command

from odradek.client.cli import exits
from odradek.client.cli.topic import parse_settings


def test_the_life_of_a_topic(odradek: Command) -> None:
    assert odradek("topic", "create", "life", "-p", "3", "-c", "retention.ms=5000").out == (
        "life: created (3 partitions, 1 replicas)\n"
    )
    again = odradek("topic", "create", "life")
    assert (again.code, "TOPIC_ALREADY_EXISTS" in again.err) == (exits.FAILED, True)
    assert odradek("topic", "create", "life", "--if-not-exists").code == exits.OK
    assert odradek("topic", "add-partitions", "life", "-n", "2").out == "life: has 5 partitions now\n"
    assert (
        odradek("topic", "alter-config", "life", "--set", "retention.ms=7000", "--set", "x=1").code
        == exits.FAILED
    )
    assert odradek("topic", "alter-config", "life", "--set", "retention.ms=7000").out == "life: changed\n"
    described = json.loads(odradek("topic", "describe", "life", "-o", "json").out)[0]
    assert described["configs"] == {"retention.ms": "7000"}
    assert [row["partition"] for row in described["partitions"]] == [0, 1, 2, 3, 4]
    assert described["partitions"][0]["high_watermark"] == 0
    assert {"name": "life", "partitions": 5, "replicas": 1} in json.loads(
        odradek("topic", "list", "-o", "json").out
    )
    assert "life" not in odradek("topic", "list", "-r", "lif").out
    deleted = odradek("topic", "delete", "life", "ghost")
    assert (deleted.code, deleted.out) == (exits.PARTLY, "life: deleted\n")
    assert "ghost" in deleted.err
    assert odradek("topic", "describe", "life").code == exits.NOT_FOUND


def test_nothing_happens_in_a_dry_run(odradek: Command) -> None:
    assert "could be created" in odradek("topic", "create", "dry", "-a", "1", "-a", "1", "--dry-run").out
    assert odradek("topic", "describe", "dry").code == exits.NOT_FOUND
    assert odradek("topic", "create", "dry", "-a", "1", "-p", "2").code == exits.USAGE


def test_trimming(odradek: Command) -> None:
    odradek("topic", "create", "trim", "-p", "1")
    for value in "abc":
        assert odradek("topic", "produce", "trim", "-k", value, "--tombstone").code == exits.OK
    assert odradek("topic", "trim-prefix", "trim", "-o", "-1").out == "trim/0: begins at 2 now\n"
    assert odradek("topic", "trim-prefix", "trim", "-o", "99").code == exits.FAILED
    assert odradek("topic", "trim-prefix", "trim", "-o", "0", "-p", "4").code == exits.NOT_FOUND
    table = odradek("topic", "describe", "trim").out
    assert table.splitlines()[2].split() == [
        *("PARTITION", "LEADER", "EPOCH", "REPLICAS", "ISR", "OFFLINE", "START", "END")
    ]
    assert table.splitlines()[3].split()[-2:] == ["2", "3"]


def test_settings() -> None:
    assert parse_settings(["a=1", "b=x=y", "c="]) == {"a": "1", "b": "x=y", "c": ""}
