"""Odradek as the cluster under test.

Decides: the settings of its nodes and the command that runs one. Does not decide: how processes live (`node`).
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

CLIENT, INTERNAL, CONTROLLER, GRPC = "CLIENT", "INTERNAL", "CONTROLLER", "GRPC"
KAFKA_PORTS: Mapping[str, int] = {CLIENT: 9092, INTERNAL: 9093, CONTROLLER: 9094}


def common_properties(node: int, addresses: Mapping[int, str], data: Path) -> dict[str, str]:
    """What Odradek and Apache Kafka are told alike: three listeners on the node's own address, and no more."""
    own = addresses[node]
    replication = min(3, len(addresses))
    spoken = ",".join(f"{name}://{own}:{port}" for name, port in KAFKA_PORTS.items())
    voters = ",".join(f"{other}@{there}:{KAFKA_PORTS[CONTROLLER]}" for other, there in addresses.items())
    return {
        "node.id": str(node),
        "process.roles": "broker,controller",
        "controller.quorum.voters": voters,
        "controller.listener.names": CONTROLLER,
        "listeners": spoken,
        "advertised.listeners": ",".join(
            item for item in spoken.split(",") if not item.startswith(CONTROLLER)
        ),
        "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in KAFKA_PORTS),
        "inter.broker.listener.name": INTERNAL,
        "log.dirs": str(data),
        "default.replication.factor": str(replication),
        "min.insync.replicas": str(min(2, replication)),
        "auto.create.topics.enable": "false",
        "group.initial.rebalance.delay.ms": "100",
    }


class Odradek:
    """A node started from a file. `command` (a command line, or a list) replaces the program: it gets `start ...`."""

    name = "odradek"
    ports: Mapping[str, int] = {**KAFKA_PORTS, GRPC: 50051}

    def __init__(self, command: str | Sequence[str] | None = None) -> None:
        if command is None:
            command = [str(Path(sys.executable).parent / "odradek")]
        self._command = shlex.split(command) if isinstance(command, str) else list(command)

    def properties(self, node: int, addresses: Mapping[int, str], data: Path) -> dict[str, str]:
        spoken = f"{addresses[node]}:{self.ports[GRPC]}"
        own = {"odradek.grpc.listener": spoken, "odradek.grpc.advertised.listener": spoken}
        return common_properties(node, addresses, data) | own

    def command(self, config: Path, data: Path) -> Sequence[str]:
        """An empty folder is initialised by the node itself."""
        return [*self._command, "start", "--config", str(config)]
