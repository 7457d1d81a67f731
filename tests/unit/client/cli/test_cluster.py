from __future__ import annotations

import json

import pytest
import yaml
from tests.unit.client.cli.conftest import Command

from odradek.client.cli import exits


def test_a_cluster_of_one(odradek: Command, server: str) -> None:
    odradek("topic", "create", "c-topic", "-p", "1", "--if-not-exists")
    odradek("produce", "c-topic", "-k", "k", "--tombstone")
    info = json.loads(odradek("cluster", "info", "-o", "json").out)
    assert info["controller"] == 1 and f"GRPC://{server}" in info["nodes"][0]["listeners"]
    health = odradek("cluster", "health", "-o", "yaml")
    assert health.code == exits.OK and yaml.safe_load(health.out)["healthy"] is True
    assert json.loads(odradek("cluster", "brokers", "-o", "json").out)[0]["node"] == 1
    quorum = json.loads(odradek("cluster", "quorum", "-o", "json").out)
    assert quorum["voters"][0]["leader"] is True
    assert json.loads(odradek("cluster", "logdirs", "-o", "json").out)[0]["error"] is None
    assert "c-topic" in odradek("cluster", "logdirs", "--partitions").out
    assert odradek("cluster", "logdirs", "9").code == exits.NOT_FOUND
    rows = json.loads(odradek("cluster", "partitions", "c-topic", "-o", "json").out)
    assert [(row["partition"], row["leader"], row["in_sync_replicas"]) for row in rows] == [(0, 1, [1])]
    assert odradek("cluster", "partitions", "--unhealthy").out.count("\n") == 1
    assert odradek("cluster", "partitions", "ghost").code == exits.NOT_FOUND


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["reassign"], exits.OK),
        (["reassign", "c-moves/0:1", "--wait"], exits.OK),
        (["reassign", "c-moves/0:7"], exits.FAILED),
        (["reassign", "c-moves/0:1", "c-moves/1:7"], exits.PARTLY),
        (["reassign", "c-moves/9:1"], exits.NOT_FOUND),
        (["reassign", "c-moves"], exits.USAGE),
        (["elect-leaders"], exits.OK),
        (["elect-leaders", "c-moves/0", "--unclean"], exits.OK),
        (["elect-leaders", "ghost"], exits.NOT_FOUND),
    ],
)
def test_moves_and_elections(odradek: Command, arguments: list[str], code: int) -> None:
    odradek("topic", "create", "c-moves", "-p", "2", "--if-not-exists")
    assert odradek("cluster", *arguments).code == code
