"""What is measured of three nodes: one function per scenario, run on a fresh cluster of either kind.

Decides: loads, faults, when a fault counts as survived. Does not decide: rounds, medians and tables
(`cluster.py`, `cluster_report.py`). A function gets a cluster that is not running, starts it, and returns metric
name -> values (`cluster_report.METRICS`).
"""

from __future__ import annotations

import itertools
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.bench.cluster_writer import SteadyWriter
from tests.bench.scenarios import PARTITIONS, PRODUCER, TOPIC
from tests.bench.tools import ToolFailed, Tools
from tests.compat import wire
from tests.compat.clusters import Cluster, until

Values = dict[str, list[float]]
SETTLE_S = 5.0
FAULT_TIMEOUT_S = 240.0
_ASK_S = 0.05
"""How often a large topic's leaders are asked for: seldom enough not to be a load of its own."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How often the faults are repeated within one run."""

    kills: int = 20
    pauses: int = 2
    controller_kills: int = 3


@dataclass(frozen=True, slots=True)
class Scenario:
    """A name for --only and the function; `rounds` limits how often the whole of it is done."""

    name: str
    run: Callable[[Cluster, Tools, Plan], Values]
    rounds: int = 100


def _topic(cluster: Cluster, partitions: int) -> None:
    """The topic of the load, on all three nodes, in sync."""
    cluster.create_topic(TOPIC, partitions)
    cluster.await_in_sync({TOPIC: partitions}, 3)


def _again(cluster: Cluster, node: int, partitions: int) -> None:
    """Start a node that was killed and wait until everything is as before."""
    cluster.start([node], FAULT_TIMEOUT_S)
    cluster.await_in_sync({TOPIC: partitions}, 3, FAULT_TIMEOUT_S)


def start(cluster: Cluster, tools: Tools, plan: Plan) -> Values:
    """From nothing to serving; memory of a node when idle; all killed under load and started again."""
    took = cluster.start()
    time.sleep(SETTLE_S)
    idle = statistics.mean(server.resident_bytes() for server in cluster.nodes.values()) / 1e6
    _topic(cluster, PARTITIONS)
    with SteadyWriter(cluster.bootstrap, TOPIC, PARTITIONS) as writer:
        time.sleep(1)
        killed = time.monotonic()
        cluster.kill_all()
        cluster.start()
        restart = writer.gap_since(killed)
    return {"start": [took], "idle_memory": [idle], "restart": [restart]}


def leader_kill(cluster: Cluster, tools: Tools, plan: Plan) -> Values:
    """The leader of a partition that is written to is killed, again and again."""
    cluster.start()
    _topic(cluster, 1)
    gaps = []
    with SteadyWriter(cluster.bootstrap, TOPIC) as writer:
        for _ in range(plan.kills):
            time.sleep(1)
            leader = cluster.leader_of(TOPIC)
            killed = time.monotonic()
            cluster.kill(leader)
            gaps.append(writer.gap_since(killed, FAULT_TIMEOUT_S))
            _again(cluster, leader, 1)
    return {"leader_kill": gaps}


def leader_pause(cluster: Cluster, tools: Tools, plan: Plan) -> Values:
    """The leader of a partition that is written to is frozen, and thawed when another has taken over."""
    cluster.start()
    _topic(cluster, 1)
    gaps = []
    with SteadyWriter(cluster.bootstrap, TOPIC) as writer:
        for _ in range(plan.pauses):
            time.sleep(1)
            leader = cluster.leader_of(TOPIC)
            frozen = time.monotonic()
            cluster.pause(leader)
            try:
                gaps.append(writer.gap_since(frozen, FAULT_TIMEOUT_S))
            finally:
                cluster.resume(leader)
            cluster.await_serving()
            cluster.await_in_sync({TOPIC: 1}, 3, FAULT_TIMEOUT_S)
    return {"leader_pause": gaps}


def controller_kill(cluster: Cluster, tools: Tools, plan: Plan) -> Values:
    """The active controller is killed: until a topic can be created through one of the others."""
    cluster.start()
    _topic(cluster, 1)
    names = (f"after-{number}" for number in itertools.count())
    took = []
    for _ in range(plan.controller_kills):
        time.sleep(1)
        controller = cluster.controller()
        killed = time.monotonic()
        cluster.kill(controller)
        took.append(_until_created(cluster, names) - killed)
        _again(cluster, controller, 1)
    return {"controller_kill": took}


def _until_created(cluster: Cluster, names: Iterator[str]) -> float:
    """The moment at which the first of the running nodes has created a topic."""
    lock, done, moments = threading.Lock(), threading.Event(), list[float]()

    def ask(node: int) -> None:
        while not done.is_set():
            with lock:
                name = next(names)
            try:
                with cluster.nodes[node].connect(10) as connection:
                    (outcome,) = wire.create_topics(connection, {name: 1}, 5000).values()
            except (OSError, wire.Closed):
                continue
            if outcome[0] == 0:
                moments.append(time.monotonic())
                done.set()
            time.sleep(0.01)

    threads = [threading.Thread(target=ask, args=(node,)) for node in cluster.running]
    for thread in threads:
        thread.start()
    if not done.wait(FAULT_TIMEOUT_S):
        done.set()
        raise ToolFailed(f"no topic could be created within {FAULT_TIMEOUT_S} s")
    for thread in threads:
        thread.join()
    return min(moments)


def bulk(size: int, records: int, label: str) -> Callable[[Cluster, Tools, Plan], Values]:
    """Fill a topic of 6 partitions at full speed; a quarter of it to warm up, then all of it measured."""

    def run(cluster: Cluster, tools: Tools, plan: Plan) -> Values:
        cluster.start()
        _topic(cluster, PARTITIONS)
        tools.produce(cluster, TOPIC, records // 4, size, PRODUCER)
        return {f"produce_{label}": [tools.produce(cluster, TOPIC, records, size, PRODUCER)]}

    return run


def latency(cluster: Cluster, tools: Tools, plan: Plan) -> Values:
    """End to end through librdkafka, 1,000 records of 100 B a second, one partition; the second of two passes."""
    cluster.start()
    _topic(cluster, 1)
    tools.client_latency(cluster, TOPIC, 1000)
    found = tools.client_latency(cluster, TOPIC, 1000)
    return {f"e2e_{name.replace('.', '')}": [found[name]] for name in ("p50", "p99", "p99.9")}


def many(count: int) -> Callable[[Cluster, Tools, Plan], Values]:
    """A topic of many partitions is created; then a node that leads a third of them is killed."""

    def run(cluster: Cluster, tools: Tools, plan: Plan) -> Values:
        cluster.start()
        began = time.monotonic()
        created = cluster.create_topic(TOPIC, count)
        cluster.await_in_sync({TOPIC: count}, 3, FAULT_TIMEOUT_S)
        in_sync = time.monotonic() - began
        time.sleep(SETTLE_S)
        controller = cluster.controller()
        victim = next(node for node in cluster.running if node != controller)
        killed = time.monotonic()
        cluster.kill(victim)
        led = _until_led(cluster, count, victim) - killed
        _until_answered(cluster, count)
        answers = time.monotonic() - killed
        return {
            f"create_{count}": [created],
            f"in_sync_{count}": [in_sync],
            f"failover_{count}": [led],
            f"answers_{count}": [answers],
        }

    return run


def _until_led(cluster: Cluster, count: int, victim: int) -> float:
    """The moment at which a node that runs knew other leaders for all partitions."""
    witness = cluster.running[-1]

    def look() -> float | None:
        view = cluster.maybe_view([TOPIC], witness)
        if view is not None:
            parts = view.topics[TOPIC]
            if len(parts) == count and all(part.leader not in (-1, victim) for part in parts):
                return time.monotonic()
        time.sleep(_ASK_S)
        return None

    return until(look, FAULT_TIMEOUT_S, "other leaders for all partitions")


def _until_answered(cluster: Cluster, count: int) -> None:
    """Every partition answers ListOffsets at its new leader."""
    left = set(range(count))

    def look() -> bool:
        for part in cluster.view([TOPIC], cluster.running[-1]).topics[TOPIC]:
            if part.partition in left:
                by_leader.setdefault(part.leader, []).append(part.partition)
        for leader, partitions in by_leader.items():
            if leader in cluster.running:
                with cluster.nodes[leader].connect(30) as connection:
                    found = wire.list_offsets(connection, {TOPIC: partitions})
                left.difference_update(each.partition for each in found if each.error == 0)
        by_leader.clear()
        return not left

    by_leader: dict[int, list[int]] = {}
    until(look, FAULT_TIMEOUT_S, lambda: f"{len(left)} partitions answering")


SCENARIOS = (
    Scenario("start", start),
    Scenario("leader-kill", leader_kill, rounds=1),
    Scenario("leader-pause", leader_pause, rounds=1),
    Scenario("controller-kill", controller_kill, rounds=1),
    Scenario("produce-100", bulk(100, 8_000_000, "100")),
    Scenario("produce-1k", bulk(1024, 1_000_000, "1k")),
    Scenario("latency", latency),
    Scenario("partitions-1000", many(1000), rounds=1),
    Scenario("partitions-9000", many(9000), rounds=1),
)
