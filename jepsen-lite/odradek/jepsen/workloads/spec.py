"""Which workers a workload consists of, and what each of them is told.

Decides: the names of workloads and their topics, how many workers of which role, and how the work is divided.
Does not decide: what a role does (`generator` and the modules named after the doors). Invariants: process names and
record values are unique in a run, over all incarnations of a worker; a spec is all that a worker knows.

Not here yet, because brokers do not serve them: transactions, KIP-848 groups, compaction. Each will be a function in
`_WORKLOADS`, with its topics in `_TOPICS`, and a role in `worker._ROLES`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

VALUES_OF_A_WORKER: Final = 10**12
VALUES_OF_AN_INCARNATION: Final = 10**9
"""Values are sent by number * 10**12 + incarnation * 10**9 + counter: to be read by people, and within 63 bits."""


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """One operating system process. `process` is its first name in the history; `number` is its own in the run.

    `topics` maps names to numbers of partitions; `history` is a file of this incarnation alone; `rate` is the
    target in operations a second over all its Jepsen processes. `options` by role, all with defaults.
    """

    workload: str
    role: str
    process: str
    number: int
    seed: int
    bootstrap: str
    grpc: str
    topics: Mapping[str, int]
    history: str
    rate: float
    incarnation: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The process name of this incarnation: "kafka-send-3", then "kafka-send-3.1"."""
        return self.process if self.incarnation == 0 else f"{self.process}.{self.incarnation}"

    @property
    def door(self) -> str:
        """kafka or grpc, the first part of its role."""
        return self.role.partition("-")[0]

    @property
    def keys(self) -> list[str]:
        return keys_of(self.topics)

    @property
    def first_value(self) -> int:
        """Of the records that this incarnation sends; the next is one more."""
        return self.number * VALUES_OF_A_WORKER + self.incarnation * VALUES_OF_AN_INCARNATION

    def again(self) -> WorkerSpec:
        """For the process that takes the place of this one: another name, other values, another file."""
        folder = Path(self.history).parent
        later = self.incarnation + 1
        return replace(self, incarnation=later, history=str(folder / f"{self.process}.{later}.jsonl"))

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> WorkerSpec:
        """Raises ValueError, and TypeError for fields that are missing or too many."""
        return cls(**json.loads(text))


def keys_of(topics: Mapping[str, int]) -> list[str]:
    """ "topic/partition" for each partition."""
    return [f"{topic}/{partition}" for topic, count in topics.items() for partition in range(count)]


def split_key(key: str) -> tuple[str, int]:
    topic, _, partition = key.rpartition("/")
    return topic, int(partition)


class UnknownWorkload(ValueError):
    """The message names those that there are."""


@dataclass(frozen=True, slots=True)
class _Place:
    """What all workers of a run have in common."""

    workload: str
    bootstrap: str
    grpc: str
    topics: Mapping[str, int]
    seed: int
    folder: Path
    options: Mapping[str, Any]

    def worker(
        self, role: str, count: int, rate: float = 10.0, **options: Any
    ) -> list[tuple[str, float, Any]]:
        return [(role, rate, options)] * count


_Lines = list[tuple[str, float, Any]]


def _queue(place: _Place) -> _Lines:
    """Senders and readers at both doors, on the same keys."""
    rate = float(place.options.get("rate", 1_400))
    share = rate / 3 if place.grpc else rate / 2
    lines = place.worker("kafka-send", 2, share)
    lines += place.worker("kafka-read", 1, 12, mode="assign") + place.worker(
        "kafka-read", 1, 8, mode="subscribe"
    )
    if place.grpc:
        lines += place.worker("grpc-send", 1, share)
        lines += place.worker("grpc-read", 1, 8, mode="assign")
        lines += place.worker("grpc-read", 1, 5, mode="subscribe")
    return lines + place.worker("kafka-watermarks", 1, 8)


def _idempotent(place: _Place) -> _Lines:
    """Senders that try again far sooner than they need to; readers as far as the checkers need them."""
    rate = float(place.options.get("rate", 1_000))
    named = 60.0 if place.grpc else 0.0
    share = (rate - named) / 3
    lines: _Lines = []
    for timeout_ms in (150, 400, 1_000):
        lines += place.worker("kafka-send", 1, share, answer_timeout_ms=timeout_ms)
    if place.grpc:
        lines += place.worker("grpc-named-send", 1, named, answer_timeout_ms=300)
    return lines + place.worker("kafka-read", 1, 8, mode="assign") + place.worker("kafka-watermarks", 1, 8)


def _groups(place: _Place) -> _Lines:
    """Two groups, one of either style, whose members come and go; both doors are in the eager one."""
    rate = float(place.options.get("rate", 600))
    lines = place.worker("kafka-send", 1, rate)
    lines += place.worker("kafka-member", 3, 6, group="eager", style="eager")
    lines += place.worker("kafka-member", 3, 6, group="cooperative", style="cooperative")
    if place.grpc:
        lines += place.worker("grpc-member", 1, 6, group="eager")
    lines += place.worker("kafka-committed", 1, 4, groups=["eager", "cooperative"])
    return lines + place.worker("kafka-watermarks", 1, 6)


def _metadata(place: _Place) -> _Lines:
    """Clients that create, delete, change and look at a few topics, each at a node of its choice."""
    return place.worker("kafka-admin", 3, float(place.options.get("rate", 12)) / 3)


_WORKLOADS: Final[dict[str, Callable[[_Place], _Lines]]] = {
    "queue": _queue,
    "idempotent": _idempotent,
    "groups": _groups,
    "metadata": _metadata,
}
_TOPICS: Final[dict[str, dict[str, int]]] = {
    "queue": {"q0": 2, "q1": 2, "q2": 2, "q3": 2},
    "idempotent": {"i0": 2, "i1": 2, "i2": 2},
    "groups": {"g0": 4, "g1": 2},
    "metadata": {},  # its clients create their own
}


def workloads() -> list[str]:
    """The names of all workloads."""
    return list(_WORKLOADS)


def topics_for(workload: str) -> dict[str, int]:
    """Name: number of partitions, of the topics that must be there before its workers start. UnknownWorkload."""
    if workload not in _TOPICS:
        raise UnknownWorkload(f"no workload {workload!r}: there are {', '.join(_WORKLOADS)}")
    return dict(_TOPICS[workload])


def workers_for(
    workload: str,
    bootstrap: str,
    grpc: str,
    topics: Mapping[str, int],
    seed: int,
    folder: Path,
    options: Mapping[str, Any] | None = None,
) -> list[WorkerSpec]:
    """The workers of the main phase. Without `grpc` those of the gRPC door are left out. UnknownWorkload.

    `options`: "rate", records a second over all senders.
    """
    topics_for(workload)
    place = _Place(workload, bootstrap, grpc, topics, seed, folder, options or {})
    specs: list[WorkerSpec] = []
    for number, (role, rate, own) in enumerate(_WORKLOADS[workload](place)):
        specs.append(_spec(place, role, number, rate, own))
    return specs


def final_workers(
    workload: str,
    bootstrap: str,
    grpc: str,
    topics: Mapping[str, int],
    folder: Path,
    until: Mapping[str, int],
    limit_s: float = 200.0,
) -> list[WorkerSpec]:
    """One reader per door that reads each key from the beginning up to the offset `until` says (exclusive)."""
    place = _Place(workload, bootstrap, grpc, topics, 0, folder, {})
    doors = ["kafka-final", "grpc-final"] if grpc else ["kafka-final"]
    own = {"until": dict(until), "limit_s": limit_s}
    return [_spec(place, role, number, 50.0, own) for number, role in enumerate(doors)]


def _spec(place: _Place, role: str, number: int, rate: float, options: Mapping[str, Any]) -> WorkerSpec:
    process = f"{role}-{number}"
    return WorkerSpec(
        workload=place.workload,
        role=role,
        process=process,
        number=number,
        seed=place.seed * 1_000 + number,
        bootstrap=place.bootstrap,
        grpc=place.grpc,
        topics=dict(place.topics),
        history=str(place.folder / f"{process}.jsonl"),
        rate=rate,
        options=dict(options),
    )
