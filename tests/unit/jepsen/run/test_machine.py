"""What the machine cannot do is left out and said; without a cluster there is no run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from odradek.jepsen.db.capabilities import ESSENTIAL, Capabilities, Capability
from odradek.jepsen.nemesis.kinds import KINDS, UnknownKindError
from odradek.jepsen.run.machine import CannotRun, survey
from odradek.jepsen.run.options import Options


def _machine(missing: tuple[str, ...] = ()) -> Capabilities:
    names = {*ESSENTIAL, *(need for kind in KINDS.values() for need in kind.needs), "kafka"}
    return Capabilities([Capability(name, name not in missing, "tried", "a use") for name in sorted(names)])


def _options(**more: Any) -> Options:
    return Options(seed=1, folder=Path("x"), **more)


def test_a_machine_that_can_do_everything_leaves_out_nothing() -> None:
    assert set(survey(_options(nemeses=("all",)), _machine()).able) == set(KINDS)


def test_what_is_missing_is_left_out_loudly() -> None:
    told = survey(_options(nemeses=("kill", "partition-one", "clock-step")), _machine(("nft", "faketime")))
    assert told.able == ["kill"]
    skipped = [line for line in told.lines if "SKIPPED" in line]
    assert len(skipped) == 2 and "partition-one" in "".join(skipped) and "clock-step" in "".join(skipped)
    assert [one.name for one in told.capabilities if not one.present] == ["faketime", "nft"]


def test_faults_that_need_more_nodes_or_another_cluster_are_left_out() -> None:
    alone = survey(_options(nodes=1, nemeses=("kill", "pause-kill")), _machine())
    assert alone.able == ["kill"] and "left out with 1 nodes" in alone.lines[-1]
    kafka = survey(_options(flavour="kafka", nemeses=("kill", "membership")), _machine())
    assert kafka.able == ["kill"]


def test_without_root_there_is_no_run() -> None:
    with pytest.raises(CannotRun, match="root"):
        survey(_options(), _machine(("root",)))


def test_without_its_jars_there_is_no_apache_kafka() -> None:
    with pytest.raises(CannotRun, match="Apache Kafka"):
        survey(_options(flavour="kafka"), _machine(("kafka",)))


def test_an_unknown_fault_is_refused() -> None:
    with pytest.raises(UnknownKindError, match="kill"):
        survey(_options(nemeses=("kil",)), _machine())
