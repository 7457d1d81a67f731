"""What the container's start script makes of the environment; `odradek` is a program that tells what it was given."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.compat.places import ROOT

pytestmark = pytest.mark.skipif(shutil.which("sh") is None, reason="no shell to run the script")

TELL = "#!/bin/sh\necho \"arguments $*\"\nenv | grep '^KAFKA_' | sort\n"


def told(folder: Path, *arguments: str, **variables: str) -> list[str]:
    program = folder / "odradek"
    program.write_text(TELL)
    program.chmod(0o755)
    environ = {"PATH": f"{folder}:{os.environ['PATH']}", **variables}
    command = ["sh", str(ROOT / "deploy" / "entrypoint.sh"), *arguments]
    return subprocess.run(
        command, env=environ, capture_output=True, text=True, check=True
    ).stdout.splitlines()


def test_without_anything_it_is_a_node_for_the_host(tmp_path: Path) -> None:
    assert told(tmp_path) == [
        "arguments start",
        "KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://localhost:9092",
        "KAFKA_LISTENERS=PLAINTEXT://0.0.0.0:9092",
        "KAFKA_LOG_DIRS=/var/lib/odradek",
    ]


def test_listeners_follow_the_advertised_ones(tmp_path: Path) -> None:
    advertised = "INTERNAL://a:19092,EXTERNAL://localhost:9092,SIX://[::1]:9093,BARE://:9094"
    assert (
        "KAFKA_LISTENERS=INTERNAL://0.0.0.0:19092,EXTERNAL://0.0.0.0:9092,SIX://0.0.0.0:9093,BARE://0.0.0.0:9094"
        in told(tmp_path, KAFKA_ADVERTISED_LISTENERS=advertised)
    )


def test_what_is_set_stays(tmp_path: Path) -> None:
    given = {
        "KAFKA_LISTENERS": "PLAINTEXT://:1",
        "KAFKA_ADVERTISED_LISTENERS": "PLAINTEXT://a:2",
        "KAFKA_LOG_DIRS": "/data",
    }
    assert told(tmp_path, **given)[1:] == sorted(f"{name}={value}" for name, value in given.items())


def test_with_roles_nothing_is_made_up(tmp_path: Path) -> None:
    """Their defaults are Kafka's, and a node that lacks a setting says so itself."""
    lines = told(tmp_path, KAFKA_PROCESS_ROLES="broker,controller", KAFKA_LOG_DIR="/old")
    assert lines == ["arguments start", "KAFKA_LOG_DIR=/old", "KAFKA_PROCESS_ROLES=broker,controller"]


def test_arguments_are_those_of_the_command(tmp_path: Path) -> None:
    assert told(tmp_path, "start", "--help") == ["arguments start --help"]
