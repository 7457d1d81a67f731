from __future__ import annotations

from typing import Any

import pytest

from odradek.client.cli.diagnosis import (
    ClockFact,
    DialedListener,
    Facts,
    Finding,
    GroupSample,
    LogDirFact,
    NodeFact,
    PartitionFact,
    VoterFact,
    diagnose,
)

HEALTHY = Facts(
    server="10.0.0.1:50051",
    controller_id=1,
    nodes=tuple(NodeFact(number, True) for number in (1, 2, 3)),
    listeners=tuple(DialedListener(number, "GRPC", f"10.0.0.{number}", 50051) for number in (1, 2, 3)),
    partitions=(PartitionFact("orders", 0, 1, (1, 2, 3), (1, 2, 3)),),
    voters=(VoterFact(1, 0, True), VoterFact(2, 40, True), VoterFact(3, 40, True)),
    groups=tuple(GroupSample("billing", "stable", frozenset({"m1", "m2"}), 7) for _ in range(8)),
    watched_ms=4000,
    log_dirs=(LogDirFact(1, "/data", 100, 50),),
    clocks=(ClockFact(1, 3.0, 1.0),),
    fsync_path="/data",
    fsync_ms=(1.0, 2.0, 3.0),
)


def _with(**changed: Any) -> Facts:
    return Facts(**{name: getattr(HEALTHY, name) for name in Facts.__dataclass_fields__} | changed)


def _only(facts: Facts) -> Finding:
    found = diagnose(facts)
    assert len(found) == 1, found
    return found[0]


def test_a_healthy_cluster_has_no_findings() -> None:
    assert diagnose(HEALTHY) == []


def test_no_controller() -> None:
    assert _only(_with(controller_id=-1)).check == "controller"


def test_a_node_that_is_down_is_not_also_an_address_that_cannot_be_dialed() -> None:
    nodes = (NodeFact(1, True), NodeFact(2, False))
    listeners = (DialedListener(2, "GRPC", "10.0.0.2", 50051, "refused"),)
    found = _only(_with(nodes=nodes, listeners=listeners))
    assert (found.severity, found.subject) == ("warning", "node 2")


@pytest.mark.parametrize(
    ("host", "failure", "said"),
    [
        ("kafka", "unresolved", "cannot be resolved"),
        ("10.0.0.9", "refused", "published port"),
        ("10.0.0.9", "timeout", "firewall"),
        ("10.0.0.9", "Network is unreachable", "Network is unreachable"),
        ("0.0.0.0", None, "every address and none"),
        ("localhost", None, "the client's own"),
        ("127.0.0.2", None, "the client's own"),
    ],
)
def test_an_address_nobody_can_dial(host: str, failure: str | None, said: str) -> None:
    found = _only(_with(listeners=(DialedListener(1, "PLAINTEXT", host, 9092, failure),)))
    assert found.severity == "critical" and found.check == "listener"
    assert said in found.problem + found.advice and f"{host}:9092" in found.problem
    assert "advertised.listeners" in found.advice


def test_loopback_is_fine_for_a_cluster_on_this_machine() -> None:
    assert (
        diagnose(_with(server="localhost:50051", listeners=(DialedListener(1, "GRPC", "127.0.0.1", 1),)))
        == []
    )


def test_partitions_are_told_by_their_cause() -> None:
    partitions = tuple(
        PartitionFact("orders", number, 1, (1, 2, 3), (1, 2), min_in_sync=2) for number in range(7)
    )
    found = _only(_with(partitions=partitions))
    assert found.severity == "warning" and "under-replicated" in found.problem
    assert "7 partitions have" in found.problem and "node 3" in found.advice
    assert found.subject == "orders/0, orders/1, orders/2, orders/3, orders/4 and 2 more"


def test_too_few_replicas_to_write() -> None:
    found = _only(_with(partitions=(PartitionFact("orders", 0, 1, (1, 2, 3), (1,), min_in_sync=2),)))
    assert found.severity == "critical" and "acks=all are refused" in found.problem
    assert "nodes 2, 3" in found.problem


def test_nobody_leads() -> None:
    found = _only(_with(partitions=(PartitionFact("orders", 0, -1, (1, 2, 3), (2,), min_in_sync=2),)))
    assert found.severity == "critical" and found.advice.startswith("Start node 2.")


@pytest.mark.parametrize(
    ("heard", "severity", "said"),
    [
        ((0, 10, 60_000), "warning", "one node from lost"),
        ((0, 10, -1), "warning", "one node from lost"),
        ((0, 9_000, 9_000), "critical", "Only 1 of 3"),
        ((0, 10, 10, 10, 9_000), "warning", "1 more may fail"),
        ((0, 10, 10, 9_000, 9_000), "warning", "one node from lost"),
        ((0,), "note", "one voter"),
        ((0, 10), "note", "2 voters"),
    ],
)
def test_quorums(heard: tuple[int, ...], severity: str, said: str) -> None:
    voters = tuple(VoterFact(number, ms, True) for number, ms in enumerate(heard, 1))
    found = _only(_with(voters=voters))
    assert (found.severity, said in found.problem) == (severity, True), found


def test_a_quorum_without_a_leader_and_a_voter_behind() -> None:
    assert _only(_with(voters=None)).severity == "critical"
    behind = (*HEALTHY.voters[:2], VoterFact(3, 10, False))  # type: ignore[index]
    assert _only(_with(voters=behind)).severity == "note"


def _samples(*seen: tuple[str, str, int]) -> tuple[GroupSample, ...]:
    return tuple(
        GroupSample("billing", state, frozenset(members.split()), number) for state, members, number in seen
    )


@pytest.mark.parametrize(
    "seen",
    [
        [("stable", "a b", 3), ("stable", "a b", 5)],
        [("stable", "a", 0), ("stable", "a b", 0), ("stable", "a", 0)],
        [
            ("stable", "a", 0),
            ("preparing_rebalance", "a", 0),
            ("stable", "a", 0),
            ("completing_rebalance", "a", 0),
        ],
    ],
)
def test_members_that_flap(seen: list[tuple[str, str, int]]) -> None:
    found = _only(_with(groups=_samples(*seen)))
    assert found.check == "group" and "flap" in found.problem and "2 times in 4.0 s" in found.problem


def test_one_rebalance_is_none_to_speak_of() -> None:
    assert (
        diagnose(_with(groups=_samples(("stable", "a", 3), ("stable", "a b", 4), ("stable", "a b", 4)))) == []
    )


def test_a_rebalance_without_an_end() -> None:
    found = _only(_with(groups=_samples(*[("preparing_rebalance", "a", 3)] * 5)))
    assert "does not join again" in found.problem


def test_disks() -> None:
    assert _only(_with(log_dirs=(LogDirFact(1, "/d", 0, 0, "KAFKA_STORAGE_ERROR"),))).severity == "critical"
    assert _only(_with(log_dirs=(LogDirFact(1, "/d", 1000, 90),))).severity == "warning"
    assert _only(_with(log_dirs=(LogDirFact(1, "/d", 1000, 20),))).severity == "critical"
    assert diagnose(_with(log_dirs=(LogDirFact(1, "/d", -1, -1),))) == []


def test_fsync() -> None:
    assert _only(_with(fsync_ms=(25.0, 30.0, 35.0))).severity == "warning"
    assert _only(_with(fsync_ms=(250.0,) * 3)).severity == "critical"
    assert _only(_with(fsync_ms=(1.0, 1.0, 2000.0))).severity == "warning"


def test_clocks() -> None:
    assert _only(_with(clocks=(ClockFact(2, -900.0, 5.0),))).problem.startswith(
        "The clock of node 2 is 900 ms behind"
    )
    assert _only(_with(clocks=(ClockFact(2, 60_000.0, 5.0),))).severity == "critical"
    assert diagnose(_with(clocks=(ClockFact(2, 900.0, 500.0),))) == []


def test_what_is_not_known_is_a_note_and_the_worst_comes_first() -> None:
    found = diagnose(_with(unknown=("Could not look at x.",), controller_id=-1))
    assert [one.severity for one in found] == ["critical", "note"]
