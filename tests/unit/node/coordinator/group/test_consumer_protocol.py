"""Subscriptions and assignments, against kafka-python's encoding; bytes that are none are refused."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.protocol.consumer.metadata import ConsumerProtocolAssignment, ConsumerProtocolSubscription

from odradek.node.coordinator.group.consumer_protocol import (
    MalformedAssignmentError,
    decode_assignment,
    encode_assignment,
    encode_subscription,
)
from odradek.node.coordinator.group.subscription import subscribed_topics

topics = st.sets(st.text(min_size=1, max_size=20), max_size=5)
assignments = st.dictionaries(
    st.text(min_size=1, max_size=20), st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=5), max_size=4
)


@given(topics)
def test_subscriptions_are_read_by_kafka_python_and_by_the_coordinator(names: set[str]) -> None:
    data = encode_subscription(names)
    assert set(ConsumerProtocolSubscription.decode(data).topics) == names
    assert subscribed_topics(data) == frozenset(names)


@given(assignments)
def test_assignments_go_both_ways(assignment: dict[str, list[int]]) -> None:
    data = encode_assignment(assignment)
    theirs = ConsumerProtocolAssignment.decode(data)
    assert {one[0]: list(one[1]) for one in theirs.assigned_partitions} == assignment
    assert decode_assignment(data) == assignment


def test_by_hand() -> None:
    assert encode_subscription(["b", "a", "b"]) == bytes.fromhex("0000 00000002 0001 61 0001 62 ffffffff")
    data = bytes.fromhex("0003 00000001 0001 61 00000002 00000001 00000004") + b"what later versions append"
    assert decode_assignment(data) == {"a": [1, 4]}
    assert decode_assignment(b"") == {}


@given(st.binary(max_size=80))
def test_any_bytes_are_an_assignment_or_refused(data: bytes) -> None:
    with contextlib.suppress(MalformedAssignmentError):
        decode_assignment(data)


@given(assignments, st.data())
def test_what_is_cut_short_is_refused(assignment: dict[str, list[int]], data: st.DataObject) -> None:
    whole = encode_assignment(assignment)
    cut = data.draw(st.integers(1, len(whole) - 5))  # the last four are user data, which nobody reads
    with pytest.raises(MalformedAssignmentError):
        decode_assignment(whole[:cut])


@pytest.mark.parametrize("count", [2**31 - 1, 1000])
def test_counts_that_lie_allocate_nothing(count: int) -> None:
    with pytest.raises(MalformedAssignmentError):
        decode_assignment(struct.pack(">hihsi", 0, 1, 1, b"a", count))
    with pytest.raises(MalformedAssignmentError):
        decode_assignment(struct.pack(">hi", 0, count))
