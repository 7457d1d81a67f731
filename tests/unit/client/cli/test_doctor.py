from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import pytest
from tests.unit.client.cli.conftest import Command, running_node

from odradek.client.cli import exits
from odradek.client.cli.diagnosis import Finding, Severity
from odradek.client.cli.doctor import dial, exit_code, probe_fsync


@pytest.mark.parametrize(
    ("severities", "code"),
    [
        ([], exits.OK),
        (["note"], exits.OK),
        (["note", "warning"], exits.PARTLY),
        (["critical", "warning"], exits.FAILED),
    ],
)
def test_the_exit_code_is_that_of_the_worst(severities: list[Severity], code: int) -> None:
    assert exit_code([Finding(severity, "c", "s", "p", "a") for severity in severities]) == code


def test_a_cluster_of_one_is_well(odradek: Command, tmp_path: Path) -> None:
    odradek("topic", "create", "d-topic", "--if-not-exists")
    odradek("group", "seek", "d-group", "--to", "start", "-t", "d-topic")
    outcome = odradek("doctor", "--watch", "0", "-o", "json", "--data", str(tmp_path))
    found = json.loads(outcome.out)
    assert all(one["check"] in ("quorum", "fsync", "disk") for one in found["findings"]), found
    looked_at = found["looked_at"]
    assert (looked_at["nodes"], looked_at["listeners"], looked_at["clocks"], looked_at["voters"]) == (
        1,
        2,
        1,
        1,
    )
    assert looked_at["partitions"] >= 1 and looked_at["groups"] >= 1 and looked_at["fsyncs"] > 0
    assert not list(tmp_path.glob(".odradek-doctor*"))
    text = odradek("doctor", "--watch", "0").out
    assert text.startswith("NOTE  metadata quorum\n  There is one voter") and "Looked at 1 nodes" in text


def test_what_it_is_told_to_look_at_is_not_there(odradek: Command, tmp_path: Path) -> None:
    outcome = odradek("doctor", "--watch", "0", "-g", "d-ghost", "-o", "json")
    assert "Could not look at the groups" in outcome.out
    assert odradek("doctor", "--watch", "0", "--data", str(tmp_path / "none")).code == exits.FAILED


def test_an_address_that_nobody_can_dial(alone: Command, tmp_path: Path) -> None:
    with running_node(tmp_path / "node", "advertised.listeners=PLAINTEXT://127.0.0.1:1") as address:
        outcome = alone("doctor", "--watch", "0", "-s", address)
    assert outcome.code == exits.FAILED
    assert outcome.out.startswith("CRITICAL  node 1 PLAINTEXT\n")
    assert "advertises 127.0.0.1:1, and nothing listens there" in outcome.out
    assert "advertised.listeners" in outcome.out


def test_dialing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        assert asyncio.run(dial("127.0.0.1", port)) is None
    assert asyncio.run(dial("127.0.0.1", port)) == "refused"
    assert asyncio.run(dial("nobody.invalid", 1)) == "unresolved"


def test_fsync(tmp_path: Path) -> None:
    assert all(took > 0 for took in probe_fsync(str(tmp_path)))
    assert list(tmp_path.iterdir()) == []
