"""What each kind of fault does to which links, and that it is all from the seed and all undone."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from tests.unit.jepsen.nemesis.link_fakes import NotedNamespaces, NotedProxy, named_cluster

from odradek.jepsen.nemesis.diversions import CLIENTS, Diversions, Link
from odradek.jepsen.nemesis.links import (
    DELAYED,
    AcksDropped,
    ConnectionReset,
    LinkLossy,
    LinkSilent,
    LinkSlow,
    RequestDelayed,
    brief,
    standing_retries,
)
from odradek.jepsen.nemesis.targets import Target
from odradek.jepsen.proxy.behaviour import Behaviour, Hold, Pace, Replay, same
from odradek.proto.kafka.api import ApiKey

KINDS = [LinkSlow, LinkLossy, LinkSilent, ConnectionReset, AcksDropped, RequestDelayed]
SEEDS = range(40)


class _World:
    def __init__(self) -> None:
        self.cluster = named_cluster()
        self.proxy = NotedProxy([])
        self.namespaces = NotedNamespaces([])
        self.diversions = Diversions(self.cluster, self.proxy, self.namespaces)

    def fault(self, kind: Any, seed: int, number: int = 1, aim: Any = "one", nodes: Any = (1,)) -> Any:
        return kind(number, self.cluster, Random(seed), Target(aim, nodes, ["t/0"]), self.diversions)


@pytest.mark.parametrize("kind", KINDS)
def test_it_does_something_to_links_of_its_target_and_undoes_it(kind: Any) -> None:
    for seed in SEEDS:
        world = _World()
        fault = world.fault(kind, seed)
        did = fault.start()
        json.dumps(did)
        assert did["links"] and did["refused"] == 0 and did["nodes"] == [1]
        assert all("->1/" in name for name in world.proxy.links)
        assert all(behaviour != Behaviour(seed=behaviour.seed) for behaviour in world.proxy.links.values())
        assert fault.stop()["counts"] == {"connections": len(did["links"])}
        assert not world.proxy.links and not world.namespaces.tables


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_decides(kind: Any) -> None:
    runs = []
    for seed in (1, 1, 2, 3, 4):
        world = _World()
        world.fault(kind, seed).start()
        runs.append(dict(world.proxy.links))
    assert runs[0] == runs[1]
    assert any(run != runs[0] for run in runs[2:])


@pytest.mark.parametrize("kind", KINDS)
def test_grpc_is_never_taken_for_kafka(kind: Any) -> None:
    for seed in SEEDS:
        world = _World()
        world.fault(kind, seed, aim="all", nodes=(1, 2, 3)).start()
        framed = {name for name, behaviour in world.proxy.links.items() if behaviour.framed}
        assert not any(name.endswith(("GRPC", "CONTROLLER")) for name in framed)


def test_the_leader_is_found_when_the_fault_starts() -> None:
    world = _World()
    assert world.fault(LinkSlow, 1, aim="leader").start()["nodes"] == [2]


def test_two_faults_take_different_links_until_there_are_none() -> None:
    world = _World()
    faults = [world.fault(LinkSlow, seed, seed) for seed in range(1, 12)]
    told = [fault.start() for fault in faults]
    taken = [name for did in told for name in did["links"]]
    assert sorted(taken) == sorted(set(taken)) and len(taken) == 6
    assert told[-1]["links"] == {} and told[-1]["refused"] > 0
    assert [bool(did["links"]) for did in told] == [did.get("did", True) for did in told]
    for fault in faults:
        fault.stop()
    assert not world.proxy.links and not world.namespaces.tables


def test_delayed_requests_are_of_apis_that_travel_there() -> None:
    seen = set()
    for seed in range(200):
        world = _World()
        world.fault(RequestDelayed, seed, aim="all", nodes=(1, 2, 3)).start()
        for name, behaviour in world.proxy.links.items():
            holds = [hold for hold in behaviour.holds if hold.api_key != ApiKey.BROKER_HEARTBEAT]
            apis = tuple(ApiKey(hold.api_key) for hold in holds)
            assert (apis, name.rpartition("/")[2]) in DELAYED.values()
            seen.add(apis)
            assert all(1000 <= hold.low_ms < hold.high_ms <= 30_000 for hold in behaviour.holds)
            assert ApiKey.FETCH not in apis or len(world.proxy.links) == 1
    assert seen == {apis for apis, _ in DELAYED.values()}


def test_heartbeats_of_one_node_are_late_so_that_an_isr_changes() -> None:
    found = 0
    for seed in range(40):
        world = _World()
        world.fault(RequestDelayed, seed, aim="all", nodes=(1, 2, 3)).start()
        holds = {
            name: [hold for hold in behaviour.holds if hold.api_key == ApiKey.BROKER_HEARTBEAT]
            for name, behaviour in world.proxy.links.items()
        }
        late = [name for name, some in holds.items() if some]
        has_alter_partition = any(
            ApiKey.ALTER_PARTITION in [hold.api_key for hold in behaviour.holds]
            for behaviour in world.proxy.links.values()
        )
        assert len(late) == has_alter_partition
        assert all(name.endswith("->3/INTERNAL") for name in late), "node 3 is the controller"
        found += has_alter_partition
    assert found


def test_producers_of_the_whole_run_lose_answers() -> None:
    world = _World()
    standing = standing_retries(world.cluster, world.diversions, every=30, seed=5)
    assert set(world.proxy.links) == {f"clients->{node}/CLIENT" for node in (1, 2, 3)}
    assert all(behaviour.drop_every == 30 for behaviour in world.proxy.links.values())
    fault = world.fault(LinkLossy, 3, aim="all", nodes=(1, 2, 3))
    fault.start()
    fault.stop()
    assert standing.counts()["connections"] == 3
    assert world.diversions.free([Link(CLIENTS, 1, "CLIENT")])
    standing.stop()
    assert not world.proxy.links and not world.namespaces.tables


def test_the_history_tells_what_a_link_did() -> None:
    assert brief(Behaviour()) == {}
    assert brief(same(Pace(delay_ms=1 / 3))) == {"up": {"delay_ms": 0.333}, "down": {"delay_ms": 0.333}}
    told = brief(Behaviour(holds=(Hold(26), Hold(0)), drop_every=4, replay=Replay(0.5)))
    assert told == {"holds": ["END_TXN", "PRODUCE"], "drop_every": 4, "replay": 0.5}
