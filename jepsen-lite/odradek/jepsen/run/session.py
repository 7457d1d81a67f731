"""One run, from its options to its verdict on disk.

Decides: what of the plan this machine can do, and which files a run leaves. Does not decide: how a run is carried out
(`execute`), checked (`checking`) or told (`report`). Everything is in the run's folder:

    history/*.jsonl   what clients and the nemesis did      verdict.json   the verdict, for programs
    node*/server.log  what the nodes said                   report.html    the same for people
    workers.log       what the workers said                 junit.xml      the same for continuous integration
    recorded.json     what else checkers need
"""

from __future__ import annotations

import datetime
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from odradek.jepsen.checkers import availability, recovery
from odradek.jepsen.checkers.analysis import Analysis
from odradek.jepsen.checkers.verdict import (
    LOST_ANSWERS,
    LOST_BYTES,
    Asked,
    Policy,
    RunFacts,
    Verdict,
    count_acknowledged,
    count_operations,
    judge,
)
from odradek.jepsen.history import join
from odradek.jepsen.nemesis.kinds import resolve
from odradek.jepsen.nemesis.schedule import AWAIT_IN_SYNC, Step, plan
from odradek.jepsen.report.html import render
from odradek.jepsen.report.junit import junit
from odradek.jepsen.run import facts, record
from odradek.jepsen.run.checking import check
from odradek.jepsen.run.execute import Run
from odradek.jepsen.run.machine import Survey
from odradek.jepsen.run.options import Options
from odradek.jepsen.run.record import Recorded
from odradek.jepsen.workloads.spec import topics_for

Say = Callable[[str], None]


def steps_of(options: Options, able: Sequence[str]) -> Sequence[Step]:
    """The plan, of the kinds that this machine is able to do. Raises UnknownKindError, PlanError."""
    nodes = range(1, options.nodes + 1)
    at_least = {
        name: count
        for name, count in options.at_least.items()
        if {kind.name for kind in resolve([name])} & set(able)
    }
    return plan(
        able,
        options.seconds,
        options.seed,
        list(nodes),
        quiet=options.quiet,
        interval=options.interval_s,
        spacing=options.spacing_s,
        at_least=at_least,
    )


def perform(options: Options, command: str, machine: Survey, say: Say) -> Verdict:
    """Carry out a run and write everything into its folder. Raises what `Run.carry_out` raises."""
    steps = steps_of(options, machine.able)
    began, started_at = time.monotonic(), datetime.datetime.now(datetime.UTC)
    recorded = Run(options, steps, say).carry_out()
    took = time.monotonic() - began
    record.save(options.folder, recorded)
    say(f"recorded; checking {sum(path.stat().st_size for path in recorded.history) / 1e6:.0f} MB of history")
    analysis = Analysis.of(join(recorded.history))
    results = check(analysis, recorded)
    told = RunFacts(
        seed=options.seed,
        command=command,
        commit=facts.commit_of(Path(__file__).parent),
        started_at=started_at.isoformat(timespec="seconds"),
        duration_s=took,
        nodes=options.nodes,
        flavour=options.flavour,
        workloads=options.workloads,
        nemeses=options.nemeses,
        capabilities=machine.capabilities,
        asked=asked_of(options, steps),
        **_told_by(analysis, recorded),
    )
    verdict = judge(results, Policy(), told)
    write(options.folder, verdict, analysis)
    return verdict


def asked_of(options: Options, steps: Sequence[Step]) -> Asked:
    """What the run has to do. Records count only if some workload sends any."""
    planned = Counter(step.name for step in steps if step.name != AWAIT_IN_SYNC)
    return Asked(
        acknowledged=options.acknowledged if any(map(topics_for, options.workloads)) else 0,
        faults=options.at_least.get("all", 0),
        power_cuts=options.at_least.get("power", 0),
        power_cuts_of_all=options.at_least.get("power-all", 0),
        faults_by_kind=planned,
    )


def _told_by(analysis: Analysis, recorded: Recorded) -> dict[str, Any]:
    """The facts that are in the history."""
    cuts, of_all = facts.count_power_cuts(analysis.events)
    available = availability.measure(analysis.operations)
    lost_bytes, lost_answers = facts.lost_in_power_cuts(analysis.events), recorded.answers_lost
    more = {LOST_BYTES: f"{lost_bytes:,}"} if cuts else {}
    if lost_answers is not None:
        more[LOST_ANSWERS] = f"{lost_answers:,}"
    return {
        "recoveries": recovery.by_name(recovery.measure(analysis.operations, analysis.events)),
        "availability": None if available is None else available.share,
        "operations": count_operations(analysis.operations),
        "acknowledged": count_acknowledged(analysis.operations),
        "faults": facts.count_faults(analysis.events),
        "power_cuts": cuts,
        "power_cuts_of_all": of_all,
        "lost_bytes": lost_bytes,
        "answers_lost": lost_answers,
        "more": more,
        "unread_keys": facts.unread(recorded.ends, recorded.keys, recorded.readers, analysis.operations),
    }


def write(folder: Path, verdict: Verdict, analysis: Analysis) -> None:
    """verdict.json, junit.xml and report.html."""
    (folder / "verdict.json").write_text(json.dumps(verdict.to_json(), indent=1) + "\n")
    (folder / "junit.xml").write_text(junit(verdict))
    (folder / "report.html").write_text(render(verdict, analysis.events, analysis.operations))
