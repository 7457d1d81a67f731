"""What a run leaves for the checkers.

Decides: its shape. Does not decide: how it comes about (`execute`), nor what is wrong with it (`checking`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from odradek.jepsen.checkers.anomaly import Anomaly
from odradek.jepsen.checkers.replicas import Replica
from odradek.jepsen.workloads.spec import keys_of


class FinalReader(NamedTuple):
    """A process that was started to read these keys to their ends, through the door "kafka" or "grpc"."""

    process: str
    door: str
    keys: list[str]


@dataclass
class Recorded:
    """What a run leaves for the checkers. `troubles` are what went wrong with the run itself.

    `in_sync` has the nodes that were in sync, by key, after the final reads; `replicas` those nodes that could be read.
    `answers_lost` are answers that producers lost on purpose; None when they had to lose none.
    """

    history: list[Path] = field(default_factory=list)
    topics: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # by workload
    ends: Mapping[str, int] = field(default_factory=dict)
    readers: list[FinalReader] = field(default_factory=list)
    answers_lost: int | None = None
    in_sync: Mapping[str, list[int]] = field(default_factory=dict)
    replicas: Mapping[int, Mapping[str, Replica]] = field(default_factory=dict)
    troubles: list[Anomaly] = field(default_factory=list)
    logs: Mapping[int, Path] = field(default_factory=dict)

    @property
    def keys(self) -> list[str]:
        return [key for topics in self.topics.values() for key in keys_of(topics)]
