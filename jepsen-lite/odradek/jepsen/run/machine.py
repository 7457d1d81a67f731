"""What this machine can do of what was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from odradek.jepsen.checkers.verdict import Capability
from odradek.jepsen.nemesis.kinds import resolve
from odradek.jepsen.nemesis.registry import _FACTORIES
from odradek.jepsen.run.options import Options


class Survey(NamedTuple):
    """`able` are the kinds of faults that can be done; `lines` say what cannot, and why."""

    able: Sequence[str]
    capabilities: Sequence[Capability]
    lines: Sequence[str]


def survey(options: Options) -> Survey:
    kinds = [kind.name for kind in resolve(options.nemeses) if kind.name in _FACTORIES]
    return Survey(kinds, [], [])
