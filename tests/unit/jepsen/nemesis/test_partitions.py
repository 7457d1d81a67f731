"""Who is cut from whom, the rules that do it, and that each fault heals its own alone."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from random import Random

import pytest
from tests.unit.jepsen.nemesis.fakes import FakeCluster

from odradek.jepsen.nemesis.diversions import removal
from odradek.jepsen.nemesis.partitions import (
    CLIENTS,
    Partition,
    Place,
    apart,
    cut_off,
    cuts_of,
    ring,
    scripts,
    table_name,
)
from odradek.jepsen.nemesis.targets import Target

PLACES = {node: Place(f"n{node}", f"10.0.0.{node}") for node in range(6)}


def hears(cuts: set[tuple[int, int]], nodes: Sequence[int]) -> dict[int, set[int]]:
    return {node: {other for other in nodes if (other, node) not in cuts} for node in nodes}


@pytest.mark.parametrize("size", [3, 5, 7])
def test_in_a_ring_all_hear_majorities_and_no_two_the_same(size: int) -> None:
    nodes = list(range(1, size + 1))
    Random(size).shuffle(nodes)
    heard = hears(ring(nodes), nodes)
    assert all(len(others) == size // 2 + 1 for others in heard.values())
    assert len({frozenset(others) for others in heard.values()}) == size


def test_a_ring_of_five_is_whole_and_one_of_three_is_none() -> None:
    both = {way[::-1] for way in ring([1, 2, 3, 4, 5])}
    assert both == ring([1, 2, 3, 4, 5])
    three = ring([1, 2, 3])
    assert all((one, two) in three or (two, one) in three for one, two in [(1, 2), (2, 3), (1, 3)])


def test_cuts_by_kind() -> None:
    nodes = [1, 2, 3]
    assert apart([1], nodes) == {(1, 2), (2, 1), (1, 3), (3, 1)}
    assert cuts_of("partition-halves", [1], nodes, Random(1)) == apart([1], nodes)
    assert cuts_of("partition-brokers", [2], nodes, Random(1)) == apart([2], nodes)
    assert cuts_of("partition-clients", [2], nodes, Random(1)) == {(2, CLIENTS), (CLIENTS, 2)}
    assert cuts_of("partition-ring", [2, 3, 1], nodes, Random(1)) == ring([2, 3, 1])
    one_way = [cuts_of("partition-one-way", [1], nodes, Random(seed)) for seed in range(20)]
    assert {frozenset(cuts) for cuts in one_way} == {
        frozenset({(1, 2), (1, 3)}),
        frozenset({(2, 1), (3, 1)}),
    }
    alone = [cuts_of("partition-one", [1], nodes, Random(seed)) for seed in range(20)]
    assert {(CLIENTS, 1) in cuts for cuts in alone} == {True, False}
    with pytest.raises(KeyError):
        cuts_of("kill", [1], nodes, Random(1))


def test_who_cannot_serve() -> None:
    assert cut_off(apart([1], [1, 2, 3]), [1, 2, 3]) == {1}
    assert cut_off({(1, 2), (1, 3)}, [1, 2, 3]) == {1}
    assert cut_off(ring([1, 2, 3]), [1, 2, 3]) == {1, 2, 3}
    assert cut_off(apart([1, 2], [CLIENTS]), [1, 2, 3]) == {1, 2}
    assert cut_off(apart([1, 2], [1, 2, 3, 4, 5]), [1, 2, 3, 4, 5]) == {1, 2}
    assert cut_off(apart([1, 2], [1, 2, 3, 4]), [1, 2, 3, 4]) == {1, 2, 3, 4}
    assert cut_off(set(), [1]) == set()


def test_a_cut_is_dropped_at_both_ends() -> None:
    assert scripts("fault7", {(1, 2), (1, 3)}, PLACES) == {
        "n1": (
            "table ip fault7 {\n"
            "  chain leaving {\n"
            "    type filter hook output priority -300; policy accept;\n"
            "    ip daddr { 10.0.0.2, 10.0.0.3 } drop\n"
            "  }\n"
            "}\n"
        ),
        "n2": (
            "table ip fault7 {\n"
            "  chain coming {\n"
            "    type filter hook input priority 200; policy accept;\n"
            "    ip saddr { 10.0.0.1 } drop\n"
            "  }\n"
            "}\n"
        ),
        "n3": (
            "table ip fault7 {\n"
            "  chain coming {\n"
            "    type filter hook input priority 200; policy accept;\n"
            "    ip saddr { 10.0.0.1 } drop\n"
            "  }\n"
            "}\n"
        ),
    }


def test_ports_are_cut_for_whoever_dials() -> None:
    (script, _) = scripts("f", {(1, 2)}, PLACES, [9094, 9093]).values()
    assert "    ip daddr { 10.0.0.2 } tcp sport { 9093, 9094 } drop\n" in script
    assert "    ip daddr { 10.0.0.2 } tcp dport { 9093, 9094 } drop\n" in script


class Shell:
    """The tables of each namespace."""

    def __init__(self, refuses: str = "") -> None:
        self.tables: set[tuple[str, str]] = set()
        self._refuses = refuses
        self.keeps: set[str] = set()

    def __call__(self, namespace: str, argv: Sequence[str], *, stdin: str | None = None) -> object:
        assert argv == ["nft", "-f", "-"] and stdin is not None
        table = stdin.split()[2]
        if stdin == removal(table):
            if namespace in self.keeps:
                raise subprocess.TimeoutExpired(argv, 1)
            self.tables.discard((namespace, table))
        elif namespace == self._refuses:
            raise subprocess.CalledProcessError(1, argv)
        else:
            self.tables.add((namespace, table))
        return None


def test_partitions_overlap_and_heal_alone() -> None:
    cluster, shell = FakeCluster(), Shell()
    one = Partition("partition-halves", 1, cluster, Random(1), Target("half", (1,)), shell)
    other = Partition("partition-clients", 2, cluster, Random(1), Target("some", (1,)), shell)
    assert one.start() == {"nodes": [1], "cuts": [[1, 2], [1, 3], [2, 1], [3, 1]]}
    assert other.start()["nodes"] == [1]
    assert one.stop() == {"nodes": [1, 2, 3], "namespaces": ["n1", "n2", "n3"]}
    assert shell.tables == {("clients", table_name(2)), ("n1", table_name(2))}
    other.stop()
    assert shell.tables == set()


def test_what_was_not_healed_is_healed_by_the_next_stop() -> None:
    shell = Shell()
    fault = Partition("partition-halves", 1, FakeCluster(), Random(1), Target("half", (1,)), shell)
    fault.start()
    shell.keeps = {"n2"}
    with pytest.raises(ExceptionGroup):
        fault.stop()
    assert shell.tables == {("n2", table_name(1))}
    shell.keeps = set()
    assert fault.stop()["namespaces"] == ["n2"]
    assert shell.tables == set()


def test_all_that_are_cut_off_are_told_as_a_majority() -> None:
    fault = Partition("partition-ring", 1, FakeCluster(), Random(1), Target("order", (1, 2, 3)), Shell())
    assert fault.start()["majority"] is True


def test_a_partition_that_cannot_be_made_leaves_nothing() -> None:
    shell = Shell(refuses="n2")
    fault = Partition("partition-halves", 1, FakeCluster(), Random(1), Target("half", (1,)), shell)
    with pytest.raises(subprocess.CalledProcessError):
        fault.start()
    assert shell.tables == set()
