"""The load generators: two C programs of our own, compiled here, and Apache Kafka's performance tools.

Decides: command lines and how their output is read. Does not decide: which loads are run (`scenarios.py`).
Invariant: no load is generated in Python, which would measure itself.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.compat.clusters import Cluster
from tests.compat.servers import Server, java

_SOURCES = Path(__file__).parent
_TOOL_HEAP = "512m"
_SENT = re.compile(r"(\d+) records sent, ([\d.]+) records/sec .*?([\d.]+) ms avg latency")
_END_TO_END = re.compile(r"Avg latency: ([\d.]+) ms")
_PERCENTILES = re.compile(r"50th = (\d+), 99th = (\d+), 99.9th = (\d+)")


class ToolFailed(Exception):
    """A load generator is missing, failed, or printed something else than its result."""


class Tools:
    """The load generators, compiled once into `folder`."""

    def __init__(self, folder: Path) -> None:
        compiler = next((name for name in ("cc", "gcc", "clang") if shutil.which(name)), None)
        if compiler is None:
            raise ToolFailed("no C compiler (cc, gcc or clang) on the PATH")
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        for name in ("requests", "latency"):
            source, target = _SOURCES / f"{name}.c", folder / name
            _run([compiler, "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(target), str(source)], 120)

    def produce(
        self, server: Server | Cluster, topic: str, records: int, size: int, properties: Mapping[str, str]
    ) -> float:
        """ProducerPerformance at full speed; records a second."""
        arguments = ["org.apache.kafka.tools.ProducerPerformance", "--bootstrap-server", server.bootstrap]
        arguments += ["--topic", topic, "--num-records", str(records), "--record-size", str(size)]
        arguments += ["--throughput", "-1", "--command-property"]
        arguments += [f"{name}={value}" for name, value in properties.items()]
        found = _SENT.findall(_run(java(arguments, _TOOL_HEAP), 600))
        if not found or int(found[-1][0]) != records:
            raise ToolFailed(f"ProducerPerformance reported {found}")
        return float(found[-1][1])

    def consume(self, server: Server, topic: str, records: int) -> float:
        """ConsumerPerformance through a new group; records a second without the time of the rebalance."""
        arguments = ["org.apache.kafka.tools.ConsumerPerformance", "--bootstrap-server", server.bootstrap]
        arguments += ["--topic", topic, "--num-records", str(records), "--hide-header", "--timeout", "60000"]
        fields = _run(java(arguments, _TOOL_HEAP), 600).strip().splitlines()[-1].split(", ")
        if len(fields) != 10 or int(fields[4]) < records:
            raise ToolFailed(f"ConsumerPerformance reported {fields}")
        return float(fields[9])

    def end_to_end(self, server: Server, topic: str, records: int) -> dict[str, float]:
        """Kafka's own EndToEndLatency: one record at a time, produced (acks=all), then polled for; ms."""
        arguments = ["org.apache.kafka.tools.EndToEndLatency", "--bootstrap-server", server.bootstrap]
        arguments += ["--topic", topic, "--num-records", str(records), "--producer-acks", "all"]
        arguments += ["--record-size", "100"]
        output = _run(java(arguments, _TOOL_HEAP), 300)
        mean, points = _END_TO_END.search(output), _PERCENTILES.search(output)
        if mean is None or points is None:
            raise ToolFailed(f"EndToEndLatency reported {output!r}")
        return {"mean": float(mean[1]), "p99": float(points[2])}

    def requests(self, server: Server, topic: str, partitions: int, connections: int) -> dict[str, float]:
        """One-record requests, one in flight on each connection: requests_per_s; p50, p99, p99.9 in ms."""
        options = {
            "topic": topic,
            "partitions": partitions,
            "connections": connections,
            "warmup": 3,
            "seconds": 5,
        }
        result = self._generate("requests", server, options)
        return {"requests_per_s": float(result["requests_per_s"]), **result["latency_ms"]}

    def latency(self, server: Server, topic: str, offset: int, rate: int) -> dict[str, dict[str, float]]:
        """Records of 100 B at a fixed rate: end_to_end_ms and ack_ms, each mean, p50, p99, p99.9, max."""
        options = {"topic": topic, "offset": offset, "rate": rate, "warmup": 4, "seconds": 8}
        return dict(self._generate("latency", server, options))

    def client_latency(self, cluster: Cluster, topic: str, rate: int) -> dict[str, float]:
        """Records of 100 B at a fixed rate through librdkafka: mean, p50, p99, p99.9 and max in ms."""
        command = [sys.executable, str(_SOURCES / "cluster_latency.py"), "--bootstrap", cluster.bootstrap]
        command += ["--topic", topic, "--rate", str(rate)]
        return dict(json.loads(_run(command, 120))["end_to_end_ms"])

    def _generate(self, name: str, server: Server, options: Mapping[str, object]) -> dict[str, Any]:
        command = [str(self._folder / name), "--port", str(server.port)]
        for option, value in options.items():
            command += [f"--{option}", str(value)]
        return dict(json.loads(_run(command, 120)))


def _run(command: list[str], timeout_s: float) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s)
    if done.returncode != 0:
        raise ToolFailed(f"{' '.join(command)}\nexit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout
