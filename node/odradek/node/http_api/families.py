"""The small families of a node: requests, traffic, connections, syncs, consensus, the event loop, the process.

A collector in prometheus-client's sense: it keeps nothing, and reads plain integers when it is asked. The JMX
exporter's names where a dashboard may look for them, our own (`odradek_`) where Kafka has no such thing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client import PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from odradek.node.http_api.histograms import buckets
from odradek.node.http_api.sources import Health, Sources
from odradek.node.http_api.text import Rows, label
from odradek.node.runtime.metrics import TopicTraffic
from odradek.proto.kafka.api import ApiKey
from odradek.storage.durations import SUM

_MS: Final = 1_000_000
_S: Final = 1_000_000_000
_TRAFFIC: Final[tuple[tuple[str, str, Callable[[TopicTraffic], int]], ...]] = (
    ("bytesin", "Bytes of record batches produced here", lambda traffic: traffic.bytes_in),
    ("bytesout", "Bytes of record batches sent to consumers", lambda traffic: traffic.bytes_out),
    ("messagesin", "Records produced here", lambda traffic: traffic.messages_in),
)
_REPLICATION: Final[tuple[tuple[str, str, Callable[[TopicTraffic], int]], ...]] = (
    (
        "replicationbytesin",
        "Bytes of record batches fetched from leaders",
        lambda traffic: traffic.replication_bytes_in,
    ),
    (
        "replicationbytesout",
        "Bytes of record batches sent to followers",
        lambda traffic: traffic.replication_bytes_out,
    ),
)


class NodeFamilies:
    """`collect` makes each family when it is its turn."""

    def __init__(self, sources: Sources, health: Health) -> None:
        self._sources = sources
        self._health = health
        # Not registered anywhere: the node has no registry, and two nodes may live in one process.
        self._process = ProcessCollector(registry=None)
        self._platform = PlatformCollector(registry=None)

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily(
            "odradek_node",
            "This node and its release",
            value={"node_id": str(self._sources.node_id), "version": self._sources.version},
        )
        yield GaugeMetricFamily(
            "odradek_node_ready", "1 if the node serves clients", value=int(not self._health.ready())
        )
        yield from self._requests()
        yield from self._isr()
        yield from self._listeners()
        yield from self._log_dirs()
        yield from self._raft()
        yield from self._runtime()
        yield from self._process.collect()
        yield from self._platform.collect()

    def traffic(self) -> Iterator[Rows]:
        """By topic, and without the label for the node as a whole, as Kafka has both in one family."""
        traffic = self._sources.replicas.traffic
        total = traffic.total()
        topics = [(label("topic", topic), counters) for topic, counters in traffic.topics.items()]
        for name, documentation, read in _TRAFFIC:
            rows = Rows(_traffic_family(name, documentation))
            rows.add("", read(total))
            for labels, counters in topics:
                rows.add(labels, read(counters))
            yield rows
        for name, documentation, read in _REPLICATION:
            rows = Rows(_traffic_family(name, documentation))
            rows.add("", read(total))
            yield rows

    def request_times(self) -> Rows:
        rows = Rows(
            HistogramMetricFamily(
                "kafka_network_requestmetrics_totaltimems",
                "Time from the arrival of a request to its answer, waits included, in milliseconds",
            )
        )
        for key, durations in sorted(self._sources.request_durations.items()):
            found, total = buckets(durations, _MS)
            if found[-1][1]:
                rows.add_histogram(label("request", request_name(key)), found, total)
        return rows

    def _requests(self) -> Iterator[Metric]:
        counts = CounterMetricFamily(
            "kafka_network_requestmetrics_requests", "Requests answered", labels=("request",)
        )
        answered: dict[int, int] = {}
        for key, durations in sorted(self._sources.request_durations.items()):
            answered[key] = sum(durations[:SUM])
            counts.add_metric((request_name(key),), answered[key])
        yield counts
        for key, name in ((ApiKey.PRODUCE, "produce"), (ApiKey.FETCH, "fetch")):
            yield CounterMetricFamily(
                f"kafka_server_brokertopicmetrics_total{name}requests",
                f"{request_name(key)} requests answered",
                value=answered.get(key, 0),
            )

    def _isr(self) -> Iterator[Metric]:
        replicas = self._sources.replicas
        prefix = "kafka_server_replicamanager_isr"
        yield CounterMetricFamily(
            prefix + "expands", "Times that replicas joined an ISR led here", value=replicas.isr_expands
        )
        yield CounterMetricFamily(
            prefix + "shrinks", "Times that replicas left an ISR led here", value=replicas.isr_shrinks
        )

    def _listeners(self) -> Iterator[Metric]:
        listeners = list(self._sources.listeners())
        names = ("listener",)
        prefix = "odradek_listener_"
        connections = GaugeMetricFamily(prefix + "connections", "Open connections", labels=names)
        accepted = CounterMetricFamily(prefix + "accepted_connections", "Connections taken", labels=names)
        refused = CounterMetricFamily(
            prefix + "refused_connections", "Connections refused by a limit", labels=names
        )
        received = CounterMetricFamily(prefix + "received_bytes", "Bytes read from clients", labels=names)
        sent = CounterMetricFamily(prefix + "sent_bytes", "Bytes written to clients", labels=names)
        for listener in listeners:
            labels = (listener.name,)
            connections.add_metric(labels, listener.connection_count)
            accepted.add_metric(labels, listener.accepted)
            refused.add_metric(labels, listener.refused)
            received.add_metric(labels, listener.bytes_in)
            sent.add_metric(labels, listener.bytes_out)
        yield from (connections, accepted, refused, received, sent)

    def _log_dirs(self) -> Iterator[Metric]:
        names = ("directory",)
        online = GaugeMetricFamily(
            "odradek_log_directory_online", "1 unless a log directory failed", labels=names
        )
        files = CounterMetricFamily("odradek_fsync_files", "Files and directories synced", labels=names)
        times = HistogramMetricFamily(
            "odradek_fsync_seconds", "Time of one group commit of a log directory", labels=names
        )
        for home in self._sources.log_dirs.dirs:
            labels = (home.path,)
            online.add_metric(labels, int(home.error is None))
            files.add_metric(labels, home.flusher.synced_targets)
            times.add_metric(labels, *buckets(home.flusher.durations, _S))
        yield from (online, files, times)

    def _raft(self) -> Iterator[Metric]:
        names, prefix = ("group",), "odradek_raft_"
        leads = GaugeMetricFamily(prefix + "is_leader", "1 if this node leads a group", labels=names)
        leader = GaugeMetricFamily(
            prefix + "leader", "Node id of the leader of a group, -1 for none known", labels=names
        )
        term = GaugeMetricFamily(prefix + "term", "Term of a group", labels=names)
        last = GaugeMetricFamily(prefix + "last_index", "Last entry of this node's log", labels=names)
        commit = GaugeMetricFamily(prefix + "commit_index", "Last entry known to be committed", labels=names)
        applied = GaugeMetricFamily(prefix + "applied_index", "Last entry applied on this node", labels=names)
        match = GaugeMetricFamily(
            prefix + "match_index",
            "How far a member's log is durable and equal to the leader's, told by the leader",
            labels=("group", "node"),
        )
        for group in self._sources.raft_groups():
            status = group.status()
            labels = (str(group.group_id),)
            leads.add_metric(labels, int(group.is_leader))
            leader.add_metric(labels, -1 if status.leader_id is None else status.leader_id)
            term.add_metric(labels, status.term)
            last.add_metric(labels, status.last_index)
            commit.add_metric(labels, status.commit_index)
            applied.add_metric(labels, status.applied_index)
            for member in status.members:
                match.add_metric((*labels, str(member.node_id)), member.match_index)
        yield from (leads, leader, term, last, commit, applied, match)
        times = HistogramMetricFamily(
            prefix + "fsync_seconds", "Time of one group commit of consensus", labels=("file",)
        )
        for name, durations in self._sources.raft.sync_durations.items():
            times.add_metric((name,), *buckets(durations, _S))
        yield times

    def _runtime(self) -> Iterator[Metric]:
        lag = HistogramMetricFamily(
            "odradek_event_loop_lag_seconds", "How late the event loop ran a timer that was due"
        )
        lag.add_metric((), *buckets(self._sources.loop_lag.durations, _S))
        yield lag
        pauses = HistogramMetricFamily(
            "odradek_gc_pause_seconds", "Time of one garbage collection", labels=("generation",)
        )
        for generation, durations in enumerate(self._sources.gc_pauses.durations):
            pauses.add_metric((str(generation),), *buckets(durations, _S))
        yield pauses


def request_name(key: int) -> str:
    """As Kafka names requests in its metrics: `OffsetForLeaderEpoch`."""
    return "".join(part.capitalize() for part in ApiKey(key).name.split("_"))


def _traffic_family(name: str, documentation: str) -> Metric:
    return CounterMetricFamily(f"kafka_server_brokertopicmetrics_{name}", documentation)
