"""Which source wins, and the two options that stand for settings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from odradek.node.config import load_config
from odradek.node.config.listeners import Listener
from odradek.storage.config_types import ConfigError

_QUICKSTART = str(Path(__file__).parent / "quickstart.properties")


def test_no_arguments() -> None:
    loaded = load_config()
    assert loaded.config.listeners[0].address == "127.0.0.1:9092"
    assert loaded.config.log_dirs == ("data",)
    assert loaded.notes == ()


def test_kafkas_quickstart_file_unchanged() -> None:
    loaded = load_config(file=_QUICKSTART)
    assert loaded.config.log_dirs == ("/tmp/kraft-combined-logs",)
    assert not any(note.is_warning for note in loaded.notes)


def test_the_command_line_wins_over_the_environment_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "server.properties"
    file.write_text("num.partitions=1\ndefault.replication.factor=1\nbroker.rack=file\n")
    environ = {"KAFKA_NUM_PARTITIONS": "2", "KAFKA_DEFAULT_REPLICATION_FACTOR": "2", "HOME": "/"}
    config = load_config(
        file=str(file), environ=environ, assignments=["num.partitions=3", "num.partitions=4"]
    ).config
    assert (config.num_partitions, config.default_replication_factor, config.rack) == (4, 2, "file")


def test_the_image_s_environment_alone_is_a_configuration() -> None:
    environ = {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_LISTENERS": "PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093",
        "KAFKA_ADVERTISED_LISTENERS": "PLAINTEXT://localhost:9092",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_HEAP_OPTS": "-Xmx1g",
        "CLUSTER_ID": "5L6g3nShT-eMCtK--X86sw",
    }
    loaded = load_config(environ=environ)
    assert loaded.notes == ()
    assert loaded.config.cluster_id == "5L6g3nShT-eMCtK--X86sw"


def test_data_replaces_the_directories() -> None:
    assert load_config(file=_QUICKSTART, data="/d").config.log_dirs == ("/d",)
    assert load_config(environ={"KAFKA_LOG_DIR": "/e"}, data="/d").config.log_dirs == ("/d",)


def test_listen_replaces_the_client_listeners_only() -> None:
    assert load_config(listen="0.0.0.0:0").config.listeners == (
        Listener("PLAINTEXT", "0.0.0.0", 0, "PLAINTEXT"),
    )
    config = load_config(file=_QUICKSTART, listen="[::1]:19092").config
    assert [(one.name, one.address) for one in config.listeners] == [
        ("PLAINTEXT", "[::1]:19092"),
        ("CONTROLLER", ":9093"),
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"assignments": ["num.partitions"]}, "--set num.partitions: expected name=value"),
        ({"assignments": ["=3"]}, "expected name=value"),
        ({"data": "a,b"}, "expected one directory"),
        ({"data": " "}, "expected one directory"),
        ({"data": "a", "assignments": ["log.dirs=b"]}, "--data and --set log.dirs exclude each other"),
        (
            {"listen": "a:1", "assignments": ["listeners=PLAINTEXT://:1"]},
            "--listen and --set listeners exclude",
        ),
        ({"listen": "9092"}, "--listen=9092 is not valid: expected host:port"),
        ({"environ": {"KAFKA_NUM_PARTITIONS": "x"}}, "num.partitions=x is not valid"),
    ],
)
def test_refusals(arguments: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        load_config(**arguments)  # type: ignore[arg-type]  # one table for all arguments


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_config(file=str(tmp_path / "none"))
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_config(file=str(tmp_path / "binary"))


def test_importing_makes_no_table() -> None:
    script = (
        "import sys, odradek.node.config\n"
        "loaded = [m for m in sys.modules if m.startswith('odradek.node.config.table') or m in ('asyncio',"
        " 'difflib')]\n"
        "sys.exit(f'{loaded}' if loaded else 0)"
    )
    child = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=20, check=False
    )
    assert child.returncode == 0, child.stderr


def test_grpc_is_spoken_beside_the_clients_unless_somebody_says_otherwise() -> None:
    alone = load_config().config
    assert (alone.grpc_listener, alone.grpc_required) == (("127.0.0.1", 50051), False)
    assert load_config(listen="10.0.0.1:0").config.grpc_listener == ("10.0.0.1", 0)
    assert load_config(listen="[::1]:9092").config.grpc_listener == ("::1", 50051)
    assert load_config(assignments=["listeners=PLAINTEXT://:9092"]).config.grpc_listener == ("0.0.0.0", 50051)
    chosen = load_config(grpc="0.0.0.0:7000").config
    assert (chosen.grpc_listener, chosen.grpc_required) == (("0.0.0.0", 7000), True)
    assert load_config(assignments=["odradek.grpc.listener="]).config.grpc_listener is None
    with pytest.raises(ConfigError, match="--grpc and --set"):
        load_config(grpc="a:1", assignments=["odradek.grpc.listener=a:2"])


def test_a_configuration_with_roles_speaks_no_grpc_by_itself(tmp_path: Path) -> None:
    file = tmp_path / "server.properties"
    file.write_text(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@localhost:9093\n"
        "controller.listener.names=CONTROLLER\nlisteners=PLAINTEXT://:9092,CONTROLLER://:9093\n"
    )
    assert load_config(file=str(file)).config.grpc_listener is None
