"""What a run is asked to do.

Decides: the options, their defaults and which combinations make no sense. Does not decide: how they are spelt on the
command line (`cli`), nor what a name of a workload or nemesis means (`workloads`, `nemesis.registry`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

MOST_NODES = 7
FLAVOURS = ("odradek", "kafka")


class OptionsError(ValueError):
    """What was wrong, and what is allowed."""


@dataclass(frozen=True)
class Options:
    """`seconds` is the time under faults; set-up, healing and the final reads come on top.

    `at_least` counts faults that the plan must hold, by kind or group of kinds. `acknowledged` is the number of
    acknowledged records below which a run says "unknown": a history of nothing is no proof. `command` replaces the
    command that starts a node (a planted fault, another build); `properties` are lines for every server.properties,
    `topic_configs` settings of every topic.
    """

    seed: int
    folder: Path
    nodes: int = 3
    workloads: tuple[str, ...] = ("queue",)
    nemeses: tuple[str, ...] = ("kill",)
    seconds: int = 60
    flavour: str = "odradek"
    at_least: Mapping[str, int] = field(default_factory=dict)
    acknowledged: int = 1
    interval_s: tuple[float, float] = (15.0, 30.0)
    spacing_s: tuple[float, float] = (3.0, 9.0)
    quiet: float = 0.25
    rate: int = 1000
    command: tuple[str, ...] = ()
    properties: Mapping[str, str] = field(default_factory=dict)
    topic_configs: Mapping[str, str] = field(default_factory=dict)
    image_mib: int = 256

    def __post_init__(self) -> None:
        if self.flavour not in FLAVOURS:
            raise OptionsError(f"--cluster {self.flavour}: allowed are {', '.join(FLAVOURS)}")
        if not 1 <= self.nodes <= MOST_NODES:
            raise OptionsError(f"--nodes {self.nodes}: allowed are 1 to {MOST_NODES}")
        if self.seconds < 5:
            raise OptionsError(f"--seconds {self.seconds}: at least 5")
        if not self.workloads:
            raise OptionsError("--workload names none")
        low, high = self.interval_s
        if not 1 <= low <= high:
            raise OptionsError(f"--interval {low}-{high}: a period of 1 s or more, the shorter first")
        if self.command and self.flavour != "odradek":
            raise OptionsError(
                "--command replaces the command of an Odradek node; it has no meaning for Apache Kafka"
            )
