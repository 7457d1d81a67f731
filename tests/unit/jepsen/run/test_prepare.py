"""What the plan does not need is not started."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from tests.unit.jepsen.nemesis.link_fakes import NotedNamespaces, NotedProxy, named_cluster

from odradek.jepsen.nemesis.diversions import Diversions
from odradek.jepsen.nemesis.schedule import Step
from odradek.jepsen.run import prepare
from odradek.jepsen.run.options import Options
from odradek.jepsen.run.prepare import prepared


class _Cluster:
    """Has nodes, and fails whoever asks for its proxy."""

    nodes: dict[int, Any] = {}
    flavour = "odradek"


def test_without_faults_of_links_there_is_no_proxy() -> None:
    cluster = cast(Any, _Cluster())
    kill, slow = Step(1, 1.0, "kill", 1.0, "one", (1,)), Step(2, 1.0, "link-slow", 1.0, "some", (1,))
    with prepared(cluster, Options(seed=1, folder=Path("x")), [kill]) as (build, end_of_losses):
        assert end_of_losses() is None
        assert build(kill, cast(Any, None), []).name == "kill"
        with pytest.raises(LookupError, match="proxy"):
            build(slow, cast(Any, None), [])


def test_answers_are_lost_until_the_end_of_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy, namespaces = NotedProxy([]), NotedNamespaces([])
    cluster = cast(Any, named_cluster())

    @contextlib.contextmanager
    def diversions(cluster: Any, needed: bool) -> Iterator[Diversions]:
        assert needed
        yield Diversions(cluster, proxy, namespaces)

    monkeypatch.setattr(prepare, "_diversions", diversions)
    options = Options(seed=1, folder=Path("x"), workloads=("idempotent",))
    with prepared(cluster, options, []) as (_, end_of_losses):
        assert len(proxy.links) == 3
        assert end_of_losses() == 0  # this proxy loses nothing
        assert not proxy.links and not namespaces.tables
