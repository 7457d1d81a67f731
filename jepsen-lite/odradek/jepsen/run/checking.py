"""A history, the replicas' logs and the servers' own words, through every checker.

Decides: which checkers run, over what, and under which names. Does not decide: what an anomaly is (`checkers`), nor
which of them ends a run as invalid (`checkers.verdict`).
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

from odradek.jepsen.checkers import (
    cycles,
    groups,
    metadata,
    order,
    queue,
    recovery,
    replicas,
    server_log,
    transactions,
    watermarks,
)
from odradek.jepsen.checkers.analysis import Analysis
from odradek.jepsen.checkers.anomaly import Anomaly
from odradek.jepsen.checkers.observed import acknowledged, finder_of_sends
from odradek.jepsen.checkers.verdict import GAVE_UP
from odradek.jepsen.history import Event
from odradek.jepsen.nemesis.kinds import GROUPS
from odradek.jepsen.run import facts
from odradek.jepsen.run.record import Recorded

#: What servers say when a disk was taken from them on purpose: the last line of a traceback, for the operator.
_EXPECTED = (
    r"Input/output error",
    r"No space left on device",
    r"Read-only file system",
    r"Structure needs cleaning",
)
#: Of the traceback of a checker that failed.
_LINES = 20


def check_history(analysis: Analysis, ends: Mapping[str, int]) -> dict[str, Sequence[Anomaly]]:
    """What can be told from the clients' history, and from where every key ended ({key: high watermark})."""
    checks: dict[str, Callable[[], Sequence[Anomaly]]] = {
        "queue": lambda: queue.check(analysis),
        "order": lambda: order.check(analysis),
        "cycles": lambda: cycles.check(analysis),
        "watermarks": lambda: watermarks.check(analysis.operations, final=ends or None),
        "groups": lambda: groups.check(analysis.operations, analysis.events),
        "metadata": lambda: metadata.check(analysis.operations),
        "transactions": lambda: transactions.check(analysis.operations),
        "recovery": lambda: check_recovery(analysis),
    }
    return {name: guarded(name, check) for name, check in checks.items()}


def guarded(name: str, check: Callable[[], Sequence[Anomaly]]) -> Sequence[Anomaly]:
    """What it finds. A checker that fails decides nothing, and takes nothing from the others."""
    try:
        return check()
    except Exception as error:
        lines = traceback.format_exception(error)[-_LINES:]
        told = [line.rstrip() for line in "".join(lines).splitlines()][-_LINES:]
        return [
            Anomaly(
                GAVE_UP, f"{name} failed: {type(error).__name__}: {error}"[:500], data={"traceback": told}
            )
        ]


def check_recovery(analysis: Analysis) -> list[Anomaly]:
    """`unrecovered`: after a fault was healed, some key was written to and never acknowledged again."""
    never = recovery.unrecovered(recovery.measure(analysis.operations, analysis.events))
    found = [
        Anomaly(
            "unrecovered",
            f"after {one.name} (fault {one.number}) {one.key} acknowledged nothing more",
            data=one.key,
        )
        for one in never
    ]
    named = {one.key for one in never}
    return found + [
        Anomaly("unrecovered", f"after the last fault was healed {key} acknowledged nothing more", data=key)
        for key in recovery.stuck(analysis.operations, analysis.events)
        if key not in named
    ]


def check_replicas(analysis: Analysis, recorded: Recorded) -> list[Anomaly]:
    """What the nodes hold, beside what was acknowledged, and who had to hold it.

    A node that could not be read is no finding here: it is one of the troubles of the run.
    """
    if not recorded.replicas:
        return [Anomaly(GAVE_UP, "no replica of any node could be read")]
    in_sync = {
        key: [node for node in nodes if node in recorded.replicas] for key, nodes in recorded.in_sync.items()
    }
    return replicas.check(
        recorded.replicas,
        acknowledged(analysis.operations),
        in_sync,
        find_sends=finder_of_sends(analysis.operations),
    )


def check_logs(logs: Mapping[int, Path], struck: Collection[int] = ()) -> list[Anomaly]:
    """What servers wrote about themselves. Nodes that were `struck` may say that their disk failed."""
    found: list[Anomaly] = []
    count = 0
    for node, path in sorted(logs.items()):
        if path.exists():
            with path.open(encoding="utf-8", errors="replace") as lines:
                own = server_log.crashes(node, lines, _EXPECTED if node in struck else ())
            count += own[-1].data.get("of", len(own)) if own else 0
            found += own
    return server_log.counted(found, count)


def nodes_with_struck_disks(events: Iterable[Event]) -> set[int]:
    """Whose disks, or the bytes on them, a fault of the run has struck."""
    return {
        node
        for fault in facts.started_faults(events)
        if fault["name"] in GROUPS["disk"]
        for node in fault.get("nodes") or ()
    }


def check(analysis: Analysis, recorded: Recorded) -> dict[str, Sequence[Anomaly]]:
    """By the name of the checker: everything that is wrong."""
    results = check_history(analysis, recorded.ends)
    if recorded.keys:
        results["replicas"] = guarded("replicas", lambda: check_replicas(analysis, recorded))
    return {**results, **check_servers(analysis, recorded)}


def check_again(analysis: Analysis, recorded: Recorded) -> dict[str, Sequence[Anomaly]]:
    """The same without the replicas, which are gone when the run is over: see `record.load`."""
    return {**check_history(analysis, recorded.ends), **check_servers(analysis, recorded)}


def check_servers(analysis: Analysis, recorded: Recorded) -> dict[str, Sequence[Anomaly]]:
    """What servers said, and what went wrong with the run itself."""
    logs = guarded("server-log", lambda: check_logs(recorded.logs, nodes_with_struck_disks(analysis.events)))
    return {"server-log": logs, "run": recorded.troubles}
