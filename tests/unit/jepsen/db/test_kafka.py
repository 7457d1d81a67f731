"""The settings of Apache Kafka, and the command that formats an empty folder first."""

from __future__ import annotations

from pathlib import Path

from odradek.jepsen.db.kafka import Kafka
from odradek.jepsen.db.odradek import common_properties

ADDRESSES = {1: "10.77.0.11", 2: "10.77.0.12", 3: "10.77.0.13"}
CONFIG = Path("/results/a b/server.properties")


def test_it_is_told_the_same_as_odradek_and_how_its_own_topics_are_kept() -> None:
    values = Kafka(class_path="libs/*").properties(2, ADDRESSES, Path("/d"))
    assert common_properties(2, ADDRESSES, Path("/d")).items() <= values.items()
    assert (
        values["offsets.topic.replication.factor"]
        == values["transaction.state.log.replication.factor"]
        == "3"
    )
    assert values["transaction.state.log.min.isr"] == "2"


def test_when_it_flushes_is_left_to_it() -> None:
    values = Kafka(class_path="libs/*").properties(1, ADDRESSES, Path("/d"))
    assert [name for name in values if "flush" in name] == []


def test_an_empty_folder_is_formatted_and_the_shell_becomes_the_server(tmp_path: Path) -> None:
    shell, option, line = Kafka(class_path="libs/*").command(CONFIG, tmp_path)
    assert (shell, option) == ("sh", "-c")
    formatting, server = line.split(" && exec ")
    assert "kafka.tools.StorageTool format" in formatting
    assert server.endswith("kafka.Kafka '/results/a b/server.properties'")


def test_a_formatted_folder_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "meta.properties").write_text("version=1\n")
    command = Kafka(heap="300m", class_path="libs/*").command(CONFIG, tmp_path)
    assert command[0] == "java"
    assert {"-Xmx300m", "-Xms300m", "libs/*"} <= set(command)
    assert command[-2:] == ["kafka.Kafka", str(CONFIG)]
