"""Apache Kafka 4.3.1 as the cluster under test, in KRaft mode: broker and controller in one process.

Decides: the settings of its nodes and the command that formats and runs one. Does not decide: where the jars come from
(`kafka_jars`), nor how processes live (`node`).
What Kafka promises is tested as it comes: when it flushes is left at its default, which is never.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from odradek.jepsen.db.kafka_jars import kafka_classpath
from odradek.jepsen.db.odradek import KAFKA_PORTS, common_properties

CLUSTER_ID = "MkU3OEVBNTcwNTJENDM2Qg"
#: The collector that Kafka's own scripts choose.
_FLAGS = [
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-Djava.awt.headless=true",
]
_INTERNAL_TOPICS = {
    "offsets.topic.replication.factor": 3,
    "transaction.state.log.replication.factor": 3,
    "share.coordinator.state.topic.replication.factor": 3,
    "transaction.state.log.min.isr": 2,
    "share.coordinator.state.topic.min.isr": 2,
}
#: Fifty partitions of each internal topic would not fit a small image: their indexes are allocated ahead.
_SMALL = {"offsets.topic.num.partitions": "4", "transaction.state.log.num.partitions": "4"}


#: For a tool that ends after a second: compiling well costs more than it brings.
_SHORT_FLAGS = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx128m"]


class Kafka:
    """Needs java, and the jars or Maven (`kafka_jars.missing_toolchain`)."""

    name = "kafka"
    ports: Mapping[str, int] = KAFKA_PORTS

    def __init__(self, heap: str = "400m", class_path: str | None = None) -> None:
        """Without a class path the jars are fetched now, if they are not there. Raises JarsMissing."""
        self._heap = heap
        self._class_path = kafka_classpath() if class_path is None else class_path

    def properties(self, node: int, addresses: Mapping[int, str], data: Path) -> dict[str, str]:
        most = len(addresses)
        internal = {name: str(min(value, most)) for name, value in _INTERNAL_TOPICS.items()}
        return common_properties(node, addresses, data) | internal | _SMALL

    def command(self, config: Path, data: Path) -> Sequence[str]:
        """An empty folder is formatted first; the shell that does so becomes the server afterwards."""
        heap = [f"-Xmx{self._heap}", f"-Xms{self._heap}"]
        server = ["java", *heap, *_FLAGS, "-cp", self._class_path, "kafka.Kafka", str(config)]
        if (data / "meta.properties").exists():
            return server
        tool = [
            "kafka.tools.StorageTool",
            "format",
            "--ignore-formatted",
            "-t",
            CLUSTER_ID,
            "-c",
            str(config),
        ]
        formatting = ["java", *_SHORT_FLAGS, "-cp", self._class_path, *tool]
        return ["sh", "-c", f"{shlex.join(formatting)} && exec {shlex.join(server)}"]
