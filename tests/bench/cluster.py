"""`make bench-cluster`: three nodes of Odradek beside three of Apache Kafka, alternating, on this machine.

Decides: order of the runs, folders, what is printed and written. Does not decide: loads and faults
(`cluster_scenarios.py`), meaning (`cluster_report.py`). Invariants: one cluster runs at a time; each run has a fresh
folder on the disk of the repository, removed and synced afterwards.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))


from tests.bench import cluster_report, machine, report  # noqa: E402
from tests.bench.cluster_scenarios import SCENARIOS, Plan, Scenario, Values  # noqa: E402
from tests.bench.cluster_writer import WriterStuck  # noqa: E402
from tests.bench.run import say  # noqa: E402
from tests.bench.tools import ToolFailed, Tools  # noqa: E402
from tests.compat import wire  # noqa: E402
from tests.compat.clusters import Cluster, OdradekFromFile  # noqa: E402
from tests.compat.places import CACHE  # noqa: E402
from tests.compat.servers import ApacheKafka, Flavour, ServerFailed  # noqa: E402

from odradek.jepsen.db.kafka_jars import JarsMissing, kafka_classpath  # noqa: E402

FOLDER = CACHE / "bench-cluster"
RESULTS = FOLDER / "results.json"
Samples = dict[str, dict[str, list[float]]]
_FAILURES = (
    ToolFailed,
    ServerFailed,
    WriterStuck,
    AssertionError,
    OSError,
    wire.Closed,
    subprocess.TimeoutExpired,
)


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    names = ", ".join(scenario.name for scenario in SCENARIOS)
    parser = argparse.ArgumentParser(
        prog="tests/bench/cluster.py", description="Three nodes beside three of Apache Kafka."
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds of a scenario; the median is shown")
    parser.add_argument("--only", default="", metavar="NAME,...", help=f"some of: {names}")
    parser.add_argument("--kills", type=int, default=20, help="kills of a leader, Odradek")
    parser.add_argument("--kafka-kills", type=int, default=2, help="kills of a leader, Apache Kafka")
    parser.add_argument("--no-kafka", action="store_true", help="measure Odradek alone")
    parser.add_argument("--no-odradek", action="store_true", help="measure Apache Kafka alone")
    parser.add_argument("--no-touch", action="store_true", help="do not touch the free memory first")
    parser.add_argument(
        "--add", action="store_true", help=f"add to the samples of the last run ({RESULTS.name})"
    )
    parser.add_argument("--readme", type=Path, metavar="FILE", help="put the table between the markers there")
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


def rivals(options: argparse.Namespace) -> list[tuple[Flavour, dict[str, str], Plan]]:
    """The kinds of cluster to measure, each with its properties and how often its nodes are hurt."""
    found: list[tuple[Flavour, dict[str, str], Plan]] = []
    if not options.no_kafka:
        properties = dict(item.split("=", 1) for item in options.kafka_set)
        plan = Plan(kills=options.kafka_kills, pauses=1, controller_kills=2)
        found.append((ApacheKafka("512m", alone=False), properties, plan))
    if not options.no_odradek:
        properties = dict(item.split("=", 1) for item in options.odradek_set)
        found.append((OdradekFromFile(), properties, Plan(kills=options.kills)))
    return found


def run_once(scenario: Scenario, rival: tuple[Flavour, dict[str, str], Plan], tools: Tools) -> Values:
    """One scenario on one fresh cluster; the folder is gone and the disk quiet when this returns."""
    flavour, properties, plan = rival
    folder = FOLDER / "run"
    shutil.rmtree(folder, ignore_errors=True)
    os.sync()
    try:
        with Cluster(flavour, folder, properties=properties) as cluster:
            return scenario.run(cluster, tools, plan)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.sync()


def measure(options: argparse.Namespace, tools: Tools, samples: Samples) -> list[str]:
    """All rounds, into `samples`; a line for every run that failed."""
    competing = rivals(options)
    failures: list[str] = []
    for scenario in chosen(options.only):
        for number in range(min(options.rounds, scenario.rounds)):
            for rival in competing if number % 2 == 0 else competing[::-1]:
                name = rival[0].name
                say(f"{scenario.name}, round {number + 1}, {name}: ")
                try:
                    values = run_once(scenario, rival, tools)
                except _FAILURES as error:
                    failures.append(f"{scenario.name}, round {number + 1}, {name}: {error}")
                    say(f"FAILED: {error}\n")
                    continue
                for metric, found in values.items():
                    samples.setdefault(name, {}).setdefault(metric, []).extend(found)
                say("; ".join(f"{metric} {_shown(found)}" for metric, found in values.items()) + "\n")
    return failures


def _shown(values: Sequence[float]) -> str:
    return " ".join(report.figure(value) for value in values)


def main(argv: Sequence[str] | None = None) -> int:
    options = arguments(argv)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 1 << 17)), hard))
    FOLDER.mkdir(parents=True, exist_ok=True)
    try:
        if not options.no_kafka:
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
    samples: Samples = json.loads(RESULTS.read_text())["samples"] if options.add and RESULTS.exists() else {}
    failures = measure(options, tools, samples)
    RESULTS.write_text(json.dumps({"facts": facts, "samples": samples}, indent=1) + "\n")
    lines = cluster_report.rows(samples)
    say("\n" + report.text_table(lines))
    if options.readme is not None:
        section = cluster_report.section(lines, facts, samples)
        options.readme.write_text(cluster_report.between_markers(options.readme.read_text(), section))
    for failure in failures:
        say(f"FAILED: {failure}\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
