"""`make bench`: Odradek beside Apache Kafka, alternating, on this machine.

Decides: order of the runs, folders, what is printed. Does not decide: loads (`scenarios.py`), meaning
(`report.py`). Invariants: one server runs at a time; each run has a fresh folder on the disk of the
repository (never a tmpfs), removed and synced afterwards, so that no run pays for another's dirty pages.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tests.bench import machine, report  # noqa: E402  (the path above has to be there first)
from tests.bench.scenarios import SCENARIOS, Scenario  # noqa: E402
from tests.bench.tools import ToolFailed, Tools  # noqa: E402
from tests.compat.places import CACHE  # noqa: E402
from tests.compat.servers import ApacheKafka, Flavour, Odradek, Server, ServerFailed  # noqa: E402

from odradek.jepsen.db.kafka_jars import JarsMissing, kafka_classpath  # noqa: E402

FOLDER = CACHE / "bench"
Samples = dict[str, dict[str, list[float]]]


def say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    names = ", ".join(scenario.name for scenario in SCENARIOS)
    parser = argparse.ArgumentParser(prog="tests/bench/run.py", description="Odradek beside Apache Kafka.")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of every scenario; the median is shown")
    parser.add_argument("--only", default="", metavar="NAME,...", help=f"some of: {names}")
    parser.add_argument("--no-kafka", action="store_true", help="measure Odradek alone")
    parser.add_argument("--no-odradek", action="store_true", help="measure Apache Kafka alone")
    parser.add_argument("--no-touch", action="store_true", help="do not touch the free memory first")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table for the README there")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="property for both servers"
    )
    parser.add_argument(
        "--kafka-set", action="append", default=[], metavar="NAME=VALUE", help="property for Kafka"
    )
    parser.add_argument(
        "--odradek-set", action="append", default=[], metavar="NAME=VALUE", help="for Odradek"
    )
    return parser.parse_args(argv)


def chosen(only: str) -> list[Scenario]:
    wanted = [name for name in only.split(",") if name]
    unknown = set(wanted) - {scenario.name for scenario in SCENARIOS}
    if unknown:
        raise SystemExit(f"unknown scenario: {', '.join(sorted(unknown))}")
    return [scenario for scenario in SCENARIOS if not wanted or scenario.name in wanted]


def flavours(options: argparse.Namespace) -> list[tuple[Flavour, dict[str, str]]]:
    """The servers to measure, each with the properties asked for on the command line."""
    common = dict(item.split("=", 1) for item in options.set)
    found: list[tuple[Flavour, dict[str, str]]] = []
    if not options.no_kafka:
        found.append((ApacheKafka("1g"), common | dict(item.split("=", 1) for item in options.kafka_set)))
    if not options.no_odradek:
        found.append((Odradek(), common | dict(item.split("=", 1) for item in options.odradek_set)))
    return found


def run_once(
    scenario: Scenario, flavour: Flavour, properties: dict[str, str], tools: Tools
) -> dict[str, float]:
    """One scenario on one fresh server; the folder is gone and the disk quiet when this returns."""
    folder = FOLDER / "run"
    shutil.rmtree(folder, ignore_errors=True)
    os.sync()
    try:
        with Server(flavour, folder, dict(scenario.properties) | properties) as server:
            return scenario.run(server, tools)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.sync()


def measure(options: argparse.Namespace, tools: Tools) -> tuple[Samples, list[str]]:
    """All rounds; the samples, and a line for every run that failed."""
    servers = flavours(options)
    samples: Samples = {flavour.name: {} for flavour, _ in servers}
    failures: list[str] = []
    for scenario in chosen(options.only):
        for number in range(options.rounds):
            ordered = servers if number % 2 == 0 else servers[::-1]
            for flavour, properties in ordered:
                say(f"{scenario.name}, round {number + 1}, {flavour.name}: ")
                try:
                    values = run_once(scenario, flavour, properties, tools)
                except (ToolFailed, ServerFailed, OSError) as error:
                    failures.append(f"{scenario.name}, round {number + 1}, {flavour.name}: {error}")
                    say(f"FAILED: {error}\n")
                    continue
                for name, value in values.items():
                    samples[flavour.name].setdefault(name, []).append(value)
                say(", ".join(f"{name} {report.figure(value)}" for name, value in values.items()) + "\n")
    return samples, failures


def main(argv: Sequence[str] | None = None) -> int:
    options = arguments(argv)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 1 << 16)), hard))
    FOLDER.mkdir(parents=True, exist_ok=True)
    try:
        kafka_classpath()
        tools = Tools(FOLDER / "tools")
    except (JarsMissing, ToolFailed) as error:
        say(f"cannot measure: {error}\n")
        return 2
    facts = machine.facts()
    for name, value in facts.items():
        say(f"{name}: {value}\n")
    if not options.no_touch:
        say(f"touched {machine.touch_memory() / (1 << 30):.1f} GiB of memory\n")
    samples, failures = measure(options, tools)
    (FOLDER / "results.json").write_text(json.dumps({"facts": facts, "samples": samples}, indent=1) + "\n")
    lines = report.rows(samples)
    say("\n" + report.text_table(lines))
    if options.markdown is not None:
        options.markdown.write_text(report.markdown_table(lines, facts, options.rounds))
    for failure in failures:
        say(f"FAILED: {failure}\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
