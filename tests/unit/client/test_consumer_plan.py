from __future__ import annotations

from typing import Any

import pytest

from odradek.client.consumer_plan import Plan
from odradek.client.records import Position, TopicPartition
from odradek.v1 import record_service_pb2 as pb

TP = TopicPartition("t", 0)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"topics": ("t",), "topic_pattern": "t"},
        {"topics": ("t",), "partitions": {TP: None}},
        {"topics": "t"},
        {"topics": ("t",), "offset_reset": "newest"},
        {"topics": ("t",), "credit": 0},
        {"partitions": {TP: -1}},
    ],
)
def test_what_is_not_clear_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Plan(**arguments)


def test_topics_in_a_group() -> None:
    plan = Plan(
        topics=("a", "b"),
        group_id="g",
        instance_id="i",
        offset_reset="latest",
        session_timeout_ms=7,
        credit=9,
    )
    request = plan.first_request({})
    assert request.credit == 9
    assert request.subscribe == pb.Subscribe(
        topics=["a", "b"],
        group_id="g",
        instance_id="i",
        offset_reset=pb.OFFSET_RESET_LATEST,
        session_timeout_ms=7,
    )
    assert plan.is_member
    assert plan.can_commit


def test_a_pattern_alone() -> None:
    plan = Plan(topic_pattern="t.*", instance_id="i")
    assert plan.first_request({}).subscribe == pb.Subscribe(
        topic_pattern="t.*", offset_reset=pb.OFFSET_RESET_EARLIEST
    )
    assert not plan.is_member
    assert not plan.can_commit


def test_partitions_and_where_they_begin() -> None:
    plan = Plan(
        partitions={TP: 5, TopicPartition("t", 1): Position.latest(), TopicPartition("t", 2): None},
        group_id="g",
    )
    assign = plan.first_request({}).assign
    assert [one.HasField("position") for one in assign.partitions] == [True, True, False]
    assert assign.partitions[0].position.offset == 5
    assert assign.group_id == "g"
    assert not plan.is_member
    assert plan.can_commit


def test_what_was_read_already_goes_before_where_it_began() -> None:
    plan = Plan(partitions={TP: 5})
    assert plan.first_request({TP: Position.at(8)}).assign.partitions[0].position.offset == 8


def test_some_topic_to_ask_for() -> None:
    assert Plan(topics=("a", "b")).some_topic == "a"
    assert Plan(partitions={TP: None}).some_topic == "t"
    assert Plan(topic_pattern=".*").some_topic
