"""Every kind can be built from a step, and what a machine or a run lacks is named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest
from tests.unit.jepsen.nemesis.fakes import FakeCluster
from tests.unit.jepsen.nemesis.test_clients import FakeWorkers

from odradek.jepsen.nemesis.diversions import Diversions, ProxyControl
from odradek.jepsen.nemesis.kinds import KINDS, UnknownKindError
from odradek.jepsen.nemesis.registry import Scene, build, lacking, resolve
from odradek.jepsen.nemesis.schedule import Step

EVERYTHING = frozenset({"netns", "nft", "ss-kill", "loop", "ext4-shutdown", "faketime", "cgroup-cpu"})


def no_shell(namespace: str, argv: Sequence[str], *, stdin: str | None = None) -> object:
    raise NotImplementedError


def scene(whole: bool = True) -> Scene:
    cluster = FakeCluster()
    if not whole:
        return Scene(cluster, ["t/0"])
    diversions = Diversions(cluster, cast(ProxyControl, None), no_shell)  # no fault is started
    waits: list[float] = []
    return Scene(cluster, ["t/0"], FakeWorkers(["send-1"]), diversions, no_shell, waits.append)


@pytest.mark.parametrize("name", KINDS)
def test_a_fault_has_the_name_of_its_kind(name: str) -> None:
    step = Step(1, 0.0, name, 1.0, KINDS[name].aims[0], (2, 3, 1), 7)
    assert build(step, scene()).name == name


def test_composites_strike_a_minority_and_one_of_the_rest() -> None:
    whole = scene()
    fault = build(Step(1, 0.0, "pause-kill", 1.0, "order", (2, 3, 1), 7), whole)
    assert fault.start()["nodes"] == [2, 3]
    fault.stop()
    assert isinstance(whole.cluster, FakeCluster)
    assert whole.cluster.notes[:2] == ["pause 2", "kill 3"]


def test_unknown_names() -> None:
    with pytest.raises(UnknownKindError, match="perhaps kill"):
        build(Step(1, 0.0, "kil", 1.0), scene())
    with pytest.raises(UnknownKindError, match="a group"):
        build(Step(1, 0.0, "power", 1.0), scene())


def test_what_is_lacking() -> None:
    kinds = resolve(["all"])
    assert lacking(kinds, EVERYTHING) == {}
    assert lacking(kinds, EVERYTHING - {"nft"})["partition-one"] == ["nft"]
    with pytest.raises(LookupError, match="needs the proxy"):
        build(Step(1, 0.0, "link-slow", 1.0, "some", (1,)), scene(whole=False))
