"""The phases of a run, one after the other, until everything is on disk that the checkers need.

Decides: set-up, load, faults, healing, final reads, stopping. Does not decide: what is wrong with what was recorded
(`checking`). Invariants: whatever ends a run, no process, mount, namespace or setting of the machine is left behind;
the history is complete up to that moment.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from odradek.jepsen.checkers.anomaly import Anomaly
from odradek.jepsen.checkers.replicas import Replica
from odradek.jepsen.checkers.verdict import GAVE_UP
from odradek.jepsen.db import requests
from odradek.jepsen.db.cluster import ServerCluster, cluster
from odradek.jepsen.db.image import quiet_writeback
from odradek.jepsen.db.kafka import Kafka
from odradek.jepsen.db.node import Flavour
from odradek.jepsen.db.odradek import Odradek
from odradek.jepsen.history import NEMESIS
from odradek.jepsen.nemesis import clocks
from odradek.jepsen.nemesis.schedule import Step
from odradek.jepsen.ports import Node
from odradek.jepsen.readback import read_node
from odradek.jepsen.run.ends import high_watermarks
from odradek.jepsen.run.facts import acknowledged_keys
from odradek.jepsen.run.faults import Faults, RunClock
from odradek.jepsen.run.journal import Journal
from odradek.jepsen.run.options import Options
from odradek.jepsen.run.prepare import Build, prepared
from odradek.jepsen.run.record import FinalReader, Recorded
from odradek.jepsen.run.workers import WorkerFailed, Workers, worker_in
from odradek.jepsen.workloads.spec import (
    WorkerSpec,
    final_workers,
    keys_of,
    split_key,
    topics_for,
    workers_for,
)

_WARM_UP_S, _WARM_WITHIN_S, _LOOK_S = 3.0, 60.0, 0.25
_STARTS_WITHIN_S = 180.0  # of Apache Kafka on a busy machine
_CALM_S = 2.0  # after healing: what is acknowledged then shows that the cluster serves again
_QUIET_END_S = 12.0  # of load after the last heal: more than the patience of `recovery.unrecovered`
_CONVERGES_WITHIN_S = 90.0
_FINAL_READS_S = 120.0
Say = Callable[[str], None]


class Seeing(Protocol):
    """`ServerCluster`, as far as it is asked what nodes see."""

    def view(self, topics: Sequence[str]) -> dict[int, dict[str, requests.Seen]]: ...


def flavour_of(options: Options) -> Flavour:
    """What the nodes are."""
    return Kafka() if options.flavour == "kafka" else Odradek(list(options.command) or None)


def quiet_end(seconds: float, now: float, now_ns: int, healed_ns: int | None) -> float:
    """When the load may end, in seconds of the run's clock, which shows `now` at `now_ns`."""
    if healed_ns is None:
        return seconds
    return max(seconds, now - (now_ns - healed_ns) / 1e9 + _QUIET_END_S)


class Run:
    """One run on one cluster. `build` makes the fault of a step for that cluster and those workers."""

    def __init__(self, options: Options, steps: Sequence[Step], say: Say) -> None:
        self._options = options
        self._steps = steps
        self._say = say
        self._clock = RunClock()
        self.recorded = Recorded(topics={name: topics_for(name) for name in options.workloads})
        self._histories = options.folder / "history"
        self._damaged: set[int] = set()

    def carry_out(self) -> Recorded:
        """All phases. Raises OSError, TimeoutError when there is no cluster to begin with."""
        options = self._options
        self._histories.mkdir(parents=True)
        journal = Journal(self._histories / f"{NEMESIS}.jsonl", time.monotonic_ns)
        tag = f"s{options.seed % 100_000}x{options.folder.stat().st_ino % 10_000}"
        with (
            contextlib.closing(journal),
            quiet_writeback(),
            clocks.swept(),
            cluster(flavour_of(options), options.nodes, options.folder, tag, options.image_mib) as nodes,
            prepared(nodes, options, self._steps) as (build, end_of_losses),
        ):
            self.recorded.logs = {node.id: node.folder / "server.log" for node in nodes.nodes.values()}
            self._set_up(nodes)
            with self._load(nodes, journal) as workers:
                self._break(nodes, workers, build, journal)
            self._end_losses(end_of_losses)
            self._read_everything(nodes, journal)
            self._record_in_sync(nodes)
            journal.phase("replicas")
            for node in nodes.nodes.values():
                node.stop()
            self._report_ends(nodes)
            self._read_replicas(nodes.nodes)
        self.recorded.history = sorted(self._histories.glob("*.jsonl"))
        return self.recorded

    # -- before

    def _set_up(self, nodes: ServerCluster) -> None:
        for node in nodes.nodes.values():
            for name, value in self._options.properties.items():
                node.set_property(name, value)
        took = nodes.start(_STARTS_WITHIN_S)
        self._say(f"{len(nodes.nodes)} nodes serve after {took:.1f} s")
        replication = min(3, len(nodes.nodes))
        for topics in self.recorded.topics.values():
            for topic, partitions in topics.items():
                nodes.create_topic(topic, partitions, replication, self._options.topic_configs)
        self._await_in_sync(nodes, 30.0)

    def _await_in_sync(self, nodes: ServerCluster, timeout_s: float) -> None:
        everything = {
            topic: count for topics in self.recorded.topics.values() for topic, count in topics.items()
        }
        nodes.await_in_sync(everything, min(3, len(nodes.nodes)), timeout_s)

    # -- under load

    @contextlib.contextmanager
    def _load(self, nodes: ServerCluster, journal: Journal) -> Iterator[Workers]:
        workers = Workers(self._options.folder / "workers.log", worker_in(nodes.clients.namespace))
        try:
            workers.start(self.workers_on(nodes))
            journal.phase("load")
            yield workers
            journal.phase("healing")
            self._converge(nodes)
            time.sleep(_CALM_S)
            journal.phase("stopping")
            try:
                workers.stop()
            except WorkerFailed as failure:
                self._trouble(GAVE_UP, f"workers: {failure}")
        finally:
            workers.close()

    def workers_on(self, nodes: ServerCluster) -> list[WorkerSpec]:
        """The workers of all workloads; names and values stay unique when there are several."""
        specs: list[WorkerSpec] = []
        share = self._options.rate / max(1, sum(map(bool, self.recorded.topics.values())))
        for workload, topics in self.recorded.topics.items():
            made = workers_for(
                workload,
                nodes.bootstrap,
                nodes.grpc,
                topics,
                self._options.seed,
                self._histories,
                {"rate": share} if topics else {},
            )
            for spec in made:
                process = f"{workload}-{spec.process}"
                history = str(self._histories / f"{process}.jsonl")
                specs.append(dataclasses.replace(spec, process=process, number=len(specs), history=history))
        return specs

    def _break(self, nodes: ServerCluster, workers: Workers, build: Build, journal: Journal) -> None:
        self._warm_up()
        journal.phase("faults")
        self._clock = RunClock()
        faults = Faults(
            lambda step: build(step, workers, self.recorded.keys),
            lambda: self._converge(nodes),
            journal,
            self._clock,
            self._say,
        )
        faults.carry_out(self._steps)
        self._start_the_rest(nodes.nodes)
        now, now_ns = self._clock.now(), time.monotonic_ns()
        self._clock.sleep_until(quiet_end(self._options.seconds, now, now_ns, journal.healed_ns))
        self.recorded.troubles += [
            Anomaly(GAVE_UP, f"a fault could not be done: {what}") for what in faults.failed
        ]
        if faults.unhealed:
            self._trouble(GAVE_UP, f"what was broken could not be healed: {', '.join(faults.unhealed)}")
        self._damaged = faults.damaged

    def _start_the_rest(self, nodes: Mapping[int, Node]) -> None:
        """What a nemesis left down, for whatever reason."""
        for number, node in nodes.items():
            try:
                if node.pid is None:
                    node.spawn()
            except OSError as error:
                self._trouble(GAVE_UP, f"node {number} was left down and cannot be started: {error}")

    def _warm_up(self) -> None:
        """Faults come to a cluster that works: every key has acknowledged something, and some quiet seconds passed."""
        deadline = time.monotonic() + _WARM_WITHIN_S
        keys = {key for topics in self.recorded.topics.values() for key in keys_of(topics)}
        while missing := keys - acknowledged_keys(self._histories.glob("*-send-*.jsonl")):
            if time.monotonic() > deadline:
                self._trouble(
                    GAVE_UP, f"nothing was acknowledged in {_WARM_WITHIN_S:.0f} s by {sorted(missing)}"
                )
                break
            time.sleep(_LOOK_S)
        time.sleep(_WARM_UP_S)

    def _converge(self, nodes: ServerCluster) -> None:
        began = time.monotonic()
        try:
            self._await_in_sync(nodes, _CONVERGES_WITHIN_S)
        except TimeoutError as late:
            self._trouble("no-convergence", f"not in sync within {_CONVERGES_WITHIN_S:.0f} s: {late}")
        else:
            self._say(f"{self._clock.now():6.1f} s  in sync after {time.monotonic() - began:.1f} s")

    def _trouble(self, kind: str, what: str) -> None:
        self._say(f"{kind}: {what}")
        self.recorded.troubles.append(Anomaly(kind, what))

    # -- after

    def _end_losses(self, end: Callable[[], int | None]) -> None:
        """Final reads do not pass through the proxy."""
        try:
            self.recorded.answers_lost = end()
        except ExceptionGroup as failed:
            self._trouble(GAVE_UP, f"the proxy was not taken out: {failed}: {failed.exceptions}")

    def _read_everything(self, nodes: ServerCluster, journal: Journal) -> None:
        journal.phase("final-reads")
        keys = self.recorded.keys
        try:
            self.recorded.ends = high_watermarks(nodes, keys)
        except TimeoutError as silent:
            self._trouble("no-convergence", f"final reads: {silent}")
            return
        readers = Workers(self._options.folder / "workers.log", worker_in(nodes.clients.namespace))
        try:
            for workload, topics in self.recorded.topics.items():
                until = {key: self.recorded.ends[key] for key in keys_of(topics)}
                made = final_workers(
                    workload, nodes.bootstrap, nodes.grpc, topics, self._histories, until, _FINAL_READS_S
                )
                for spec in made:
                    process = f"{workload}-{spec.process}"
                    history = str(self._histories / f"{process}.jsonl")
                    self.recorded.readers.append(FinalReader(process, spec.door, sorted(until)))
                    readers.start([dataclasses.replace(spec, process=process, history=history)])
            readers.await_end(_FINAL_READS_S + 30.0)
        except WorkerFailed as failure:
            self._trouble("no-final-reads", f"{failure}")
        finally:
            readers.close()

    def _record_in_sync(self, nodes: Seeing) -> None:
        """Who must hold all of a key: nobody writes any more."""
        keys = self.recorded.keys
        views = nodes.view(sorted({split_key(key)[0] for key in keys})).values() if keys else ()
        seen = {key: requests.newest(view[key] for view in views if key in view) for key in keys}
        self.recorded.in_sync = {
            key: sorted(one.isr) for key, one in seen.items() if one is not None and one.isr
        }
        if unseen := sorted(set(keys) - set(self.recorded.in_sync)):
            self._trouble(GAVE_UP, f"nobody says who is in sync: {', '.join(unseen)}")

    def _read_replicas(self, nodes: Mapping[int, Node]) -> None:
        """Of nodes that were stopped. One that cannot be read is told."""
        read: dict[int, Mapping[str, Replica]] = {}
        for number, node in nodes.items():
            if not node.image.mounted:
                self._trouble(GAVE_UP, f"the replicas of node {number}: its image is not mounted")
                continue
            try:
                read[number] = read_node(node.data, self.recorded.keys)
            except OSError as error:
                self._trouble(GAVE_UP, f"the replicas of node {number} cannot be read: {error}")
        self.recorded.replicas = read

    def _report_ends(self, nodes: ServerCluster) -> None:
        """Nodes that ended though no fault ended them; one whose disk or bytes were struck may end by itself."""
        for node in nodes.nodes.values():
            if node.id in self._damaged:
                continue
            for end in node.ended_by_itself:
                self._trouble(
                    "server-ended",
                    f"node {node.id} ended by itself (start {end.start}, status {end.status}): {end.words}",
                )
            for start in node.deaf:
                self._trouble("server-ended", f"node {node.id} (start {start}) did not end at a SIGTERM")
