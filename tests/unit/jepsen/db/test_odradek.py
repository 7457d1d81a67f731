"""The settings of Odradek's nodes are settings that a node knows, and the command is what a user would run."""

from __future__ import annotations

from pathlib import Path

from odradek.jepsen.db.odradek import Odradek, common_properties
from odradek.node.config.definitions import broker_definition

ADDRESSES = {1: "10.77.0.11", 2: "10.77.0.12", 3: "10.77.0.13"}
DATA = Path("/results/node2/disk/data")


def test_a_node_speaks_on_its_own_address_alone() -> None:
    values = Odradek().properties(2, ADDRESSES, DATA)
    assert values["listeners"] == (
        "CLIENT://10.77.0.12:9092,INTERNAL://10.77.0.12:9093,CONTROLLER://10.77.0.12:9094"
    )
    assert values["advertised.listeners"] == "CLIENT://10.77.0.12:9092,INTERNAL://10.77.0.12:9093"
    assert values["controller.quorum.voters"] == "1@10.77.0.11:9094,2@10.77.0.12:9094,3@10.77.0.13:9094"
    assert values["odradek.grpc.listener"] == values["odradek.grpc.advertised.listener"] == "10.77.0.12:50051"
    assert values["log.dirs"] == str(DATA)


def test_every_setting_is_one_that_a_node_knows() -> None:
    assert [
        name for name in Odradek().properties(1, ADDRESSES, DATA) if broker_definition(name) is None
    ] == []


def test_one_node_alone_keeps_one_replica() -> None:
    values = common_properties(1, {1: "10.77.0.11"}, DATA)
    assert (values["default.replication.factor"], values["min.insync.replicas"]) == ("1", "1")


def test_three_and_five_nodes_acknowledge_with_two_of_three() -> None:
    for nodes in (3, 5):
        addresses = {node: f"10.77.0.{10 + node}" for node in range(1, nodes + 1)}
        values = common_properties(1, addresses, DATA)
        assert (values["default.replication.factor"], values["min.insync.replicas"]) == ("3", "2")


def test_the_program_beside_this_python_is_started_with_a_file() -> None:
    program, *rest = Odradek().command(Path("/results/s.properties"), DATA)
    assert Path(program).name == "odradek"
    assert rest == ["start", "--config", "/results/s.properties"]


def test_another_program_takes_its_place() -> None:
    for command in ("python -m 'a mutant' --of x", ["python", "-m", "a mutant", "--of", "x"]):
        assert Odradek(command).command(Path("/s"), DATA) == [
            *("python", "-m", "a mutant", "--of", "x"),
            *("start", "--config", "/s"),
        ]
