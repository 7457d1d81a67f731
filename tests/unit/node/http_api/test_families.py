"""The small families: values where they belong, names that tools know."""

from __future__ import annotations

from tests.unit.node.http_api.fakes import FakeHealth, FakeNode, Series, fake_node, names, series, value

from odradek.node.http_api.families import NodeFamilies, request_name
from odradek.node.http_api.text import Writer
from odradek.proto.kafka.api import ApiKey
from odradek.storage.durations import SUM, Durations


def told(node: FakeNode, health: FakeHealth | None = None) -> Series:
    families = NodeFamilies(node.sources, health or FakeHealth())
    writer = Writer("")
    for metric in families.collect():
        writer.write(metric)
    writer.write_rows(families.request_times())
    for rows in families.traffic():
        writer.write_rows(rows)
    return series(b"".join(writer.end()).decode())


def count(durations: Durations, *elapsed_ns: int) -> None:
    for ns in elapsed_ns:
        durations[ns.bit_length()] += 1
        durations[SUM] += ns


def test_requests_are_told_by_api() -> None:
    with fake_node() as node:
        count(node.request_durations[ApiKey.PRODUCE], 100_000, 3_000_000)
        found = told(node)
    prefix = "kafka_network_requestmetrics_"
    assert value(found, prefix + "requests_total", request="Produce") == 2
    assert value(found, prefix + "requests_total", request="Fetch") == 0
    assert value(found, prefix + "totaltimems_count", request="Produce") == 2
    assert value(found, prefix + "totaltimems_sum", request="Produce") == 3.1
    assert value(found, prefix + "totaltimems_bucket", request="Produce", le="0.131072") == 1
    assert value(found, prefix + "totaltimems_bucket", request="Produce", le="4.1943") == 2
    assert (prefix + "totaltimems_count", frozenset({("request", "Fetch")})) not in found, (
        "it took no time yet"
    )
    assert value(found, "kafka_server_brokertopicmetrics_totalproducerequests_total") == 2
    assert value(found, "kafka_server_brokertopicmetrics_totalfetchrequests_total") == 0


def test_requests_are_named_as_kafka_names_them() -> None:
    assert request_name(ApiKey.OFFSET_FOR_LEADER_EPOCH) == "OffsetForLeaderEpoch"
    assert request_name(ApiKey.API_VERSIONS) == "ApiVersions"


def test_traffic_is_told_by_topic_and_in_all() -> None:
    with fake_node() as node:
        node.traffic.of("a").bytes_in = 10
        node.traffic.of("b").bytes_in = 5
        node.traffic.of("b").messages_in = 2
        node.traffic.of("b").replication_bytes_in = 3
        node.traffic.forget("a")
        found = told(node)
    prefix = "kafka_server_brokertopicmetrics_"
    assert value(found, prefix + "bytesin_total") == 15
    assert value(found, prefix + "bytesin_total", topic="b") == 5
    assert value(found, prefix + "messagesin_total", topic="b") == 2
    assert value(found, prefix + "bytesout_total") == 0
    assert value(found, prefix + "replicationbytesin_total") == 3
    assert not [labels for _, labels in found if dict(labels).get("topic") == "a"]


def test_changes_of_isrs() -> None:
    with fake_node() as node:
        node.replicas.isr_expands, node.replicas.isr_shrinks = 3, 4
        found = told(node)
    assert value(found, "kafka_server_replicamanager_isrexpands_total") == 3
    assert value(found, "kafka_server_replicamanager_isrshrinks_total") == 4


def test_listeners_and_log_directories() -> None:
    with fake_node() as node:
        listener = node.listeners[0]
        listener.connection_count, listener.accepted, listener.refused = 3, 9, 1
        listener.bytes_in, listener.bytes_out = 100, 200
        node.log_dirs.dirs[0].flusher.synced_targets = 6
        count(node.log_dirs.dirs[0].flusher.durations, 1_000_000)
        node.log_dirs.dirs[0].error = OSError("gone")
        found = told(node)
    assert value(found, "odradek_listener_connections", listener="PLAINTEXT") == 3
    assert value(found, "odradek_listener_accepted_connections_total", listener="PLAINTEXT") == 9
    assert value(found, "odradek_listener_refused_connections_total", listener="PLAINTEXT") == 1
    assert value(found, "odradek_listener_received_bytes_total", listener="PLAINTEXT") == 100
    assert value(found, "odradek_listener_sent_bytes_total", listener="PLAINTEXT") == 200
    assert value(found, "odradek_fsync_files_total", directory="/data") == 6
    assert value(found, "odradek_fsync_seconds_sum", directory="/data") == 0.001
    assert value(found, "odradek_log_directory_online", directory="/data") == 0


def test_consensus() -> None:
    with fake_node() as node:
        count(node.raft.sync_durations["raft-wal"], 1_000_000)
        found = told(node)
    assert value(found, "odradek_raft_is_leader", group="0") == 1
    assert value(found, "odradek_raft_leader", group="0") == 1
    assert value(found, "odradek_raft_leader", group="1") == -1
    assert value(found, "odradek_raft_term", group="0") == 3
    assert value(found, "odradek_raft_applied_index", group="0") == 17
    assert value(found, "odradek_raft_commit_index", group="0") == 18
    assert value(found, "odradek_raft_last_index", group="0") == 19
    assert value(found, "odradek_raft_match_index", group="0", node="2") == 18
    assert value(found, "odradek_raft_fsync_seconds_count", file="raft-wal") == 1


def test_the_node_itself() -> None:
    with fake_node() as node:
        count(node.sources.loop_lag.durations, 2_000_000)
        count(node.sources.gc_pauses.durations[2], 7_000_000)
        found = told(node)
        fenced = told(node, FakeHealth(ready_problems=["fenced"]))
    assert value(found, "odradek_node_info", node_id="1", version="1.2.3") == 1
    assert value(found, "odradek_node_ready") == 1
    assert value(fenced, "odradek_node_ready") == 0
    assert value(found, "odradek_event_loop_lag_seconds_count") == 1
    assert value(found, "odradek_gc_pause_seconds_count", generation="2") == 1
    assert {"process_cpu_seconds_total", "process_resident_memory_bytes", "python_info"} <= names(found)
