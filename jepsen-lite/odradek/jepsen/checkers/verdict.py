"""Whether a run was valid, and what to say of it.

Decides: which anomalies end a run as invalid, what makes its outcome unknown, and how a verdict reads as JSON and as
the last lines of a run. Does not decide: what an anomaly is (the checkers), nor how a report looks (`report`).

The table of fatal anomalies is that of jepsen.tests.kafka (`allowed-error-types`): everything is fatal but
int-send-skip and G0 (writes of Kafka's transactions are not isolated), G1c with a write-write edge in it, and, for
clients that subscribe, poll-skip and nonmonotonic-poll. An anomaly's own data count for more than the policy: "via"
("assign" or "subscribe") of a reader, "pure" (no write-write edge) of a cycle. G1c-realtime and G1c-process have no
write-write edges here (`cycles`), and are fatal. Metrics are never fatal.

A run is valid only if it shows something: fewer records or faults than asked for, a key that nobody read to its end, or
a checker that gave up make it unknown. Whatever is found is worse than what is unknown.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from odradek.jepsen.checkers.anomaly import Anomaly
from odradek.jepsen.history import Operation, encode

Valid = bool | Literal["unknown"]

#: A checker that could not decide reports this kind, and why.
GAVE_UP = "gave-up"

LOST_BYTES = "unsynced bytes lost in power cuts"
LOST_ANSWERS = "answers lost on purpose"

ALWAYS_ALLOWED = frozenset({"int-send-skip", "G0", "G0-process", "G0-realtime"})
ALLOWED_WITH_SUBSCRIBE = frozenset({"poll-skip", "nonmonotonic-poll"})
ALLOWED_WITH_WRITE_EDGES = frozenset({"G1c"})
METRICS = frozenset({"realtime-lag", "consume-counts", "recovery", "availability"})

#: Of one kind of anomaly, and of one anomaly's evidence, so many are kept in JSON; `counts` has them all.
MOST_ANOMALIES = 100
MOST_EVENTS = 50


@dataclass(frozen=True)
class Policy:
    """How the clients read, and which edges the cycles were sought over."""

    subscribe: bool = False
    write_edges: bool = True

    def is_fatal(self, anomaly: Anomaly) -> bool:
        """A checker that gave up is not fatal, but see `judge`."""
        data = anomaly.data if isinstance(anomaly.data, Mapping) else {}
        if anomaly.kind in ALLOWED_WITH_SUBSCRIBE:
            return bool(data["via"] != "subscribe") if "via" in data else not self.subscribe
        if anomaly.kind in ALLOWED_WITH_WRITE_EDGES:
            return bool(data["pure"]) if "pure" in data else not self.write_edges
        return anomaly.kind not in ALWAYS_ALLOWED | METRICS | {GAVE_UP}


@dataclass(frozen=True)
class Asked:
    """The least that a run must have done before it proves anything; `faults` counts by kind, as planned."""

    acknowledged: int = 1
    faults: int = 0
    power_cuts: int = 0
    power_cuts_of_all: int = 0
    faults_by_kind: Mapping[str, int] = field(default_factory=dict)


class Capability(NamedTuple):
    """What this machine can do or cannot, and why not."""

    name: str
    present: bool
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What a run was and did. Times of `recoveries` in seconds; `availability` is a share from 0 to 1.

    `operations` counts by f and type; `faults` those that were started, by name; `unread_keys` are keys that no final
    read reached the end of; `lost_bytes` are those that power cuts took, None when nobody counted; `answers_lost` those
    of producers, on purpose, None when they had to lose none; `more` holds what else should be told, as name and text.
    """

    seed: int
    command: str
    commit: str = "unknown"
    started_at: str = ""
    duration_s: float = 0.0
    nodes: int = 3
    flavour: str = "odradek"
    workloads: Sequence[str] = ()
    nemeses: Sequence[str] = ()
    capabilities: Sequence[Capability] = ()
    asked: Asked = Asked()
    operations: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    acknowledged: int = 0
    faults: Mapping[str, int] = field(default_factory=dict)
    power_cuts: int = 0
    power_cuts_of_all: int = 0
    lost_bytes: int | None = None
    answers_lost: int | None = None
    recoveries: Mapping[str, Sequence[float]] = field(default_factory=dict)
    availability: float | None = None
    unread_keys: Sequence[str] = ()
    more: Mapping[str, str] = field(default_factory=dict)


class Recovery(NamedTuple):
    """Of all faults of one name, in seconds."""

    times: int
    p50: float
    p99: float
    max: float


class Promise(NamedTuple):
    """Something that a run had to do or to show. A run that did not keep one proves nothing."""

    name: str
    kept: bool
    detail: str


class Finding(NamedTuple):
    """An anomaly, the checker that reported it, and whether it ends the run as invalid."""

    checker: str
    anomaly: Anomaly
    fatal: bool


@dataclass(frozen=True)
class Verdict:
    """`checkers` are the names of all that ran, also of those that found nothing."""

    valid: Valid
    facts: RunFacts
    checkers: Sequence[str]
    findings: Sequence[Finding]
    promises: Sequence[Promise]

    @property
    def word(self) -> str:
        return {True: "valid", False: "invalid", "unknown": "unknown"}[self.valid]

    @property
    def exit_code(self) -> int:
        """0 valid, 1 invalid, 2 unknown."""
        return {True: 0, False: 1, "unknown": 2}[self.valid]

    @property
    def counts(self) -> Mapping[str, int]:
        """Anomalies by kind, fatal or not, with those that a checker has counted and not kept."""
        return totals(self.findings)

    @property
    def fatal(self) -> Sequence[Finding]:
        return [finding for finding in self.findings if finding.fatal]

    @property
    def reasons(self) -> Sequence[str]:
        """Why a verdict is unknown, whatever else it is."""
        gave_up = [
            f"{finding.checker} gave up: {finding.anomaly.detail}"
            for finding in self.findings
            if finding.anomaly.kind == GAVE_UP
        ]
        return [*gave_up, *(f"{p.name}: {p.detail}" for p in self.promises if not p.kept)]

    @property
    def recoveries(self) -> Mapping[str, Recovery]:
        return {name: of_recoveries(times) for name, times in sorted(self.facts.recoveries.items()) if times}

    def status(self, checker: str) -> Literal["passed", "failed", "gave up"]:
        found = [finding for finding in self.findings if finding.checker == checker]
        if any(finding.fatal for finding in found):
            return "failed"
        return "gave up" if any(finding.anomaly.kind == GAVE_UP for finding in found) else "passed"

    def to_json(self) -> dict[str, Any]:
        """What verdict.json holds; see `MOST_ANOMALIES`."""
        facts = self.facts
        return {
            "valid": self.valid,
            "reasons": list(self.reasons),
            "seed": facts.seed,
            "command": facts.command,
            "commit": facts.commit,
            "started_at": facts.started_at,
            "duration_s": round(facts.duration_s, 3),
            "flavour": facts.flavour,
            "nodes": facts.nodes,
            "workloads": list(facts.workloads),
            "nemeses": list(facts.nemeses),
            "capabilities": [capability._asdict() for capability in facts.capabilities],
            "operations": {f: dict(types) for f, types in facts.operations.items()},
            "acknowledged": facts.acknowledged,
            "faults": dict(facts.faults),
            "power_cuts": facts.power_cuts,
            "power_cuts_of_all": facts.power_cuts_of_all,
            "recoveries": {
                name: {key: round(value, 3) for key, value in recovery._asdict().items()}
                for name, recovery in self.recoveries.items()
            },
            "availability": facts.availability,
            "checkers": {checker: self.status(checker) for checker in self.checkers},
            "promises": [promise._asdict() for promise in self.promises],
            "counts": dict(self.counts),
            "anomalies": [
                _finding_json(finding) for finding in first_of_each_kind(self.findings, MOST_ANOMALIES)
            ],
            "more": dict(facts.more),
        }

    def lines(self) -> list[str]:
        """The last lines of a run, the verdict first."""
        return [f"{self.word.upper()}: {self.summary()}", *(f"  {line}" for line in self._details())]

    def summary(self) -> str:
        """One sentence: what the run went through and what came of it."""
        facts = self.facts
        faults = counted(sum(facts.faults.values()), "fault")
        through = f"{counted(facts.acknowledged, 'acknowledged record')}, {faults}"
        if facts.power_cuts:
            through += f", {counted(facts.power_cuts, 'power cut')} ({facts.power_cuts_of_all} on all nodes)"
        if self.valid is False:
            kinds = totals(self.fatal)
            return f"{', '.join(f'{count:,} {kind}' for kind, count in kinds.most_common())}; {through}"
        if self.valid == "unknown":
            return f"{'; '.join(self.reasons)}; {through}"
        return f"{through}: nothing lost, doubled or reordered"

    def _details(self) -> Iterator[str]:
        facts = self.facts
        if self.valid is False:
            for finding in first_of_each_kind(self.fatal, 3):
                yield f"{finding.anomaly.kind} ({finding.checker}): {finding.anomaly.detail}"
            yield from (f"unknown: {reason}" for reason in self.reasons)
        allowed = totals(f for f in self.findings if not f.fatal and f.anomaly.kind != GAVE_UP)
        if allowed:
            yield "allowed: " + ", ".join(f"{count:,} {kind}" for kind, count in allowed.most_common())
        if recoveries := self.recoveries:
            over = of_recoveries(time for times in facts.recoveries.values() for time in times)
            slowest = sorted(recoveries.items(), key=lambda item: -item[1].max)[:3]
            yield (
                f"recovery from {counted(over.times, 'fault')}: p50 {over.p50:.2f} s, p99 {over.p99:.2f} s, "
                f"slowest {', '.join(f'{name} {recovery.max:.2f} s' for name, recovery in slowest)}"
            )
        if facts.availability is not None:
            yield f"availability: {facts.availability:.2%}"
        missing = [
            f"{c.name} ({c.detail})" if c.detail else c.name for c in facts.capabilities if not c.present
        ]
        if missing:
            yield "not possible on this machine: " + ", ".join(missing)
        yield f"again: {facts.command}  # seed {facts.seed}, commit {facts.commit}"


def judge(results: Mapping[str, Sequence[Anomaly]], policy: Policy, facts: RunFacts) -> Verdict:
    """The verdict over what each checker, by its name, has reported."""
    findings = [
        Finding(checker, anomaly, policy.is_fatal(anomaly))
        for checker, anomalies in results.items()
        for anomaly in anomalies
    ]
    promises = promises_of(facts)
    valid: Valid = True
    if any(finding.fatal for finding in findings):
        valid = False
    elif any(f.anomaly.kind == GAVE_UP for f in findings) or not all(promise.kept for promise in promises):
        valid = "unknown"
    return Verdict(valid, facts, tuple(results), findings, promises)


def promises_of(facts: RunFacts) -> list[Promise]:
    """What was asked for, beside what was done. What was not asked for is not promised."""
    asked = facts.asked
    least = [
        ("acknowledged records", facts.acknowledged, asked.acknowledged),
        ("faults", sum(facts.faults.values()), asked.faults),
        ("power cuts", facts.power_cuts, asked.power_cuts),
        ("power cuts on all nodes", facts.power_cuts_of_all, asked.power_cuts_of_all),
    ]
    promises = [
        Promise(f"{name}", done >= wanted, f"{done:,} of at least {wanted:,}")
        for name, done, wanted in least
        if wanted
    ]
    never = sorted(
        name for name, planned in asked.faults_by_kind.items() if planned and not facts.faults.get(name)
    )
    if asked.faults_by_kind:
        promises.append(
            Promise(
                "planned faults",
                not never,
                f"never injected: {', '.join(never)}" if never else "each was injected",
            )
        )
    if facts.lost_bytes is not None and facts.flavour == "odradek" and facts.power_cuts >= 2:
        # A node under load always has something that is not synced yet. If nothing was lost, the kernel wrote it back
        # by itself: the setting that keeps it from that was changed underneath, and the cuts proved nothing.
        promises.append(
            Promise(
                LOST_BYTES,
                facts.lost_bytes > 0,
                f"{facts.lost_bytes:,} in {facts.power_cuts} cuts",
            )
        )
    if facts.answers_lost is not None:
        promises.append(Promise(LOST_ANSWERS, facts.answers_lost > 0, f"{facts.answers_lost:,}"))
    unread = list(facts.unread_keys)
    shown = ", ".join(unread[:10]) + (", ..." if len(unread) > 10 else "")
    said = f"{len(unread)} not read to the end: {shown}" if unread else "every key was read to its end"
    promises.append(Promise("final reads", not unread, said))
    return promises


def count_operations(operations: Iterable[Operation]) -> dict[str, dict[str, int]]:
    """By f and type; see `history.pair`."""
    counts: dict[str, Counter[str]] = {}
    for (f, kind), count in Counter((o.invoke.f, o.completion.type) for o in operations).items():
        counts.setdefault(f, Counter())[kind] += count
    return {f: dict(sorted(types.items())) for f, types in sorted(counts.items())}


def count_acknowledged(operations: Iterable[Operation]) -> int:
    """Records whose send, alone or within a transaction, was answered with ok."""
    return sum(
        1
        for operation in operations
        if operation.completion.type == "ok" and operation.invoke.f in ("send", "txn")
        for micro in operation.completion.value
        if micro[0] == "send"
    )


def quantile(sorted_values: Sequence[float], share: float) -> float:
    """By nearest rank: a value that was measured, never one between two."""
    assert sorted_values, "a quantile of nothing"
    rank = -(-len(sorted_values) * share // 1)
    return sorted_values[max(0, min(len(sorted_values), int(rank)) - 1)]


def of_recoveries(times: Iterable[float]) -> Recovery:
    """The summary of times in seconds; at least one."""
    ordered = sorted(times)
    return Recovery(len(ordered), quantile(ordered, 0.5), quantile(ordered, 0.99), ordered[-1])


def first_of_each_kind(findings: Iterable[Finding], most: int) -> list[Finding]:
    """At most so many of each kind, in their order."""
    seen: Counter[str] = Counter()
    kept = []
    for finding in findings:
        seen[finding.anomaly.kind] += 1
        if seen[finding.anomaly.kind] <= most:
            kept.append(finding)
    return kept


def totals(findings: Iterable[Finding]) -> Counter[str]:
    """How many there are of each kind. A checker that keeps only some says in their data how many there were ("of")."""
    kept: Counter[tuple[str, str]] = Counter()
    said: dict[tuple[str, str], int] = {}
    for checker, anomaly, _ in findings:
        kept[checker, anomaly.kind] += 1
        of = anomaly.data.get("of") if isinstance(anomaly.data, Mapping) else None
        if isinstance(of, int):
            said[checker, anomaly.kind] = of
    total: Counter[str] = Counter()
    for (checker, kind), number in kept.items():
        total[kind] += max(number, said.get((checker, kind), 0))
    return total


def counted(number: int, noun: str) -> str:
    """1 fault, 2,000 faults."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _finding_json(finding: Finding) -> dict[str, Any]:
    anomaly = finding.anomaly
    return {
        "kind": anomaly.kind,
        "checker": finding.checker,
        "fatal": finding.fatal,
        "detail": anomaly.detail,
        "evidence": [json.loads(encode(event)) for event in anomaly.evidence[:MOST_EVENTS]],
        "data": anomaly.data,
    }
