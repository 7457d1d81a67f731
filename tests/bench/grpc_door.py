"""`make bench-grpc`: the gRPC door of one node, with Apache Kafka's own clients on Apache Kafka beside it.

Decides: loads, order of the runs, rows of the table. Does not decide: how load is made (`grpc_load.py`, Kafka's
performance tools). Invariants: one server runs at a time, each round on a fresh folder on the disk of the repository;
rounds alternate between both.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tests.bench import machine, report  # noqa: E402  (the path above has to be there first)
from tests.bench.report import Metric  # noqa: E402
from tests.bench.scenarios import PRODUCER  # noqa: E402
from tests.bench.tools import Tools  # noqa: E402
from tests.compat import wire  # noqa: E402
from tests.compat.places import CACHE  # noqa: E402
from tests.compat.servers import HOST, ApacheKafka, Odradek, Server, free_port  # noqa: E402

from odradek.jepsen.db.kafka_jars import JarsMissing, kafka_classpath  # noqa: E402

FOLDER = CACHE / "bench"
RECORDS = 2_000_000
SIMPLE_RECORDS = 500_000
IDLE_STREAMS = 2_000
METRICS: dict[str, Metric] = {
    "produce": Metric("Direct level: Produce, 100 B, acks=all", "records/s", True, "500,000"),
    "produce_mb": Metric("The same", "MB/s", True, "200"),
    "fetch": Metric("Direct level: Fetch, 100 B", "records/s", True, "500,000"),
    "fetch_mb": Metric("The same", "MB/s", True, "200"),
    "publish": Metric("Simple level: Publish, 100 B, 1,000 a message", "records/s", True, "100,000"),
    "consume": Metric("Simple level: Consume in a group, 100 B", "records/s", True, "100,000"),
    "idle": Metric("Memory of an idle Consume stream", "KiB", aim="< 50"),
    "cpu_produce": Metric("Node CPU, Produce", "s/GB"),
    "cpu_fetch": Metric("Node CPU, Fetch", "s/GB"),
    "cpu_publish": Metric("Node CPU, Publish", "µs/record"),
    "cpu_consume": Metric("Node CPU, Consume", "µs/record"),
}
Values = dict[str, float]


def say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def load(mode: str, address: str, topic: str, count: int) -> Values:
    command = [
        sys.executable,
        str(Path(__file__).with_name("grpc_load.py")),
        mode,
        address,
        topic,
        str(count),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise RuntimeError(f"{mode}: {done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def with_cpu(server: Server, work: Callable[[], Values]) -> tuple[Values, float]:
    before = server.cpu_seconds()
    found = work()
    return found, server.cpu_seconds() - before


def make_topic(server: Server, name: str, partitions: int = 1) -> None:
    with server.connect() as connection:
        assert wire.create_topics(connection, {name: partitions})[name] == (0, None)


def of_odradek(folder: Path) -> Values:
    """One round on a fresh node."""
    address = f"{HOST}:{free_port()}"
    properties = {"odradek.grpc.listener": address, "group.initial.rebalance.delay.ms": "0"}
    values: Values = {}
    with Server(Odradek(), folder, properties) as server:
        server.start()
        for name, partitions in (("direct", 1), ("simple", 3), ("idle", 1)):
            make_topic(server, name, partitions)
        gigabytes = RECORDS * 107 / 1e9
        for mode in ("produce", "fetch"):
            found, cpu = with_cpu(server, lambda mode=mode: load(mode, address, "direct", RECORDS))  # type: ignore[misc]
            values[mode], values[f"{mode}_mb"] = found["records_per_s"], found["mb_per_s"]
            values[f"cpu_{mode}"] = cpu / gigabytes
        for mode in ("publish", "consume"):
            found, cpu = with_cpu(server, lambda mode=mode: load(mode, address, "simple", SIMPLE_RECORDS))  # type: ignore[misc]
            values[mode] = found["records_per_s"]
            values[f"cpu_{mode}"] = cpu / SIMPLE_RECORDS * 1e6
        values["idle"] = idle_kib(server, address)
    return values


def idle_kib(server: Server, address: str) -> float:
    before = server.resident_bytes()
    command = [sys.executable, str(Path(__file__).with_name("grpc_load.py")), "idle", address, "idle"]
    with subprocess.Popen(
        [*command, str(IDLE_STREAMS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        held = server.resident_bytes() - before
        process.communicate("")
    return held / IDLE_STREAMS / 1024


def of_kafka(folder: Path, tools: Tools) -> Values:
    """Kafka's own Java clients, which speak its protocol: what a direct level is to be held against."""
    with Server(ApacheKafka("1g"), folder) as server:
        server.start()
        make_topic(server, "direct")
        make_topic(server, "warm-up")
        tools.produce(server, "warm-up", RECORDS // 4, 100, PRODUCER)
        produced = tools.produce(server, "direct", RECORDS, 100, PRODUCER)
        consumed = tools.consume(server, "direct", RECORDS)
    return {"produce": produced, "fetch": consumed, "consume": consumed, "publish": produced}


def rows(samples: dict[str, dict[str, list[float]]]) -> list[str]:
    lines = [
        "| What | unit | Odradek, gRPC | aim | Apache Kafka, Java clients | ratio |",
        "|---|---|---:|---|---:|---:|",
    ]
    own, other = samples.get("odradek", {}), samples.get("kafka", {})
    for name, metric in METRICS.items():
        if name not in own:
            continue
        value = statistics.median(own[name])
        rival = statistics.median(other[name]) if name in other else None
        shown = ("", "") if rival is None else (report.figure(rival), f"{value / rival:.2f}")
        lines.append(
            f"| {metric.words} | {metric.unit} | {report.figure(value)} | {metric.aim} | {shown[0]} | {shown[1]} |"
        )
    return lines


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tests/bench/grpc_door.py")
    parser.add_argument("--rounds", type=int, default=3, help="medians are shown")
    parser.add_argument("--no-kafka", action="store_true", help="the gRPC door alone")
    options = parser.parse_args(argv)
    FOLDER.mkdir(parents=True, exist_ok=True)
    tools: Tools | None = None
    if not options.no_kafka:
        try:
            kafka_classpath()
            tools = Tools(FOLDER / "tools")
        except JarsMissing as error:
            say(f"without Apache Kafka: {error}\n")
    for name, value in machine.facts().items():
        say(f"{name}: {value}\n")
    samples: dict[str, dict[str, list[float]]] = {}
    for number in range(options.rounds):
        for name in ("kafka", "odradek") if number % 2 == 0 else ("odradek", "kafka"):
            if name == "kafka" and tools is None:
                continue
            folder = FOLDER / f"grpc-{name}-{number}"
            shutil.rmtree(folder, ignore_errors=True)
            os.sync()
            try:
                values = of_odradek(folder) if tools is None or name == "odradek" else of_kafka(folder, tools)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            for metric, found in values.items():
                samples.setdefault(name, {}).setdefault(metric, []).append(found)
            shown = "; ".join(f"{metric} {report.figure(found)}" for metric, found in values.items())
            say(f"round {number + 1}, {name}: {shown}\n")
    say("\n" + "\n".join(rows(samples)) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
