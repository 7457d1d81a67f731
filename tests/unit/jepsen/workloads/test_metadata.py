"""What is asked of topics."""

from __future__ import annotations

from collections import Counter
from random import Random

from odradek.jepsen.workloads.metadata import FIRST_VALUE, TOPICS, TopicOperations


def test_all_operations_come_at_all_nodes_and_for_all_topics() -> None:
    operations = TopicOperations(Random(1), 3, 5)
    told = [operations.next() for _ in range(2_000)]
    assert {operation.node for operation in told} == {1, 2, 3}
    assert {operation.value["topic"] for operation in told} == set(TOPICS)
    counts = Counter(operation.f for operation in told)
    assert set(counts) == {"topic-create", "topic-delete", "topic-config", "topic-describe"}
    assert min(counts.values()) > 150


def test_values_of_a_configuration_are_unique() -> None:
    operations = TopicOperations(Random(1), 3, 5)
    values = [
        operation.value["value"]
        for operation in (operations.next() for _ in range(1_000))
        if operation.f == "topic-config"
    ]
    assert values == list(range(FIRST_VALUE + 5, FIRST_VALUE + 5 + len(values)))


def test_a_look_names_its_node_and_how_it_looks() -> None:
    operations = TopicOperations(Random(1), 3, 5)
    looks = [op for op in (operations.next() for _ in range(500)) if op.f == "topic-describe"]
    assert {look.by for look in looks} == {"metadata", "configs"}
    assert all(look.value["node"] == look.node for look in looks)
    others = [op for op in (operations.next() for _ in range(500)) if op.f != "topic-describe"]
    assert all(op.by == "" and "node" not in op.value for op in others)
    assert all(op.value["partitions"] in (1, 2, 3) for op in others if op.f == "topic-create")


def test_the_same_seed_asks_the_same() -> None:
    first, second = TopicOperations(Random(4), 3, 0), TopicOperations(Random(4), 3, 0)
    assert [first.next() for _ in range(100)] == [second.next() for _ in range(100)]
