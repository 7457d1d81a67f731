"""Ports for nodes: no two processes of one test run draw the same ones, and none is drawn twice in a row."""

from __future__ import annotations

from itertools import combinations

from tests.compat.servers import ports_of, quiet_ports


def test_workers_have_ports_of_their_own() -> None:
    shares = [set(ports_of(f"gw{number}")) for number in range(16)]
    assert not any(one & other for one, other in combinations(shares, 2))
    assert set().union(*shares) == set(ports_of(""))


def test_a_port_that_was_drawn_does_not_come_again_soon() -> None:
    drawn = [port for _ in range(50) for port in quiet_ports(3)]
    assert len(set(drawn)) == len(drawn)
