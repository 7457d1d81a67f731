"""Who works in a workload, under which names, and with which values."""

from __future__ import annotations

from pathlib import Path

import pytest

from odradek.jepsen.workloads.spec import (
    UnknownWorkload,
    WorkerSpec,
    final_workers,
    keys_of,
    split_key,
    topics_for,
    workers_for,
    workloads,
)
from odradek.jepsen.workloads.worker import executor

GRPC = "h:50051"


def _workers(workload: str, grpc: str = GRPC, rate: float | None = None) -> list[WorkerSpec]:
    options = {} if rate is None else {"rate": rate}
    return workers_for(workload, "h:9092", grpc, topics_for(workload), 7, Path("/histories"), options)


@pytest.mark.parametrize("workload", workloads())
def test_names_numbers_and_files_are_unique_and_roles_are_known(workload: str) -> None:
    specs = _workers(workload)
    for part in ("name", "number", "history", "seed"):
        assert len({getattr(spec, part) for spec in specs}) == len(specs)
    for spec in specs:
        assert spec.rate > 0 and spec.workload == workload
        executor(spec.role)


@pytest.mark.parametrize("workload", workloads())
def test_without_grpc_nobody_goes_through_its_door(workload: str) -> None:
    assert all(spec.door == "kafka" for spec in _workers(workload, grpc=""))
    assert all(spec.door == "kafka" for spec in final_workers(workload, "h:1", "", {}, Path("/h"), {}))


def test_both_doors_are_on_the_same_keys_of_the_queue() -> None:
    specs = _workers("queue")
    assert {spec.door for spec in specs} == {"kafka", "grpc"}
    assert len({tuple(spec.keys) for spec in specs}) == 1
    assert {spec.options["mode"] for spec in specs if spec.role == "kafka-read"} == {"assign", "subscribe"}


@pytest.mark.parametrize("workload", ["queue", "idempotent", "groups"])
@pytest.mark.parametrize("grpc", ["", GRPC])
def test_senders_share_the_rate(workload: str, grpc: str) -> None:
    senders = [spec for spec in _workers(workload, grpc, 900) if spec.role.endswith("-send")]
    assert sum(spec.rate for spec in senders) == pytest.approx(900)


def test_an_unknown_workload_is_refused_with_the_names_there_are() -> None:
    for ask in (topics_for, _workers):
        with pytest.raises(UnknownWorkload, match="no workload 'bank': there are queue, idempotent, "):
            ask("bank")


def test_a_spec_survives_its_way_through_json() -> None:
    for spec in _workers("groups"):
        assert WorkerSpec.from_json(spec.to_json()) == spec


def test_who_takes_a_place_has_another_name_other_values_and_another_file() -> None:
    first = _workers("queue")[1]
    second = first.again()
    third = second.again()
    assert [spec.name for spec in (first, second, third)] == [
        "kafka-send-1",
        "kafka-send-1.1",
        "kafka-send-1.2",
    ]
    assert third.history == "/histories/kafka-send-1.2.jsonl"
    values = [spec.first_value for spec in (first, second, third)]
    assert values == [1_000_000_000_000, 1_001_000_000_000, 1_002_000_000_000]
    assert first.number == third.number and first.seed == third.seed


def test_final_readers_know_how_far_to_read() -> None:
    specs = final_workers("queue", "h:1", GRPC, {"q": 2}, Path("/h"), {"q/0": 5, "q/1": 0}, 30.0)
    assert [spec.name for spec in specs] == ["kafka-final-0", "grpc-final-1"]
    assert all(spec.options == {"until": {"q/0": 5, "q/1": 0}, "limit_s": 30.0} for spec in specs)


def test_keys() -> None:
    assert keys_of({"a": 2, "b": 1}) == ["a/0", "a/1", "b/0"]
    assert split_key("a/b/12") == ("a/b", 12)
