from __future__ import annotations

import json

from tests.unit.client.cli.conftest import Command

from odradek.client.cli import exits


def test_numbers_of_both_directions(odradek: Command) -> None:
    written = json.loads(odradek("bench", "produce", "b-load", "-n", "500", "--size", "50", "-o", "json").out)
    assert written["records"] == 500
    assert 0 < written["latency_p50_ms"] <= written["latency_p99_ms"] <= written["latency_max_ms"]
    read = json.loads(odradek("bench", "consume", "b-load", "-o", "json").out)
    # One more: the record that connects.
    assert read["records"] == 501 and "latency_p50_ms" not in read


def test_a_given_rate_for_a_given_time(odradek: Command) -> None:
    arguments = (
        "b-rate",
        "--rate",
        "100",
        "--duration",
        "200ms",
        "--keys",
        "3",
        "-z",
        "lz4",
        "--acks",
        "leader",
    )
    written = odradek("bench", "produce", *arguments, "-o", "json")
    assert 1 <= json.loads(written.out)["records"] <= 30


def test_wrong_numbers(odradek: Command) -> None:
    assert odradek("bench", "produce", "b", "-n", "0").code == exits.USAGE
    assert odradek("bench", "produce", "b", "--size", "1X").code == exits.USAGE
    assert odradek("bench", "consume", "b-ghost").code == exits.NOT_FOUND
