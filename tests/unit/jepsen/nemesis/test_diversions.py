"""Whatever faults overlap, each takes out what it put in, and a link has one fault at a time."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.jepsen.nemesis.link_fakes import NotedNamespaces, NotedProxy, named_cluster

from odradek.jepsen.nemesis.diversions import (
    CLIENTS,
    Diversions,
    Divert,
    Link,
    divert_script,
    kill_command,
    links_to,
    removal,
)
from odradek.jepsen.proxy.behaviour import Behaviour, Pace, same

SLOW = same(Pace(delay_ms=5.0))
RETRIES = Behaviour(drop_every=9)
A = Link(CLIENTS, 1, "CLIENT")
B = Link(2, 1, "INTERNAL")
C = Link(CLIENTS, 2, "CLIENT")


class _World:
    def __init__(self) -> None:
        self.journal: list[Any] = []
        self.proxy = NotedProxy(self.journal)
        self.namespaces = NotedNamespaces(self.journal)
        self.diversions = Diversions(named_cluster(), self.proxy, self.namespaces)

    @property
    def is_clean(self) -> bool:
        return not self.proxy.links and not self.namespaces.tables


def test_the_rules() -> None:
    diverts = [
        Divert("10.77.0.11", 9092, "10.77.0.200", 40001),
        Divert("10.77.0.12", 9092, "10.77.0.200", 40002),
    ]
    assert divert_script("link_7", diverts) == (
        "table ip link_7 {\n"
        "  chain divert {\n"
        "    type nat hook output priority -100; policy accept;\n"
        "    ip daddr 10.77.0.11 tcp dport 9092 dnat to 10.77.0.200:40001\n"
        "    ip daddr 10.77.0.12 tcp dport 9092 dnat to 10.77.0.200:40002\n"
        "  }\n"
        "}\n"
    )
    assert removal("link_7") == "table ip link_7 { }\ndelete table ip link_7\n"


def test_the_command_that_ends_connections() -> None:
    command = kill_command([("10.77.0.11", 9092), ("10.77.0.12", 9093)])
    assert " ".join(command) == (
        "ss -K -t -n ( dst 10.77.0.11 and dport = :9092 ) or ( dst 10.77.0.12 and dport = :9093 )"
    )


def test_which_links_there_are() -> None:
    cluster = named_cluster()
    assert [str(link) for link in links_to(cluster, [1])] == [
        "clients->1/CLIENT",
        "clients->1/GRPC",
        "2->1/INTERNAL",
        "3->1/INTERNAL",
        "2->1/CONTROLLER",
        "3->1/CONTROLLER",
    ]
    assert links_to(cluster, [2, 1], ["CLIENT"]) == [A, C]
    assert links_to(cluster, [1], dialler=2) == [B, Link(2, 1, "CONTROLLER")]
    kafka = named_cluster({"CLIENT": 9092})
    assert links_to(kafka, [1]) == [A]


def test_rules_come_before_old_connections_end_and_go_before_they_end_again() -> None:
    world = _World()
    assert world.diversions.divert(7, {A: SLOW, B: SLOW, C: SLOW}) == [A, B, C]
    assert world.journal == [
        ("open", "clients->1/CLIENT", ("10.77.0.11", 9092)),
        ("open", "2->1/INTERNAL", ("10.77.0.11", 9093)),
        ("open", "clients->2/CLIENT", ("10.77.0.12", 9092)),
        ("nft", "clients"),
        ("ss", "clients"),
        ("nft", "n2"),
        ("ss", "n2"),
    ]
    assert set(world.namespaces.tables) == {("clients", "link_7"), ("n2", "link_7")}
    world.journal.clear()
    assert world.diversions.heal(7) == {"connections": 3}
    assert world.journal == [
        ("nft", "clients"),
        ("ss", "clients"),
        ("nft", "n2"),
        ("ss", "n2"),
        ("close", "clients->1/CLIENT", True),
        ("close", "2->1/INTERNAL", True),
        ("close", "clients->2/CLIENT", True),
    ]
    assert world.is_clean


def test_faults_overlap_but_not_on_one_link() -> None:
    world = _World()
    assert world.diversions.divert(1, {A: SLOW, B: SLOW}) == [A, B]
    assert world.diversions.free([A, C]) == [C]
    assert world.diversions.divert(2, {A: SLOW, C: SLOW}) == [C]
    assert world.diversions.divert(3, {B: SLOW}) == []
    assert world.diversions.heal(1) == {"connections": 2}
    assert set(world.namespaces.tables) == {("clients", "link_2")}
    assert world.diversions.divert(4, {A: SLOW}) == [A]
    for fault in (3, 4, 2, 2):
        world.diversions.heal(fault)
    assert world.is_clean


def test_a_fault_lies_over_what_stands_and_leaves_it() -> None:
    world = _World()
    world.diversions.stand({A: RETRIES, C: RETRIES})
    world.proxy.tally[str(A)]["answers_dropped"] = 10
    assert world.diversions.divert(1, {A: SLOW, B: SLOW}) == [A, B]
    assert world.proxy.links[str(A)] == SLOW.over(RETRIES)
    assert set(world.namespaces.tables) == {("clients", "link_standing"), ("n2", "link_1")}
    assert world.diversions.divert(2, {A: SLOW}) == []
    world.proxy.tally[str(A)]["answers_dropped"] = 13
    assert world.diversions.heal(1) == {"answers_dropped": 3, "connections": 1}
    assert ("reset", str(A), True) in world.journal, "what the fault held must not outlive it"
    assert world.proxy.links == {str(A): RETRIES, str(C): RETRIES}
    assert world.diversions.standing_counts()["answers_dropped"] == 13
    assert world.diversions.stand_no_more()["connections"] == 2
    assert world.is_clean


@pytest.mark.parametrize("where", ["proxy", "namespace"])
def test_a_fault_that_cannot_start_leaves_nothing(where: str) -> None:
    world = _World()
    if where == "proxy":
        world.proxy.broken.add(str(C))
    else:
        world.namespaces.broken.add("n2")
    with pytest.raises((OSError, ExceptionGroup)):
        world.diversions.divert(1, {A: SLOW, C: SLOW, B: SLOW})
    assert not world.namespaces.tables
    world.namespaces.broken.clear()
    world.proxy.broken.clear()
    assert world.diversions.free([A, B, C]) == [A, B, C]
    assert world.diversions.divert(2, {A: SLOW, B: SLOW}) == [A, B]


def test_what_cannot_be_healed_is_told_after_all_else_is() -> None:
    world = _World()
    world.diversions.divert(1, {A: SLOW, B: SLOW})
    world.namespaces.broken.add("clients")
    world.proxy.broken.add(str(A))
    with pytest.raises(ExceptionGroup) as raised:
        world.diversions.heal(1)
    assert len(raised.value.exceptions) == 2
    assert set(world.namespaces.tables) == {("clients", "link_1")}
    assert set(world.proxy.links) == {str(A)}
