"""Wall clocks that jump: a node is shown another time by libfaketime, and the rest of the machine is left alone.

Decides: how a node is started so that its clock can be moved, how far it jumps, and how fast it flutters. Does not
decide: whom and when. Only the wall clock is moved: CLOCK_MONOTONIC stays true, as on a real machine.
Invariants: a jump is one replacement of a file, so that a node never reads half a number; of several faults at one node
each sets the clock as it comes, and the last to stop leaves it right.

`prepare` comes before the nodes are started. libfaketime reads the file anew at every look at the clock when the clock
is to flutter, and once a second otherwise, which costs a node less.
Source: the steps of jepsen.nemesis.time: 1.5 ** (6..31) ms, from 11 ms to 288 s, in both directions.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Final

from odradek.jepsen.db.capabilities import libfaketime
from odradek.jepsen.nemesis.targets import Target
from odradek.jepsen.ports import Cluster, Node

_SHARED = Path("/dev/shm")
_OF_A_PROCESS = re.compile(r"(?:faketime_shm_|sem\.faketime_sem_)(\d+)")
_PERIODS_S: Final = (0.005, 0.05, 0.2, 1.0)


def clock_file(node: Node) -> Path:
    return node.folder / "clock"


def environment(path: Path, clock: Path, flutters: bool) -> dict[str, str]:
    """What a node is started with so that it reads the offset of its wall clock from that file."""
    return {
        "LD_PRELOAD": str(path),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # it would make every timed wait of a JVM last for ever
        "NO_FAKE_STAT": "1",
        **({"FAKETIME_NO_CACHE": "1"} if flutters else {"FAKETIME_CACHE_DURATION": "1"}),
    }


def prepare(cluster: Cluster, kinds: Collection[str]) -> bool:
    """Before the nodes are started: makes their clocks movable if one of the kinds moves clocks; says whether.

    Raises FileNotFoundError when libfaketime is missing.
    """
    if not {"clock-step", "clock-strobe"} & set(kinds):
        return False
    path = libfaketime()
    if path is None:
        raise FileNotFoundError("libfaketime is not installed")
    sweep()
    for node in cluster.nodes.values():
        write_offset(clock_file(node), 0.0)
        for name, value in environment(path, clock_file(node), "clock-strobe" in kinds).items():
            node.set_environment(name, value)
    return True


def write_offset(clock: Path, seconds: float) -> None:
    fresh = clock.with_suffix(f".{threading.get_ident()}")
    fresh.write_text(offset_line(seconds))
    fresh.replace(clock)


def offset_line(seconds: float) -> str:
    return f"{seconds:+.3f}\n"


def offset(random: Random, least: int = 6, most: int = 31) -> float:
    """Seconds, the exponent even between the two (1.5 ** exponent ms), in both directions."""
    milliseconds: float = 1.5 ** random.uniform(least, most)
    return random.choice((-1, 1)) * milliseconds / 1000


def sweep() -> list[str]:
    """Take away what libfaketime keeps in shared memory for processes that ended by SIGKILL; returns its names."""
    swept = []
    with contextlib.suppress(FileNotFoundError):
        for entry in _SHARED.iterdir():
            match = _OF_A_PROCESS.fullmatch(entry.name)
            if match and not Path("/proc", match[1]).exists():
                entry.unlink(missing_ok=True)
                swept.append(entry.name)
    return sorted(swept)


@contextlib.contextmanager
def swept() -> Iterator[None]:
    """Around the life of nodes whose clocks can be moved: afterwards nothing of them is left in shared memory."""
    try:
        yield
    finally:
        sweep()


class ClockStep:
    """Each target's clock jumps by an offset of its own, and back at `stop`."""

    name = "clock-step"

    def __init__(self, cluster: Cluster, random: Random, target: Target) -> None:
        self._cluster = cluster
        self._random = random
        self._target = target

    def start(self) -> Mapping[str, object]:
        offsets = {node: round(offset(self._random), 3) for node in self._target.nodes}
        for node, seconds in offsets.items():
            write_offset(clock_file(self._cluster.nodes[node]), seconds)
        return {"nodes": sorted(offsets), "offsets_s": {str(node): offsets[node] for node in sorted(offsets)}}

    def stop(self) -> Mapping[str, object]:
        for node in self._target.nodes:
            write_offset(clock_file(self._cluster.nodes[node]), 0.0)
        sweep()
        return {"nodes": sorted(self._target.nodes)}


class ClockStrobe:
    """The clocks of the targets flutter between the right time and one off by up to 262 s, until `stop` or `most_s`."""

    name = "clock-strobe"

    def __init__(self, cluster: Cluster, random: Random, target: Target, most_s: float = 10.0) -> None:
        self._cluster = cluster
        self._target = target
        self._delta_s = round(abs(offset(random, 4, 31)), 3)
        self._period_s = random.choice(_PERIODS_S)
        self._most_s = most_s
        self._ends = threading.Event()
        self._thread: threading.Thread | None = None
        self.flips = 0

    def start(self) -> Mapping[str, object]:
        self._thread = threading.Thread(target=self._flutter, name="clock-strobe", daemon=True)
        self._thread.start()
        nodes = sorted(self._target.nodes)
        return {"nodes": nodes, "delta_s": self._delta_s, "period_s": self._period_s}

    def _flutter(self) -> None:
        deadline = time.monotonic() + self._most_s
        while not self._ends.wait(self._period_s) and time.monotonic() < deadline:
            self.flips += 1
            self._set(self._delta_s if self.flips % 2 else 0.0)
        self._set(0.0)

    def _set(self, seconds: float) -> None:
        for node in self._target.nodes:
            write_offset(clock_file(self._cluster.nodes[node]), seconds)

    def stop(self) -> Mapping[str, object]:
        self._ends.set()
        if self._thread is not None:
            self._thread.join()
        self._set(0.0)
        sweep()
        return {"nodes": sorted(self._target.nodes), "flips": self.flips}
