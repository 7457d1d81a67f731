"""What faults need before the nodes start, and how a step of the plan becomes a fault.

Decides: what is started only for the kinds that are in the plan (the proxy, movable clocks). Does not decide: what the
kinds are (`nemesis`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from odradek.jepsen.db.cluster import ServerCluster
from odradek.jepsen.db.network import entering, run_in
from odradek.jepsen.nemesis import clocks, links
from odradek.jepsen.nemesis.diversions import Diversions
from odradek.jepsen.nemesis.kinds import GROUPS
from odradek.jepsen.nemesis.registry import Scene, build
from odradek.jepsen.nemesis.schedule import Step
from odradek.jepsen.ports import Nemesis
from odradek.jepsen.proxy.controller import Proxy
from odradek.jepsen.run.options import Options
from odradek.jepsen.run.workers import Workers

#: The fault of a step, for those workers, on those keys.
Build = Callable[[Step, Workers, Sequence[str]], Nemesis]


class Prepared(NamedTuple):
    """`build` makes faults. `end_of_losses` lets all answers pass again, which final reads need, and returns how many
    were lost on purpose so far, None when none had to be; it raises ExceptionGroup when a link is not healed."""

    build: Build
    end_of_losses: Callable[[], int | None]


#: Workloads whose producers lose the answer to every so many of their requests, from the beginning to the end.
_ANSWERS_LOST_EVERY = 15
_WITH_LOST_ANSWERS = "idempotent"


@contextlib.contextmanager
def prepared(cluster: ServerCluster, options: Options, steps: Sequence[Step]) -> Iterator[Prepared]:
    """Before the nodes are started; at the end all links lead straight again, and the proxy is gone."""
    kinds = {step.name for step in steps}
    clocks.prepare(cluster, kinds)
    loses_answers = _WITH_LOST_ANSWERS in options.workloads
    with _diversions(cluster, loses_answers or bool(kinds & set(GROUPS["link"]))) as diversions:
        standing = None
        if diversions is not None and loses_answers:
            standing = links.standing_retries(cluster, diversions, _ANSWERS_LOST_EVERY, options.seed)

        def made(step: Step, workers: Workers, keys: Sequence[str]) -> Nemesis:
            return build(step, Scene(cluster, keys, workers, diversions))

        yield Prepared(made, lambda: None if standing is None else standing.stop().get("answers_dropped", 0))


@contextlib.contextmanager
def _diversions(cluster: ServerCluster, needed: bool) -> Iterator[Diversions | None]:
    if not needed:
        yield None
        return
    proxy = Proxy(cluster.proxy.address, entering(cluster.proxy.namespace, []))
    try:
        yield Diversions(cluster, proxy, run_in)
    finally:
        proxy.stop()
