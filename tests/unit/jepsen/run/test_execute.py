"""Which workers a run has; the phases themselves are run on real clusters (tests/jepsen)."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from odradek.jepsen.checkers.verdict import GAVE_UP
from odradek.jepsen.db.node import Ended
from odradek.jepsen.db.odradek import Odradek
from odradek.jepsen.db.requests import Seen
from odradek.jepsen.run.execute import Run, flavour_of, quiet_end
from odradek.jepsen.run.options import Options


def _run(**more: Any) -> Run:
    return Run(Options(seed=5, folder=Path("results"), **more), [], lambda line: None)


def test_workers_of_several_workloads_have_names_values_and_files_of_their_own() -> None:
    run = _run(workloads=("queue", "idempotent", "groups", "metadata"))
    specs = run.workers_on(cast(Any, SimpleNamespace(bootstrap="n1:9092", grpc="n1:50051")))
    assert len({spec.process for spec in specs}) == len({spec.history for spec in specs}) == len(specs)
    assert len({spec.first_value for spec in specs}) == len(specs)
    assert {spec.workload for spec in specs} == {"queue", "idempotent", "groups", "metadata"}


def test_the_rate_is_shared_by_the_workloads_that_send() -> None:
    nodes = cast(Any, SimpleNamespace(bootstrap="n1:9092", grpc="n1:50051"))

    def rate(*workloads: str) -> float:
        specs = _run(workloads=workloads, rate=1200).workers_on(nodes)
        return sum(spec.rate for spec in specs if spec.role.endswith("-send"))

    assert round(rate("queue")) == 1200
    assert round(rate("queue", "metadata")) == 1200
    assert round(rate("queue", "groups")) == 1200


def test_a_command_of_ones_own_starts_the_nodes() -> None:
    flavour = flavour_of(Options(seed=1, folder=Path("x"), command=("python", "-m", "planted")))
    assert isinstance(flavour, Odradek)
    assert flavour.command(Path("c"), Path("d")) == ["python", "-m", "planted", "start", "--config", "c"]


def test_nodes_that_ended_by_themselves_are_told_unless_their_disk_was_struck() -> None:
    run = _run()
    ends = (Ended(2, 3, "no more room"),)
    nodes = {
        node: SimpleNamespace(id=node, ended_by_itself=ended, deaf=deaf)
        for node, ended, deaf in [(1, ends, []), (2, ends, [1]), (3, (), [4])]
    }
    run._damaged = {2}
    run._report_ends(cast(Any, SimpleNamespace(nodes=nodes)))
    assert [one.kind for one in run.recorded.troubles] == ["server-ended"] * 2
    assert "node 1" in run.recorded.troubles[0].detail and "no more room" in run.recorded.troubles[0].detail
    assert "node 3" in run.recorded.troubles[1].detail


def test_the_nodes_in_sync_are_those_of_the_newest_view() -> None:
    run = _run(workloads=("queue",))
    run.recorded.topics = {"queue": {"q": 2}}
    old, new = Seen(1, 4, (1, 2, 3), (1, 2, 3)), Seen(2, 5, (1, 2, 3), (3, 2))
    run._record_in_sync(cast(Any, SimpleNamespace(view=lambda topics: {1: {"q/0": old}, 2: {"q/0": new}})))
    assert run.recorded.in_sync == {"q/0": [2, 3]}
    (trouble,) = run.recorded.troubles
    assert trouble.kind == GAVE_UP and "q/1" in trouble.detail


def test_a_node_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    def node(mounted: bool, data: Any) -> Any:
        return SimpleNamespace(image=SimpleNamespace(mounted=mounted), data=data)

    class Failing:
        def __truediv__(self, other: str) -> Path:
            raise OSError(5, "Input/output error")

    run = _run(workloads=("queue",))
    run._read_replicas({1: node(True, tmp_path), 2: node(False, tmp_path), 3: node(True, Failing())})
    assert run.recorded.replicas == {1: {}}
    assert [trouble.kind for trouble in run.recorded.troubles] == [GAVE_UP, GAVE_UP]
    assert ["node 2" in run.recorded.troubles[0].detail, "node 3" in run.recorded.troubles[1].detail] == [
        True,
        True,
    ]


def test_the_load_goes_on_for_a_while_after_the_last_heal() -> None:
    assert quiet_end(60, 61.0, 100, None) == 60
    healed_ns = 70_000_000_000
    assert quiet_end(60, 40.0, healed_ns + 10_000_000_000, healed_ns) == 60
    assert quiet_end(60, 65.0, healed_ns + 5_000_000_000, healed_ns) == 72


def test_a_node_that_cannot_be_started_again_is_told() -> None:
    started: list[int] = []

    def refuse() -> None:
        raise OSError(19, "is not mounted")

    run = _run()
    nodes = {
        1: SimpleNamespace(pid=7, spawn=refuse),
        2: SimpleNamespace(pid=None, spawn=lambda: started.append(2)),
        3: SimpleNamespace(pid=None, spawn=refuse),
    }
    run._start_the_rest(cast(Any, nodes))
    assert started == [2]
    assert ["node 3" in trouble.detail for trouble in run.recorded.troubles] == [True]


def test_answers_that_were_lost_are_recorded_and_links_that_do_not_heal_are_told() -> None:
    def fail() -> int:
        raise ExceptionGroup("healing standing links", [OSError("the proxy is gone")])

    run = _run()
    run._end_losses(lambda: 5)
    assert (run.recorded.answers_lost, run.recorded.troubles) == (5, [])
    run._end_losses(fail)
    assert [trouble.kind for trouble in run.recorded.troubles] == [GAVE_UP]
