"""A broker in a process of its own: Odradek, or Apache Kafka for comparison.

Decides: ports, folder, start, readiness, stop, kill and restart. Does not decide: what is tested or measured.
Invariants: a server owns its folder and its port over restarts; at most one process at a time; ports lie below the
range from which the kernel takes the local ports of clients, so that no client can hold (or dial) its own target while
a node is down. A port is free until its server binds it: two processes of one test run draw from different ones.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from tests.compat import wire
from tests.compat.places import ROOT

from odradek.jepsen.db.kafka_jars import kafka_classpath

HOST = "127.0.0.1"
_POLL_S = 0.002
_ALL_PORTS = range(20_000, 32_000)
_SLICES = 16


def ports_of(worker: str) -> range:
    """Those of a process of pytest-xdist by its name (gw0, gw1, ...), or all where there is but one."""
    return _ALL_PORTS[int(worker.removeprefix("gw")) % _SLICES :: _SLICES] if worker else _ALL_PORTS


_PORTS = ports_of(os.environ.get("PYTEST_XDIST_WORKER", ""))
_drawn = itertools.cycle(random.SystemRandom().sample(_PORTS, len(_PORTS)))


def quiet_ports(count: int) -> list[int]:
    """That many different ports on which nobody listens, outside the range of clients' own ports; none comes again
    before all others have come."""
    found: list[int] = []
    with contextlib.ExitStack() as held:
        for port in itertools.islice(_drawn, len(_PORTS)):
            probe = held.enter_context(socket.socket())
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            found.append(port)
            if len(found) == count:
                return found
    raise ServerFailed(f"fewer than {count} free ports in {_PORTS}")


def free_port() -> int:
    """One of `quiet_ports`."""
    return quiet_ports(1)[0]


class ServerFailed(Exception):
    """The process ended, or did not answer in time; the message ends with the tail of its log."""


class Flavour(Protocol):
    """How one kind of broker is prepared and started."""

    name: str

    def prepare(self, folder: Path, port: int, properties: Mapping[str, str]) -> None: ...

    def command(self, folder: Path, port: int, properties: Mapping[str, str]) -> list[str]: ...


class Odradek:
    """The node under test, as a user starts it."""

    name = "odradek"

    def prepare(self, folder: Path, port: int, properties: Mapping[str, str]) -> None:
        """No format step: an empty folder is initialised by the node itself."""

    def command(self, folder: Path, port: int, properties: Mapping[str, str]) -> list[str]:
        program = Path(sys.executable).parent / "odradek"
        command = [str(program), "start", "--listen", f"{HOST}:{port}", "--data", str(folder / "data")]
        # Without a word a node takes the one port that gRPC has by default; many run at once here.
        for name, value in ({"odradek.grpc.listener": ""} | dict(properties)).items():
            command += ["--set", f"{name}={value}"]
        return command


class ApacheKafka:
    """Apache Kafka in KRaft mode, broker and controller in one process; `alone` makes its topics fit one node."""

    name = "kafka"

    def __init__(self, heap: str = "512m", alone: bool = True) -> None:
        self.heap = heap
        self._ready_made: dict[str, str] = (
            {}
            if not alone
            else {
                "process.roles": "broker,controller",
                "node.id": "1",
                "controller.listener.names": "CONTROLLER",
                "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
                "offsets.topic.replication.factor": "1",
                "transaction.state.log.replication.factor": "1",
                "transaction.state.log.min.isr": "1",
                "share.coordinator.state.topic.replication.factor": "1",
                "share.coordinator.state.topic.min.isr": "1",
            }
        )

    def prepare(self, folder: Path, port: int, properties: Mapping[str, str]) -> None:
        controller_port = free_port()
        values = self._ready_made | {
            "controller.quorum.voters": f"1@{HOST}:{controller_port}",
            "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
            "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
            "log.dirs": str(folder / "data"),
        }
        values |= properties
        config = folder / "server.properties"
        config.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
        storage_tool = [
            "kafka.tools.StorageTool",
            "format",
            "-t",
            "MkU3OEVBNTcwNTJENDM2Qg",
            "-c",
            str(config),
        ]
        done = subprocess.run(java(storage_tool, "128m"), capture_output=True, text=True, timeout=120)
        if done.returncode != 0:
            raise ServerFailed(f"format failed:\n{done.stdout}{done.stderr}")

    def command(self, folder: Path, port: int, properties: Mapping[str, str]) -> list[str]:
        return java(["kafka.Kafka", str(folder / "server.properties")], self.heap)


def java(arguments: list[str], heap: str) -> list[str]:
    """Command line of a class from the Kafka jars, with the collector that Kafka's own scripts choose."""
    flags = ["-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35"]
    flags += ["-XX:+ExplicitGCInvokesConcurrent", "-Djava.awt.headless=true"]
    return ["java", f"-Xmx{heap}", f"-Xms{heap}", *flags, "-cp", kafka_classpath(), *arguments]


class Server:
    """One broker process on its own folder and port. As a context manager it kills what still runs."""

    def __init__(
        self,
        flavour: Flavour,
        folder: Path,
        properties: Mapping[str, str] | None = None,
        port: int | None = None,
    ) -> None:
        self.flavour = flavour
        self.folder = folder
        self.port = port or free_port()
        self.properties = dict(properties or {})
        self.process: subprocess.Popen[bytes] | None = None
        self.log = folder / "server.log"
        folder.mkdir(parents=True, exist_ok=True)
        flavour.prepare(folder, self.port, self.properties)

    @property
    def bootstrap(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self, timeout_s: float = 30.0) -> float:
        """Spawn the process and wait until it serves; returns the seconds from spawn to the first answer."""
        started = time.monotonic()
        self.spawn()
        self._wait_until_serving(started + timeout_s)
        return time.monotonic() - started

    def spawn(self) -> None:
        """Start the process and do not wait for it."""
        assert self.process is None
        with self.log.open("ab") as log:
            command = self.flavour.command(self.folder, self.port, self.properties)
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=ROOT
            )

    def _wait_until_serving(self, deadline: float) -> None:
        """An ApiVersions answer, then a Metadata answer that names a live broker."""
        while time.monotonic() < deadline:
            assert self.process is not None
            if self.process.poll() is not None:
                raise ServerFailed(f"exit status {self.process.returncode}\n{self.log_tail()}")
            try:
                with self.connect() as connection:
                    wire.api_versions(connection)
                    brokers, _ = wire.metadata(connection, [])
                    if brokers:
                        return
            except (OSError, wire.Closed):
                pass
            time.sleep(_POLL_S)
        raise ServerFailed(f"no answer in time\n{self.log_tail()}")

    def log_tail(self, size: int = 4000) -> str:
        return self.log.read_bytes()[-size:].decode(errors="replace")

    def connect(self, timeout: float = 10.0) -> wire.Connection:
        return wire.Connection(HOST, self.port, timeout)

    def kill(self) -> None:
        """SIGKILL and wait. Nothing to do when it does not run."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self, timeout_s: float = 30.0) -> int:
        """SIGTERM and wait; returns the exit status. Raises subprocess.TimeoutExpired."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout_s)
        self.process = None
        return status

    def resident_bytes(self) -> int:
        """Resident set size of the process, from /proc."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self) -> float:
        """User and system time that the process has used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
