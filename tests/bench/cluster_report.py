"""What the figures of `make bench-cluster` mean, and where its table goes.

Decides: names, units, aims (issue 4, "Numbers"), which rows are medians and which the worst, the text between the
markers of the README. Does not decide: how a value is measured. Pure: values in, text out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.bench import report
from tests.bench.report import Metric, Samples

BEGIN, END = "<!-- bench-cluster:begin -->", "<!-- bench-cluster:end -->"
WORST = "_worst"
"""A metric of this ending is the largest value of the one before the ending."""

METRICS: dict[str, Metric] = {
    "leader_kill": Metric(
        "SIGKILL of a partition leader, gap in acknowledged writes, median", "s", aim="< 1"
    ),
    "leader_kill_worst": Metric("The same, worst", "s", aim="< 2"),
    "leader_pause": Metric("Partition leader frozen by SIGSTOP, gap", "s", aim="< 4"),
    "controller_kill": Metric("SIGKILL of the active controller, until the next one works", "s", aim="< 1.5"),
    "produce_100": Metric("Produce 100 B", "records/s", True, "1.5 x Kafka"),
    "produce_1k": Metric("Produce 1 KiB", "records/s", True, "1.5 x Kafka"),
    "e2e_p50": Metric("End to end (librdkafka) at 1,000 records/s, p50", "ms", aim="< 1.2"),
    "e2e_p99": Metric("End to end, p99", "ms", aim="< 3"),
    "e2e_p999": Metric("End to end, p99.9", "ms", aim="< 12"),
    "start": Metric("Three nodes from start to serving", "s", aim="< 2"),
    "restart": Metric("All killed at once and restarted, until acknowledging again", "s", aim="< 3"),
    "idle_memory": Metric("Resident memory of a node, idle", "MB", aim="< 70"),
    "create_1000": Metric("Create a topic of 1,000 partitions", "s", aim="no slower"),
    "create_9000": Metric("Create a topic of 9,000 partitions", "s", aim="no slower"),
    "in_sync_1000": Metric("1,000 partitions, until all are in sync everywhere", "s"),
    "in_sync_9000": Metric("9,000 partitions, until all are in sync everywhere", "s"),
    "failover_1000": Metric("SIGKILL of a node that leads 333, until others lead them all", "s", aim="< 1"),
    "failover_9000": Metric("SIGKILL of a node that leads 3,000, until others lead them all", "s", aim="< 2"),
    "answers_1000": Metric("The same (333), until the new leaders answer", "s"),
    "answers_9000": Metric("The same (3,000), until the new leaders answer", "s"),
}


def rows(samples: Samples) -> list[list[str]]:
    """The table: as `report.rows`, with the worst of what is measured many times."""
    full = {server: dict(values) for server, values in samples.items()}
    for values in full.values():
        for name in METRICS:
            of = values.get(name.removesuffix(WORST))
            if name.endswith(WORST) and of:
                values[name] = [max(of)]
    return report.rows(full, metrics=METRICS)


def counts(samples: Samples) -> str:
    """How often the kills were done, for the sentence above the table."""
    found = [
        f"{len(values['leader_kill'])} of {name}"
        for name, values in samples.items()
        if "leader_kill" in values
    ]
    return ", ".join(found)


def section(lines: Sequence[Sequence[str]], facts: Mapping[str, str], samples: Samples) -> str:
    """The part of the README between the markers, without them."""
    kills = counts(samples)
    machine = f"{facts['cores']} cores for all nodes and clients, {facts['system']}, {facts['python']}"
    out = [
        "`make bench-cluster` runs three nodes beside three of Apache Kafka 4.3.1 with its defaults, alternating in one"
        f" run: {machine}; replication 3, acks=all. Odradek fsyncs before it acknowledges, Kafka does not."
        + (f" Kills of a leader: {kills}.\n" if kills else "\n"),
        "\n",
        "| " + " | ".join(report.HEADER) + " |\n",
        "|---|---|---:|---:|---:|---|\n",
        *("| " + " | ".join(line) + " |\n" for line in lines),
    ]
    return "".join(out)


def between_markers(text: str, section: str) -> str:
    """The README with the section in its place. Raises ValueError when it has not the two markers, once each."""
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"no single pair of {BEGIN} and {END}")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{section}{END}{tail}"
