"""What faults need before the nodes start, and how a step of the plan becomes a fault.

Decides: what is started only for the kinds that are in the plan. Does not decide: what the kinds are (`nemesis`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from random import Random

from odradek.jepsen.db.cluster import ServerCluster
from odradek.jepsen.nemesis.processes import Kill, Pause
from odradek.jepsen.nemesis.schedule import Step
from odradek.jepsen.nemesis.targets import Target
from odradek.jepsen.ports import Nemesis
from odradek.jepsen.run.options import Options
from odradek.jepsen.run.workers import Workers

#: The fault of a step, for those workers, on those keys.
Build = Callable[[Step, Workers, Sequence[str]], Nemesis]


@contextlib.contextmanager
def prepared(cluster: ServerCluster, options: Options, steps: Sequence[Step]) -> Iterator[Build]:
    def build(step: Step, workers: Workers, keys: Sequence[str]) -> Nemesis:
        kinds = {"kill": Kill, "pause": Pause}
        return kinds[step.name](cluster, Random(step.seed), Target(step.aim, step.targets, keys))

    yield build
