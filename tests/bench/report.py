"""What the metrics mean, and the tables.

Decides: names, units, which direction is better, the aim (issue 3, "Numbers"), medians and ratios.
Does not decide: how a value is measured. Pure: values in, text out.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Samples = Mapping[str, Mapping[str, Sequence[float]]]
"""Server name -> metric name -> one value per round."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A row of the table. `aim` is prose: what the project wants of Odradek."""

    words: str
    unit: str
    more_is_better: bool = False
    aim: str = ""


METRICS: dict[str, Metric] = {
    "produce_100": Metric("Produce 100 B, acks=all", "records/s", True, "2 x Kafka"),
    "consume_100": Metric("Consume 100 B", "records/s", True, "ahead"),
    "produce_100_cpu": Metric("Broker CPU, produce 100 B", "s/GB", aim="no more"),
    "consume_100_cpu": Metric("Broker CPU, consume 100 B", "s/GB", aim="no more"),
    "produce_1k": Metric("Produce 1 KiB, acks=all", "records/s", True, "2 x Kafka"),
    "consume_1k": Metric("Consume 1 KiB", "records/s", True, "ahead"),
    "produce_1k_cpu": Metric("Broker CPU, produce 1 KiB", "s/GB", aim="no more"),
    "consume_1k_cpu": Metric("Broker CPU, consume 1 KiB", "s/GB", aim="no more"),
    "requests_20": Metric("One-record requests, 20 connections, 6 partitions", "requests/s", True, "ahead"),
    "requests_20_p50": Metric("Their latency, p50", "ms"),
    "requests_20_p99": Metric("Their latency, p99", "ms"),
    "requests_20_p999": Metric("Their latency, p99.9", "ms"),
    "requests_50": Metric("One-record requests, 50 connections, 6 partitions", "requests/s", True, "ahead"),
    "requests_50_p50": Metric("Their latency, p50", "ms"),
    "requests_50_p99": Metric("Their latency, p99", "ms"),
    "requests_50_p999": Metric("Their latency, p99.9", "ms"),
    "requests_single_20": Metric(
        "One-record requests, 20 connections, 1 partition", "requests/s", True, "ahead"
    ),
    "requests_single_20_p50": Metric("Their latency, p50", "ms"),
    "requests_single_20_p99": Metric("Their latency, p99", "ms"),
    "requests_single_20_p999": Metric("Their latency, p99.9", "ms"),
    "requests_single_50": Metric(
        "One-record requests, 50 connections, 1 partition", "requests/s", True, "ahead"
    ),
    "requests_single_50_p50": Metric("Their latency, p50", "ms"),
    "requests_single_50_p99": Metric("Their latency, p99", "ms"),
    "requests_single_50_p999": Metric("Their latency, p99.9", "ms"),
    "e2e_1000_mean": Metric("End to end at 1,000 records/s, mean", "ms", aim="< 1"),
    "e2e_1000_p50": Metric("End to end at 1,000 records/s, p50", "ms"),
    "e2e_1000_p99": Metric("End to end at 1,000 records/s, p99", "ms", aim="< 3"),
    "e2e_1000_p999": Metric("End to end at 1,000 records/s, p99.9", "ms"),
    "ack_1000_p99": Metric("Acknowledgement at 1,000 records/s, p99", "ms"),
    "e2e_5000_mean": Metric("End to end at 5,000 records/s, mean", "ms"),
    "e2e_5000_p50": Metric("End to end at 5,000 records/s, p50", "ms"),
    "e2e_5000_p99": Metric("End to end at 5,000 records/s, p99", "ms"),
    "e2e_5000_p999": Metric("End to end at 5,000 records/s, p99.9", "ms"),
    "ack_5000_p99": Metric("Acknowledgement at 5,000 records/s, p99", "ms"),
    "e2e_tool_mean": Metric("EndToEndLatency (one at a time), mean", "ms", aim="< 1"),
    "e2e_tool_p99": Metric("EndToEndLatency (one at a time), p99 (whole ms)", "ms", aim="< 3"),
    "start": Metric("Start on an empty folder to the first answer", "s", aim="< 0.5"),
    "restart": Metric("Start again after a clean stop", "s"),
    "idle_memory": Metric("Resident memory, idle", "MB", aim="< 60"),
    "partitions_create": Metric("Create 10,000 partitions", "s", aim="< 1"),
    "partitions_ready": Metric("The same, until each of them answers", "s"),
    "partitions_write": Metric("Write a record to each of them", "s"),
    "partitions_recover": Metric("Serve all of them again after kill -9", "s", aim="< 3"),
    "partitions_memory_empty": Metric("Memory of an empty partition", "KiB"),
    "partitions_memory": Metric("Memory of a partition with a record", "KiB", aim="< 15"),
    "connections_memory": Metric("Memory of 5,000 idle connections", "MB", aim="< 100"),
}


def figure(value: float) -> str:
    """Three significant digits, with thousands separated."""
    if value != 0 and abs(value) < 100:
        return f"{value:.3g}"
    return f"{float(f'{value:.3g}'):,.0f}"


def _ratio(metric: Metric, ours: float, theirs: float) -> str:
    """How many times better Odradek is: above 1 is ahead, whatever the direction of the metric."""
    top, bottom = (ours, theirs) if metric.more_is_better else (theirs, ours)
    if bottom <= 0 or top <= 0:
        return "-"
    return f"{top / bottom:.2f}"


def rows(
    samples: Samples, ours: str = "odradek", theirs: str = "kafka", metrics: Mapping[str, Metric] = METRICS
) -> list[list[str]]:
    """Metric, unit, median of Kafka, median of Odradek, ratio, aim; only of what was measured."""
    found = []
    for name, metric in metrics.items():
        medians = {
            server: statistics.median(values[name]) for server, values in samples.items() if values.get(name)
        }
        if not medians:
            continue
        both = ours in medians and theirs in medians
        ratio = _ratio(metric, medians[ours], medians[theirs]) if both else "-"
        shown = [figure(medians[server]) if server in medians else "-" for server in (theirs, ours)]
        found.append([metric.words, metric.unit, *shown, ratio, metric.aim])
    return found


HEADER = ["What", "unit", "Apache Kafka", "Odradek", "times better", "aim"]


def text_table(lines: Sequence[Sequence[str]]) -> str:
    """Aligned columns for a terminal."""
    everything = [HEADER, *lines]
    widths = [max(len(line[column]) for line in everything) for column in range(len(HEADER))]
    out = []
    for line in everything:
        cells = [
            cell.rjust(width) if 1 < column < 5 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths))
        ]
        out.append("  ".join(cells).rstrip() + "\n")
    return "".join(out)


def markdown_table(lines: Sequence[Sequence[str]], facts: Mapping[str, str], rounds: int) -> str:
    """The table for the README, with the machine's facts above it."""
    head = "; ".join(f"{name}: {value}" for name, value in facts.items())
    out = [f"Medians of {rounds} alternating rounds. {head[:1].upper()}{head[1:]}.\n", "\n"]
    out.append("| " + " | ".join(HEADER) + " |\n")
    out.append("|---|---|---:|---:|---:|---|\n")
    out += ["| " + " | ".join(line) + " |\n" for line in lines]
    return "".join(out)
