"""kcat, franz-go and kafkajs against the node (make test-clients)."""

from __future__ import annotations

import json
import time

import pytest
from tests.compat import confluent, toolchains
from tests.compat.conftest import CreateTopic
from tests.compat.servers import Server

pytestmark = [pytest.mark.clients, pytest.mark.timeout(600)]


def kcat(node: Server, *arguments: str, stdin: str = "") -> str:
    program = toolchains.needed("kcat", "a Debian package of the same name")
    return toolchains.run([program, "-b", node.bootstrap, *arguments], stdin=stdin)


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_kcat_produces_and_consumes(node: Server, topic: CreateTopic, codec: str) -> None:
    name = topic()
    lines = [f"key{number}:value {number}" for number in range(100)]
    options = ["-H", "origin=kcat", "-z", codec, "-X", "acks=all"]
    kcat(node, "-P", "-t", name, "-K", ":", *options, stdin="\n".join(lines) + "\n")
    read = kcat(node, "-C", "-t", name, "-o", "beginning", "-e", "-q", "-f", "%k:%s %h %o\n").splitlines()
    assert read == [f"{line} origin=kcat {number}" for number, line in enumerate(lines)]


def test_kcat_consumes_through_a_group(node: Server, topic: CreateTopic) -> None:
    name = topic(3)
    kcat(node, "-P", "-t", name, stdin="".join(f"{number}\n" for number in range(30)))
    options = ["-X", "auto.offset.reset=earliest", "-X", "session.timeout.ms=6000"]
    read = kcat(node, "-G", f"kcat-{name}", *options, "-c", "30", "-q", name).splitlines()
    assert sorted(map(int, read)) == list(range(30))
    kcat(node, "-P", "-t", name, stdin="more\n")
    assert kcat(node, "-G", f"kcat-{name}", *options, "-c", "1", "-q", name).splitlines() == ["more"]


def test_kcat_lists_and_queries(node: Server, topic: CreateTopic) -> None:
    name = topic(2)
    listed = json.loads(kcat(node, "-L", "-J", "-t", name))
    assert [found["name"] for found in listed["brokers"]] == [node.bootstrap]
    (found,) = listed["topics"]
    assert [part["partition"] for part in found["partitions"]] == [0, 1]
    before = int(time.time() * 1000) - 60_000
    confluent.send(node, name, [b"a", b"b"])
    assert kcat(node, "-Q", "-t", f"{name}:0:{before}").strip() == f"{name} [0] offset 0"
    assert kcat(node, "-Q", "-t", f"{name}:0:-1").strip() == f"{name} [0] offset 2"


def test_kcat_creates_a_topic_by_producing(node: Server) -> None:
    name = f"kcat-{time.monotonic_ns()}"
    kcat(node, "-P", "-t", name, stdin="hello\n")
    assert kcat(node, "-C", "-t", name, "-e", "-q") == "hello\n"


def test_franz_go(node: Server) -> None:
    program = toolchains.franz_go()
    assert toolchains.run([str(program), node.bootstrap], timeout_s=120).splitlines()[-1] == "done"


def test_kafkajs(node: Server) -> None:
    folder = toolchains.kafkajs()
    output = toolchains.run(["node", "main.js", node.bootstrap], timeout_s=120, cwd=folder)
    assert output.splitlines()[-1] == "done"
