"""What a run was and did, in numbers, for its verdict and its report.

Decides: what counts as a power cut, as a key that was read to its end, as the version of the code. Does not decide:
whether it was enough (`checkers.verdict`).
"""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from odradek.jepsen.checkers.observed import polled
from odradek.jepsen.history import NEMESIS, Event, Operation, read
from odradek.jepsen.run.record import FinalReader

#: Kinds that cut the power, and whether of all nodes.
POWER_CUTS = {
    "power-one": False,
    "power-rolling": False,
    "power-all": True,
    "pause-power-cut": False,
    "partition-kill": False,
}


def started_faults(events: Iterable[Event]) -> Iterator[Mapping[str, Any]]:
    """The values of faults that began and did something."""
    for event in events:
        if event.process == NEMESIS and event.f == "fault":
            fault: Mapping[str, Any] = event.value
            if fault["phase"] == "start" and fault.get("did", True):
                yield fault


def count_faults(events: Iterable[Event]) -> dict[str, int]:
    """By name."""
    return dict(Counter(fault["name"] for fault in started_faults(events)))


def count_power_cuts(events: Iterable[Event]) -> tuple[int, int]:
    """All, and those of all nodes. A rolling one counts once; one that left a disk as it was does not count."""
    names = [fault["name"] for fault in _power_cuts(events)]
    return len(names), sum(POWER_CUTS[name] for name in names)


def lost_in_power_cuts(events: Iterable[Event]) -> int:
    """Bytes that were not synced and were gone from a disk after the cut, over all cuts."""
    return sum(int(disk.get("lost", 0)) for fault in _power_cuts(events) for disk in disks_of(fault))


def _power_cuts(events: Iterable[Event]) -> Iterator[Mapping[str, Any]]:
    """Those in which every disk that was struck lost its power."""
    for fault in started_faults(events):
        if fault["name"] in POWER_CUTS:
            disks = disks_of(fault)
            if disks and not any("kept" in disk for disk in disks):
                yield fault


def disks_of(fault: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What a fault, or the parts of it, did to each disk: see `nemesis.power`."""
    disks = list((fault.get("disks") or {}).values())
    for part in (fault.get("parts") or {}).values():
        disks += disks_of(part)
    return disks


def unread(
    ends: Mapping[str, int],
    keys: Iterable[str],
    readers: Iterable[FinalReader],
    operations: Sequence[Operation],
) -> list[str]:
    """Keys that are not known to be read: "key" when nobody says where it ends or nobody was to read it, and
    "key (door)" for each door whose final reader did not reach its end."""
    reached: dict[tuple[str, str], int] = {}
    for operation in operations:
        if (operation.invoke.more or {}).get("final"):
            for key, pairs in polled(operation):
                where = (operation.invoke.process, key)
                reached[where] = max(reached.get(where, -1), pairs[-1][0] if pairs else -1)
    wanted = list(readers)
    some = {key for reader in wanted for key in reader.keys}
    lacking = {key for key in keys if key not in ends or (ends[key] and key not in some)}
    for process, door, own in wanted:
        lacking.update(
            f"{key} ({door})" for key in own if reached.get((process, key), -1) < ends.get(key, 0) - 1
        )
    return sorted(lacking)


def acknowledged_keys(histories: Iterable[Path]) -> set[str]:
    """Keys of which a record was acknowledged, in histories that are still being written."""
    return {
        micro[1]
        for history in histories
        for event in read(history)
        if event.type == "ok" and event.f == "send"
        for micro in event.value
    }


def commit_of(folder: Path) -> str:
    """The commit of the checkout that the code was run from, with a mark when it was changed; "unknown" elsewhere."""
    try:
        asked = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=10"]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=10)
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"
