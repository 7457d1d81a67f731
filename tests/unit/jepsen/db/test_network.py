"""The lines that make a network, and the names by which a run knows its own."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from odradek.jepsen.db import network


def test_every_host_has_a_namespace_and_an_address_of_its_own() -> None:
    net = network.plan("a1", 5)
    assert net.nodes[1] == ("odk-a1-n1", "10.77.0.11")
    assert net.nodes[5] == ("odk-a1-n5", "10.77.0.15")
    assert (net.clients, net.proxy) == (("odk-a1-clients", "10.77.0.100"), ("odk-a1-proxy", "10.77.0.200"))
    assert len({host.address for host in net.hosts.values()}) == len(set(net.namespaces)) - 1 == 7


@pytest.mark.parametrize("tag", ["", "A", "a-b", "a b", "a" * 17, "ä", "a\n"])
def test_a_tag_that_is_no_part_of_a_name_is_refused(tag: str) -> None:
    with pytest.raises(ValueError, match="tag"):
        network.plan(tag, 3)


@pytest.mark.parametrize("nodes", [0, network.NODES_MAX + 1])
def test_addresses_of_nodes_stay_below_those_of_clients(nodes: int) -> None:
    network.plan("a", network.NODES_MAX)
    with pytest.raises(ValueError, match="nodes"):
        network.plan("a", nodes)


def test_the_lines_for_one_node() -> None:
    assert network.batches(network.plan("t", 1)) == [
        (
            None,
            [
                "netns add odk-t-net",
                "netns add odk-t-n1",
                "netns add odk-t-clients",
                "netns add odk-t-proxy",
                "link add n1 netns odk-t-net type veth peer name eth0 netns odk-t-n1",
                "link add clients netns odk-t-net type veth peer name eth0 netns odk-t-clients",
                "link add proxy netns odk-t-net type veth peer name eth0 netns odk-t-proxy",
            ],
        ),
        (
            "odk-t-net",
            [
                "link set lo up",
                "link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
                "link set n1 master br0",
                "link set n1 up",
                "link set clients master br0",
                "link set clients up",
                "link set proxy master br0",
                "link set proxy up",
                "link set br0 up",
            ],
        ),
        ("odk-t-n1", ["addr add 10.77.0.11/24 dev eth0", "link set lo up", "link set eth0 up"]),
        ("odk-t-clients", ["addr add 10.77.0.100/24 dev eth0", "link set lo up", "link set eth0 up"]),
        ("odk-t-proxy", ["addr add 10.77.0.200/24 dev eth0", "link set lo up", "link set eth0 up"]),
    ]


def test_names_of_interfaces_are_short_enough_for_the_kernel() -> None:
    assert max(map(len, network.plan("x" * 16, network.NODES_MAX).hosts)) <= 15


def test_a_namespace_tells_its_tag_and_one_of_others_does_not() -> None:
    net = network.plan("t9", 2)
    assert {network.tag_of(name) for name in net.namespaces} == {"t9"}
    for other in ("odk-", "odk-t9", "odk--n1", "odk-T-n1", "docker-1", "t9-n1", "odk-t9-"):
        assert network.tag_of(other) is None, other


def test_a_removal_has_a_line_for_each() -> None:
    assert network.removal(["odk-a-n1", "odk-a-net"]) == ["netns delete odk-a-n1", "netns delete odk-a-net"]


def test_a_command_is_executed_by_what_enters_the_namespace() -> None:
    command = network.entering("odk-a-n1", ["ss", "-K"])
    assert command == ["nsenter", "--net=/run/netns/odk-a-n1", "--", "ss", "-K"]


def test_a_namespace_that_is_not_there_is_an_error_and_the_thread_stays_where_it_was() -> None:
    place = f"/proc/self/task/{threading.get_native_id()}/ns/net"
    before = Path(place).readlink()
    with pytest.raises(FileNotFoundError), network.sockets_in("odk-nobody-n1"):
        raise AssertionError("entered")
    assert Path(place).readlink() == before
