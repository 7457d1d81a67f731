"""Every program in client/examples/patterns runs against a real node, says what it should, and ends."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.compat.conftest import PROPERTIES, on_kafka
from tests.compat.servers import HOST, Odradek, Server, free_port

FOLDER = Path(__file__).parents[2] / "client" / "examples" / "patterns"
PROGRAMS = sorted(path.stem for path in FOLDER.glob("*.py"))

#: Lines that each prints, in this order, with others between them.
EXPECTED = {
    "choreography": [
        "bank: pays order-1",
        "warehouse: releases for order-2, because of Reject: too expensive",
        "shop: order-2 ended with order.cancelled",
    ],
    "event_sourcing": [
        "the view after the first deposit: {'alice': 100}",
        "the view: {'alice': 10}, 0 records behind",
        "after a restart: 10 at version 4",
    ],
    "idempotent": ["paid invoice-1", "process 1: 1 of 4 were known", "process 2: 3 of 4 were known"],
    "pubsub": ["audit heard order 2"],
    "request_reply": [
        "40 answers, among them [b'3', b'4']",
        "plums: KeyError: b'plums'",
        "gold: no answer in time",
    ],
    "saga": [
        "bob: hotel is cancelled",
        "bob: flight is cancelled",
        "bob: compensated payment: Reject: bob has no money",
        "the runner died while carol's hotel was being booked",
        "carol: completed",
    ],
    "work_queue": ["sent to flaky at attempt 3", "nobody is among the dead letters; repaired, and sent back"],
}

pytestmark = pytest.mark.skipif(on_kafka(), reason="Apache Kafka speaks no gRPC")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """host:port of the gRPC door of a node."""
    address = f"{HOST}:{free_port()}"
    properties = PROPERTIES | {"odradek.grpc.listener": address}
    with Server(Odradek(), tmp_path_factory.mktemp("node"), properties) as node:
        node.start()
        yield address


def test_every_program_is_listed() -> None:
    readme = (FOLDER / "README.md").read_text()
    assert sorted(EXPECTED) == PROGRAMS
    assert [name for name in PROGRAMS if f"| [{name}.py]({name}.py) |" not in readme] == []


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_does_what_it_says(server: str, name: str) -> None:
    done = subprocess.run(
        [sys.executable, str(FOLDER / f"{name}.py"), server],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    lines = iter(done.stdout.splitlines())
    missing = [line for line in EXPECTED[name] if line not in lines]
    assert not missing, f"{missing} is not in, or not at its place in\n{done.stdout}"
