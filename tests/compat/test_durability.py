"""kill -9, SIGTERM and damaged tails: what was acknowledged is there afterwards, once."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, TopicCollection, TopicPartition
from tests.compat import confluent, wire
from tests.compat.conftest import create_topic, on_kafka
from tests.compat.load import PARTITIONS, Load
from tests.compat.servers import Server


def read_all(server: Server, topic: str, partition: int) -> dict[int, bytes]:
    """Offset -> value of everything in a partition."""
    with server.connect() as connection:
        (end,) = wire.list_offsets(connection, {topic: [partition]})
    consumer = confluent.consumer(server, f"auditor-{topic}-{partition}")
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])
    messages = confluent.poll(consumer, end.offset)
    consumer.close()
    assert len(messages) == end.offset
    return {int(message.offset() or 0): bytes(message.value() or b"") for message in messages}


def await_leaders(server: Server, topic: str, partitions: int = PARTITIONS) -> None:
    deadline = time.monotonic() + 20
    with server.connect() as connection:
        while any(found.error for found in wire.list_offsets(connection, {topic: range(partitions)})):
            assert time.monotonic() < deadline, f"{topic} has no leader after the restart"
            time.sleep(0.01)


def crash_under_load(server: Server, load: Load, times: int) -> None:
    for number in range(times):
        load.reach(4000 * (number + 1))
        server.kill()
        server.start()


def test_kill_under_load_loses_nothing_acknowledged(own_node: Server) -> None:
    topic = create_topic(own_node, PARTITIONS)
    load = Load(own_node, topic, acks="all", message_timeout_ms=20_000)
    crash_under_load(own_node, load, 3)
    load.reach(16_000)
    load.finish()
    own_node.kill()
    own_node.start()
    await_leaders(own_node, topic)
    stored = [read_all(own_node, topic, partition) for partition in range(PARTITIONS)]
    lost = {
        number: place
        for number, place in load.acknowledged.items()
        if stored[place[0]].get(place[1]) != str(number).encode()
    }
    assert not lost, f"{len(lost)} of {len(load.acknowledged)} acknowledged records lost: {min(lost.items())}"


def test_idempotent_producer_over_kills_writes_each_record_once_and_in_order(own_node: Server) -> None:
    topic = create_topic(own_node, PARTITIONS)
    load = Load(own_node, topic, enable_idempotence=True, message_timeout_ms=60_000)
    crash_under_load(own_node, load, 3)
    load.reach(16_000)
    load.finish()
    assert not load.failed, f"{len(load.failed)} failed: {min(load.failed.items())}"
    for partition in range(PARTITIONS):
        stored = read_all(own_node, topic, partition)
        numbers = [int(stored[offset]) for offset in sorted(stored)]
        assert numbers == list(range(partition, load.sent, PARTITIONS))


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_groups_offsets_topics_and_configs_outlive_the_process(own_node: Server, how: str) -> None:
    topic = create_topic(own_node, PARTITIONS)
    gone = create_topic(own_node, 1)
    admin = confluent.admin(own_node)
    admin.delete_topics([gone])[gone].result(10)
    put = confluent.api.ConfigEntry(
        "retention.ms", "86400001", incremental_operation=confluent.api.AlterConfigOpType.SET
    )
    resource = confluent.api.ConfigResource(
        confluent.api.ResourceType.TOPIC, topic, incremental_configs=[put]
    )
    admin.incremental_alter_configs([resource])[resource].result(10)
    confluent.send(own_node, topic, [str(number).encode() for number in range(10)])
    member = confluent.consumer(own_node, "group", group_instance_id="static", session_timeout_ms=30_000)
    member.subscribe([topic])
    assert len(confluent.poll(member, 10)) == 10
    member.commit(
        offsets=[TopicPartition(topic, 0, 6), TopicPartition(topic, 1, 0, metadata="note")],
        asynchronous=False,
    )
    simple = confluent.consumer(own_node, "simple")
    simple.commit(offsets=[TopicPartition(topic, 2, 44)], asynchronous=False)
    simple.close()
    ids = {name: found.topic_id for name, found in describe_topics(own_node, topic).items()}

    if how == "kill":
        own_node.kill()
    else:
        assert own_node.stop() == (143 if on_kafka() else 0)
    own_node.start()
    await_leaders(own_node, topic)

    found = member.committed([TopicPartition(topic, index) for index in range(2)], timeout=20)
    assert [(part.offset, part.metadata) for part in found] == [(6, None), (0, "note")]
    confluent.poll_until([member], lambda: len(member.assignment()) == PARTITIONS)
    member.close()
    heir = confluent.consumer(own_node, "group", group_instance_id="static")
    heir.subscribe([topic])
    assert [message.value() for message in confluent.poll(heir, 4)] == [b"6", b"7", b"8", b"9"]
    heir.close()
    simple = confluent.consumer(own_node, "simple")
    assert simple.committed([TopicPartition(topic, 2)], timeout=20)[0].offset == 44
    simple.close()
    after = describe_topics(own_node, topic)
    assert {name: str(found.topic_id) for name, found in after.items()} == {
        name: str(topic_id) for name, topic_id in ids.items()
    }
    admin = confluent.admin(own_node)
    assert gone not in admin.list_topics(timeout=10).topics
    resource = confluent.api.ConfigResource(confluent.api.ResourceType.TOPIC, topic)
    assert admin.describe_configs([resource])[resource].result(10)["retention.ms"].value == "86400001"


def describe_topics(server: Server, topic: str) -> dict[str, Any]:
    admin = confluent.admin(server)
    return {topic: admin.describe_topics(TopicCollection([topic]))[topic].result(10)}


def test_stop_does_not_wait_for_parked_fetches(own_node: Server) -> None:
    topic = create_topic(own_node)
    with own_node.connect() as connection:
        body = wire.fetch_body(topic, 0, 0, max_wait_ms=60_000)
        connection.send(wire.request(wire.FETCH, 4, 1, body))
        started = time.monotonic()
        own_node.stop(50)
        assert time.monotonic() - started < 30


def test_a_second_term_ends_at_once(own_node: Server) -> None:
    assert own_node.process is not None
    own_node.process.terminate()
    own_node.process.terminate()
    own_node.process.wait(20)


def segment_of(server: Server, topic: str) -> Path:
    (segment,) = server.folder.rglob(f"{topic}-0/00000000000000000000.log")
    return segment


@pytest.mark.parametrize("tail", ["cut", "noise", "zeros"])
def test_a_torn_tail_is_cut_back_to_the_last_whole_batch(own_node: Server, tail: str) -> None:
    topic = create_topic(own_node)
    with own_node.connect() as connection:
        for number in range(5):
            wire.produce(connection, {topic: [0]}, wire.record_batch([str(number).encode() * 100]))
    own_node.kill()
    segment = segment_of(own_node, topic)
    size = segment.stat().st_size
    with segment.open("r+b") as file:
        if tail == "cut":
            file.truncate(size - 10)
        else:
            file.seek(size)
            file.write(b"\0" * 5000 if tail == "zeros" else bytes(range(1, 200)))
    own_node.start()
    await_leaders(own_node, topic, 1)
    kept = 4 if tail == "cut" else 5
    stored = read_all(own_node, topic, 0)
    assert stored == {number: str(number).encode() * 100 for number in range(kept)}
    assert confluent.send(own_node, topic, [b"next"]) == [kept]


@pytest.mark.skipif(on_kafka(), reason="the command line is Odradek's")
def test_a_second_process_on_the_folder_is_refused(own_node: Server) -> None:
    command = own_node.flavour.command(own_node.folder, 0, {})
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode != 0
    assert done.stdout + done.stderr
    with own_node.connect() as connection:
        assert wire.metadata(connection, [])[0]
