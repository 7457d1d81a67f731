"""What a server must never write into its log: an exception that nobody caught, a broken invariant.

Decides: which lines are a crash. Does not decide: which file is whose. A failed assertion is a failure even if the
history is clean (reliability: Jepsen scans Redpanda's logs for the same reason).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from odradek.jepsen.checkers.anomaly import Anomaly

#: A line that begins a crash, in Python or Java.
_CRASH = re.compile(
    r"Traceback \(most recent call last\)|AssertionError|Task exception was never retrieved"
    r"|Exception in callback|java\.lang\.(IllegalStateException|AssertionError|NullPointerException)"
    r"|Fatal Python error|Segmentation fault|OutOfMemory"
)
_AROUND = 25
_MOST = 20


def crashes(node: int, lines: Iterable[str], allowed: Iterable[str] = ()) -> list[Anomaly]:
    """`server-crash` for each place in a node's log. The first 20 are kept; then the last one of them says in its data
    how many there were ("of").

    `allowed` are patterns of faults that a test asked for (a disk that fails is reported with its traceback): a
    place whose last line, the exception itself, matches one is left out.
    """
    patterns = [re.compile(pattern) for pattern in allowed]
    found: list[Anomaly] = []
    count = 0
    for place in _places(list(lines)):
        if any(pattern.search(place[-1]) for pattern in patterns):
            continue
        count += 1
        if count <= _MOST:
            data = {"node": node, "log": "\n".join(place)}
            found.append(Anomaly("server-crash", f"node {node}: {place[-1][:200]}", data=data))
    return counted(found, count)


def counted(found: list[Anomaly], count: int) -> list[Anomaly]:
    """The same; if there were more than are kept, the last one says so."""
    if count > len(found) > 0:
        found[-1] = found[-1]._replace(data={**found[-1].data, "of": count})
    return found


def _places(lines: list[str]) -> Iterator[list[str]]:
    number = 0
    while number < len(lines):
        if _CRASH.search(lines[number]):
            end = number + 1
            while end < len(lines) and end - number < 200 and _belongs(lines[end]):
                end += 1
            place = [line.rstrip("\n") for line in lines[number : end + 1]]
            yield place[:_AROUND] + place[-3:] if len(place) > _AROUND + 3 else place
            number = end
        number += 1


def _belongs(line: str) -> bool:
    """Lines of a traceback are indented, empty or chain to another; the exception itself ends it."""
    return line.startswith((" ", "\t")) or not line.strip() or "Traceback" in line
