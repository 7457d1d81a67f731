"""What is measured: one function per scenario, run on a fresh server of either kind.

Decides: loads, order of the steps, what is warm. Does not decide: rounds, medians and tables (`run.py`,
`report.py`). A function gets a prepared server that is not running, starts it, and returns metric name ->
value (`report.METRICS`).
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.bench.tools import ToolFailed, Tools
from tests.compat import wire
from tests.compat.servers import HOST, Server

Values = dict[str, float]
TOPIC, PARTITIONS = "bench", 6
PRODUCER = {"acks": "all", "linger.ms": "10", "batch.size": "131072", "buffer.memory": "67108864"}
CREATE_TIMEOUT_S = 120.0
CREATE_AT_ONCE = 5000
MANY_TOPICS, MANY_EACH = 10, 1000
IDLE_CONNECTIONS = 5000
SETTLE_S = 3.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """A name for --only, what it does in words, and the function that does it."""

    name: str
    words: str
    run: Callable[[Server, Tools], Values]
    properties: Mapping[str, str] = field(default_factory=dict)


def create(server: Server, topics: dict[str, int]) -> float:
    """Create topics and wait until every partition answers; the seconds that the requests alone took.

    At most 5,000 partitions in a request: Kafka's controller refuses a change of more than 10,000 records.
    """
    with server.connect(timeout=CREATE_TIMEOUT_S) as connection:
        started = time.monotonic()
        outcome: dict[str | None, tuple[int, str | None]] = {}
        part: dict[str, int] = {}
        for name, count in topics.items():
            if sum(part.values()) + count > CREATE_AT_ONCE:
                outcome |= wire.create_topics(connection, part)
                part = {}
            part[name] = count
        outcome |= wire.create_topics(connection, part)
        took = time.monotonic() - started
    failed = {name: error for name, error in outcome.items() if error[0]}
    if failed:
        raise ToolFailed(f"CreateTopics answered {failed}")
    await_offsets(server, topics)
    return took


def await_offsets(server: Server, topics: Mapping[str, int], end_offset: int | None = None) -> None:
    """Wait until ListOffsets answers every partition without error (and with this end offset)."""
    deadline = time.monotonic() + CREATE_TIMEOUT_S
    wanted = {(topic, index) for topic, count in topics.items() for index in range(count)}
    with server.connect(timeout=CREATE_TIMEOUT_S) as connection:
        while wanted and time.monotonic() < deadline:
            asked: dict[str, list[int]] = {}
            for topic, index in sorted(wanted):
                asked.setdefault(topic, []).append(index)
            for found in wire.list_offsets(connection, dict(asked)):
                if found.error == 0 and (end_offset is None or found.offset == end_offset):
                    wanted.discard((str(found.topic), found.partition))
            if wanted:
                time.sleep(0.02)
    if wanted:
        raise ToolFailed(f"{len(wanted)} partitions without leader or offset, such as {min(wanted)}")


def bulk(size: int, records: int, label: str) -> Callable[[Server, Tools], Values]:
    """Fill a topic at full speed, then read it through a group; each once to warm up and once measured."""

    def run(server: Server, tools: Tools) -> Values:
        server.start()
        create(server, {TOPIC: PARTITIONS})
        tools.produce(server, TOPIC, records // 4, size, PRODUCER)
        gigabytes = records * size / 1e9
        before = server.cpu_seconds()
        produced = tools.produce(server, TOPIC, records, size, PRODUCER)
        produce_cpu = (server.cpu_seconds() - before) / gigabytes
        tools.consume(server, TOPIC, records // 4)
        before = server.cpu_seconds()
        consumed = tools.consume(server, TOPIC, records)
        consume_cpu = (server.cpu_seconds() - before) / gigabytes
        return {
            f"produce_{label}": produced,
            f"produce_{label}_cpu": produce_cpu,
            f"consume_{label}": consumed,
            f"consume_{label}_cpu": consume_cpu,
        }

    return run


def small_requests(server: Server, tools: Tools) -> Values:
    """Produce requests of one record of 100 B over 20 and 50 connections, to 6 partitions and to one."""
    server.start()
    create(server, {TOPIC: PARTITIONS, "single": 1})
    values: Values = {}
    for topic, partitions, label in ((TOPIC, PARTITIONS, "requests"), ("single", 1, "requests_single")):
        for connections in (20, 50):
            found = tools.requests(server, topic, partitions, connections)
            values[f"{label}_{connections}"] = found["requests_per_s"]
            values[f"{label}_{connections}_p50"] = found["p50"]
            values[f"{label}_{connections}_p99"] = found["p99"]
            values[f"{label}_{connections}_p999"] = found["p99.9"]
    return values


def latency(server: Server, tools: Tools) -> Values:
    """End to end at 1,000 and 5,000 records a second, and with Kafka's own tool one record at a time."""
    server.start()
    create(server, {TOPIC: 1, "tool": 1})
    values: Values = {}
    for rate in (1000, 5000):
        with server.connect() as connection:
            (end,) = wire.list_offsets(connection, {TOPIC: [0]})
        found = tools.latency(server, TOPIC, end.offset, rate)
        for name in ("mean", "p50", "p99", "p99.9"):
            values[f"e2e_{rate}_{name.replace('.', '')}"] = found["end_to_end_ms"][name]
        values[f"ack_{rate}_p99"] = found["ack_ms"]["p99"]
    tool = tools.end_to_end(server, "tool", 5000)
    return values | {"e2e_tool_mean": tool["mean"], "e2e_tool_p99": tool["p99"]}


def start(server: Server, tools: Tools) -> Values:
    """An empty folder: spawn to the first Metadata answer; memory when idle; then the same folder again."""
    first = server.start()
    time.sleep(SETTLE_S)
    idle = server.resident_bytes() / 1e6
    server.stop(60)
    return {"start": first, "restart": server.start(), "idle_memory": idle}


def many_partitions(server: Server, tools: Tools) -> Values:
    """10,000 partitions: create, write a record to each, kill -9, serve all of them again."""
    server.start()
    time.sleep(SETTLE_S)
    idle = server.resident_bytes()
    topics = {f"many-{number}": MANY_EACH for number in range(MANY_TOPICS)}
    total = MANY_TOPICS * MANY_EACH
    began = time.monotonic()
    created = create(server, topics)
    ready = time.monotonic() - began
    empty = server.resident_bytes()
    began = time.monotonic()
    _write_each(server, topics)
    wrote = time.monotonic() - began
    written = server.resident_bytes()
    server.kill()
    began = time.monotonic()
    server.start(timeout_s=CREATE_TIMEOUT_S)
    await_offsets(server, topics, end_offset=1)
    _read_some(server, topics)
    recovered = time.monotonic() - began
    return {
        "partitions_create": created,
        "partitions_ready": ready,
        "partitions_write": wrote,
        "partitions_recover": recovered,
        "partitions_memory_empty": (empty - idle) / total / 1024,
        "partitions_memory": (written - idle) / total / 1024,
    }


def _write_each(server: Server, topics: Mapping[str, int]) -> None:
    batch = wire.record_batch([b"x" * 100])
    with server.connect(timeout=CREATE_TIMEOUT_S) as connection:
        for topic, count in topics.items():
            for low in range(0, count, 250):
                indexes = range(low, min(low + 250, count))
                failed = [found for found in wire.produce(connection, {topic: indexes}, batch) if found.error]
                if failed:
                    raise ToolFailed(f"produce answered {failed[0]}")


def _read_some(server: Server, topics: Mapping[str, int]) -> None:
    with server.connect(timeout=CREATE_TIMEOUT_S) as connection:
        for topic, count in topics.items():
            for index in (0, count // 2, count - 1):
                error, _, records = wire.fetch(connection, topic, index, 0)
                if error or b"x" * 100 not in records:
                    raise ToolFailed(f"fetch of {topic}-{index} answered error {error}, {len(records)} bytes")


def idle_connections(server: Server, tools: Tools) -> Values:
    """5,000 connections that each asked for ApiVersions and Metadata once: how much resident memory grew."""
    server.start()
    time.sleep(SETTLE_S)
    before = server.resident_bytes()
    ask = wire.request(wire.API_VERSIONS, 0, 1, b"") + wire.request(wire.METADATA, 1, 2, wire.array([]))
    connections: list[wire.Connection] = []
    try:
        for _ in range(IDLE_CONNECTIONS):
            connection = wire.Connection(HOST, server.port)
            connections.append(connection)
            connection.send(ask)
            connection.receive()
            connection.receive()
        time.sleep(SETTLE_S)
        grown = server.resident_bytes() - before
        assert all(connection.socket.fileno() >= 0 for connection in connections)
    finally:
        for connection in connections:
            connection.close()
    with socket.create_connection((HOST, server.port), timeout=10):
        return {"connections_memory": grown / 1e6}


SCENARIOS = (
    Scenario("produce-100", "produce and consume 100 B records", bulk(100, 8_000_000, "100")),
    Scenario("produce-1k", "produce and consume 1 KiB records", bulk(1024, 1_500_000, "1k")),
    Scenario("requests", "one-record requests over 20 and 50 connections", small_requests),
    Scenario("latency", "end to end latency", latency),
    Scenario("start", "start, restart, idle memory", start),
    Scenario("partitions", "10,000 partitions", many_partitions),
    Scenario("connections", "5,000 idle connections", idle_connections),
)
