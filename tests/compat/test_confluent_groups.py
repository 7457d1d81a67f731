"""confluent-kafka (librdkafka): classic groups, their offsets, and what the admin client sees of them."""

from __future__ import annotations

import time
from typing import Any

import pytest
from confluent_kafka import (
    Consumer,
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from tests.compat import confluent
from tests.compat.conftest import CreateTopic
from tests.compat.servers import Server


def partitions(client: Consumer) -> set[int]:
    return {found.partition for found in client.assignment()}


def fill(node: Server, topic: str, count: int, each: int) -> set[bytes]:
    client = confluent.producer(node)
    values = {f"{index}-{number}".encode() for index in range(count) for number in range(each)}
    for value in values:
        client.produce(topic, value=value, partition=int(value.split(b"-")[0]))
    assert client.flush(10) == 0
    return values


@pytest.mark.parametrize("strategy", ["range", "roundrobin", "cooperative-sticky"])
def test_two_members_share_and_the_second_leaves(node: Server, topic: CreateTopic, strategy: str) -> None:
    name = topic(6)
    values = fill(node, name, 6, 20)
    group = f"group-{name}"
    first = confluent.consumer(node, group, partition_assignment_strategy=strategy)
    second = confluent.consumer(node, group, partition_assignment_strategy=strategy)
    first.subscribe([name])
    messages = confluent.poll(first, 120)
    assert {message.value() for message in messages} == values
    assert partitions(first) == set(range(6))
    first.commit(asynchronous=False)

    second.subscribe([name])
    confluent.poll_until([first, second], lambda: len(partitions(first)) == len(partitions(second)) == 3)
    assert partitions(first) | partitions(second) == set(range(6))
    fill(node, name, 6, 1)
    seen: list[bytes | str | None] = []
    deadline = time.monotonic() + 20
    while len(seen) < 6 and time.monotonic() < deadline:
        for client in (first, second):
            seen += [message.value() for message in client.consume(6, 0.1)]
    assert sorted(map(str, seen)) == [f"b'{index}-0'" for index in range(6)]

    second.close()
    confluent.poll_until([first], lambda: len(partitions(first)) == 6)
    first.close()


def test_commit_resume_and_committed(node: Server, topic: CreateTopic) -> None:
    name = topic()
    confluent.send(node, name, [str(number).encode() for number in range(10)])
    group = f"group-{name}"
    first = confluent.consumer(node, group)
    first.subscribe([name])
    messages = confluent.poll(first, 4)
    first.commit(message=messages[3], asynchronous=False)
    first.close()
    second = confluent.consumer(node, group)
    (committed,) = second.committed([TopicPartition(name, 0)], timeout=10)
    assert committed.offset == 4
    second.subscribe([name])
    assert [message.value() for message in confluent.poll(second, 6)] == [b"4", b"5", b"6", b"7", b"8", b"9"]
    second.commit(offsets=[TopicPartition(name, 0, 7, metadata="seven")], asynchronous=False)
    (committed,) = second.committed([TopicPartition(name, 0)], timeout=10)
    assert (committed.offset, committed.metadata) == (7, "seven")
    second.close()


def test_auto_commit_on_close(node: Server, topic: CreateTopic) -> None:
    name = topic()
    confluent.send(node, name, [b"a", b"b", b"c"])
    client = confluent.consumer(node, f"group-{name}", enable_auto_commit=True)
    client.subscribe([name])
    confluent.poll(client, 3)
    client.close()
    again = confluent.consumer(node, f"group-{name}")
    assert again.committed([TopicPartition(name, 0)], timeout=10)[0].offset == 3
    again.close()


def test_commit_without_membership(node: Server, topic: CreateTopic) -> None:
    """An assigned consumer commits with generation -1, into a group that nobody joined."""
    name = topic()
    client = confluent.consumer(node, f"simple-{name}")
    assert client.committed([TopicPartition(name, 0)], timeout=10)[0].offset == -1001
    client.commit(offsets=[TopicPartition(name, 0, 5)], asynchronous=False)
    assert client.committed([TopicPartition(name, 0)], timeout=10)[0].offset == 5
    client.close()


def test_static_member_returns_without_a_rebalance(node: Server, topic: CreateTopic) -> None:
    name = topic(4)
    group = f"static-{name}"
    rebalances: list[int] = []

    def member(instance: str) -> Consumer:
        return confluent.consumer(node, group, group_instance_id=instance, session_timeout_ms=20_000)

    first, second = member("one"), member("two")
    first.subscribe([name], on_assign=lambda client, found: rebalances.append(len(found)))
    second.subscribe([name])
    confluent.poll_until([first, second], lambda: len(partitions(first)) == len(partitions(second)) == 2)
    before, count = partitions(second), len(rebalances)
    second.close()
    returned = member("two")
    returned.subscribe([name])
    confluent.poll_until([first, returned], lambda: partitions(returned) == before)
    assert len(rebalances) == count
    described = describe(node, group)
    assert {found.group_instance_id for found in described.members} == {"one", "two"}
    first.close()
    returned.close()


def test_member_that_dies_is_replaced(node: Server, topic: CreateTopic) -> None:
    """The session of a member that stops polling its coordinator expires and its partitions move."""
    name = topic(2)
    group = f"dead-{name}"
    doomed = confluent.consumer(node, group, session_timeout_ms=1500, max_poll_interval_ms=1500)
    doomed.subscribe([name])
    confluent.poll_until([doomed], lambda: len(partitions(doomed)) == 2)
    heir = confluent.consumer(node, group)
    heir.subscribe([name])
    confluent.poll_until([heir], lambda: len(partitions(heir)) == 2)  # `doomed` is never polled again
    heir.close()
    doomed.close()


def test_subscription_by_pattern(node: Server, topic: CreateTopic) -> None:
    one, two = topic(), topic()
    client = confluent.consumer(node, f"pattern-{one}", topic_metadata_refresh_interval_ms=500)
    client.subscribe([f"^({one}|{two})$"])
    confluent.poll_until([client], lambda: len(client.assignment()) == 2)
    assert {found.topic for found in client.assignment()} == {one, two}
    client.close()


def describe(node: Server, group: str) -> Any:
    admin = confluent.admin(node)
    return admin.describe_consumer_groups([group])[group].result(10)


def test_list_describe_and_delete_groups(node: Server, topic: CreateTopic) -> None:
    name = topic()
    group = f"seen-{name}"
    client = confluent.consumer(node, group, client_id="a-client")
    client.subscribe([name])
    confluent.poll_until([client], lambda: len(client.assignment()) == 1)
    client.commit(offsets=[TopicPartition(name, 0, 0)], asynchronous=False)
    admin = confluent.admin(node)

    found = describe(node, group)
    assert (found.state, found.partition_assignor) == (ConsumerGroupState.STABLE, "range")
    (member,) = found.members
    assert member.client_id == "a-client"
    assert [(part.topic, part.partition) for part in member.assignment.topic_partitions] == [(name, 0)]
    listed = {entry.group_id: entry.state for entry in admin.list_consumer_groups().result(10).valid}
    assert listed[group] == ConsumerGroupState.STABLE

    with pytest.raises(KafkaException) as caught:
        admin.delete_consumer_groups([group])[group].result(10)
    assert caught.value.args[0].code() == KafkaError.NON_EMPTY_GROUP
    client.close()
    assert describe(node, group).state == ConsumerGroupState.EMPTY
    admin.delete_consumer_groups([group])[group].result(10)
    listed = {entry.group_id: entry.state for entry in admin.list_consumer_groups().result(10).valid}
    assert group not in listed
    with pytest.raises(KafkaException) as caught:
        admin.delete_consumer_groups([group])[group].result(10)
    assert caught.value.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND


def test_list_and_alter_group_offsets(node: Server, topic: CreateTopic) -> None:
    name = topic(3)
    group = f"altered-{name}"
    admin = confluent.admin(node)
    wanted = [TopicPartition(name, index, index + 10) for index in range(3)]
    request = ConsumerGroupTopicPartitions(group, wanted)
    admin.alter_consumer_group_offsets([request])[group].result(10)
    found = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result(10)
    assert {(part.partition, part.offset) for part in found.topic_partitions} == {(0, 10), (1, 11), (2, 12)}
    asked = ConsumerGroupTopicPartitions("never-seen", [TopicPartition(name, 0)])
    (part,) = admin.list_consumer_group_offsets([asked])["never-seen"].result(10).topic_partitions
    assert (part.offset, part.error) == (-1001, None)
