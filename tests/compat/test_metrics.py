"""Metrics of a real node that real clients have used, as the tools for Prometheus see them."""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.compat import confluent
from tests.compat.places import CACHE
from tests.compat.servers import HOST, Odradek, Server, free_port
from tests.compat.toolchains import run


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Both formats, from a node that has topics, records, a group with lag, and a topic that is gone."""
    port = free_port()
    folder = tmp_path_factory.mktemp("metrics")
    with Server(Odradek(), folder, {"odradek.http.listener": f"{HOST}:{port}"}) as server:
        server.start()
        confluent.send(server, "orders", [b"x" * 100] * 50)
        consumer = confluent.consumer(server, "readers")
        consumer.subscribe(["orders"])
        messages = confluent.poll(consumer, 20)
        consumer.commit(message=messages[-1], asynchronous=False)
        confluent.send(server, "gone", [b"y"])
        admin = confluent.admin(server)
        for future in admin.delete_topics(["gone"]).values():
            future.result(30)
        yield {
            "text": get(port, "text/plain;version=0.0.4"),
            "openmetrics": get(port, "application/openmetrics-text;version=1.0.0"),
        }
        consumer.close()


def get(port: int, accept: str) -> str:
    connection = http.client.HTTPConnection(HOST, port, timeout=30)
    connection.request("GET", "/metrics", headers={"accept": accept})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    assert answer.status == 200, text
    return text


def samples(text: str) -> dict[str, float]:
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return {name: float(number) for name, number in (line.rsplit(" ", 1) for line in lines)}


def test_the_numbers_are_those_of_what_clients_did(scraped: dict[str, str]) -> None:
    found = samples(scraped["text"])
    partition = 'partition="0",topic="orders"'
    assert found[f"kafka_topic_partition_current_offset{{{partition}}}"] == 50
    assert found[f"kafka_topic_partition_oldest_offset{{{partition}}}"] == 0
    assert found[f"kafka_log_size{{{partition}}}"] > 5000
    group = 'consumergroup="readers",topic="orders"'
    assert found[f'kafka_consumergroup_current_offset{{{group},partition="0"}}'] == 20
    assert found[f'kafka_consumergroup_lag{{{group},partition="0"}}'] == 30
    assert found[f"kafka_consumergroup_lag_sum{{{group}}}"] == 30
    assert found['kafka_consumergroup_members{consumergroup="readers"}'] == 1
    prefix = "kafka_server_brokertopicmetrics_"
    assert found[prefix + 'messagesin_total{topic="orders"}'] == 50
    assert found[prefix + "messagesin_total"] == 51, "what was deleted was produced all the same"
    assert found[prefix + 'bytesout_total{topic="orders"}'] >= 2000
    assert found['kafka_network_requestmetrics_requests_total{request="Produce"}'] >= 2
    assert not [name for name in found if "gone" in name]


def test_dashboards_find_their_names(scraped: dict[str, str]) -> None:
    """What Grafana's dashboard 7589 and those for the JMX exporter ask for."""
    names = {line.split()[2] for line in scraped["text"].splitlines() if line.startswith("# TYPE")}
    assert {
        "kafka_brokers",
        "kafka_broker_info",
        "kafka_topic_partitions",
        "kafka_topic_partition_current_offset",
        "kafka_topic_partition_oldest_offset",
        "kafka_topic_partition_in_sync_replica",
        "kafka_topic_partition_leader",
        "kafka_topic_partition_leader_is_preferred",
        "kafka_topic_partition_replicas",
        "kafka_topic_partition_under_replicated_partition",
        "kafka_consumergroup_current_offset",
        "kafka_consumergroup_current_offset_sum",
        "kafka_consumergroup_lag",
        "kafka_consumergroup_lag_sum",
        "kafka_consumergroup_members",
        "kafka_server_brokertopicmetrics_messagesin_total",
        "kafka_server_brokertopicmetrics_bytesin_total",
        "kafka_server_brokertopicmetrics_bytesout_total",
        "kafka_server_replicamanager_leadercount",
        "kafka_server_replicamanager_partitioncount",
        "kafka_server_replicamanager_underreplicatedpartitions",
        "kafka_server_replicamanager_underminisrpartitioncount",
        "kafka_server_replicamanager_offlinereplicacount",
        "kafka_server_replicamanager_isrshrinks_total",
        "kafka_server_replicamanager_isrexpands_total",
        "kafka_controller_kafkacontroller_activecontrollercount",
        "kafka_controller_kafkacontroller_offlinepartitionscount",
        "kafka_network_requestmetrics_requests_total",
        "kafka_network_requestmetrics_totaltimems",
    } <= names


@pytest.mark.clients
def test_promtool_has_nothing_to_complain_of(scraped: dict[str, str]) -> None:
    assert run([promtool(), "check", "metrics"], stdin=scraped["text"]) == ""


def promtool() -> str:
    """The program, taken out of Debian's package where it is not installed; skips the test otherwise."""
    found = shutil.which("promtool")
    if found is not None:
        return found
    cached = CACHE / "promtool"
    if not cached.exists():
        if shutil.which("apt-get") is None or os.geteuid() != 0:
            pytest.skip(
                "promtool is not on the PATH, and there is no Debian to get it from (package prometheus)"
            )
        with tempfile.TemporaryDirectory(prefix="odradek-promtool-") as folder:
            subprocess.run(["apt-get", "update", "-qq"], capture_output=True, timeout=300)
            command = "apt-get download -qq prometheus && dpkg-deb -x prometheus_*.deb out"
            done = subprocess.run(
                command, shell=True, cwd=folder, capture_output=True, text=True, timeout=300
            )
            program = Path(folder, "out/usr/bin/promtool")
            if not program.exists():
                pytest.skip(
                    f"promtool is not on the PATH, and Debian's package was not to be had: {done.stderr}"
                )
            CACHE.mkdir(parents=True, exist_ok=True)
            shutil.copy(program, cached.with_suffix(".part"))
            cached.with_suffix(".part").rename(cached)
    return str(cached)
