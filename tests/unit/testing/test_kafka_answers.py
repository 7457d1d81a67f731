"""Refused requests: every API that is served has an answer, and its error is wherever a client looks."""

from __future__ import annotations

from typing import Any

import pytest

from odradek.proto.kafka.api import APIS, request_class, response_class
from odradek.proto.kafka.codec import decode, encode_to_bytes
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.coordinator import FindCoordinatorRequest, FindCoordinatorResponse
from odradek.proto.kafka.messages.fetch import FetchRequest, FetchResponse
from odradek.proto.kafka.messages.offsets import (
    OffsetCommitRequest,
    OffsetDeleteRequest,
    OffsetDeleteResponse,
    OffsetFetchRequest,
    OffsetFetchResponse,
)
from odradek.proto.kafka.messages.produce import ProduceRequest, ProduceResponse
from odradek.proto.kafka.messages.topics import DeleteTopicsRequest, DeleteTopicsResponse
from odradek.proto.kafka.schema import Message, Struct, parse_versions
from odradek.testing.broker import Broker
from odradek.testing.kafka_answers import (
    ANSWERS,
    TOPICS,
    add,
    answer,
    only_topic,
    refused_by_controller,
    topics_of,
    without_topic,
)

ERROR = ErrorCode.NOT_LEADER_OR_FOLLOWER
KEYS = {api.name: key for key, api in APIS.items()}
IDS = {b"a" * 16: "orders", b"b" * 16: "clicks"}


def filled(cls: type[Struct], message: type[Message]) -> Any:
    """An instance with one element in every array."""
    values: dict[str, Any] = {}
    for field in cls.FIELDS:
        element = getattr(message, str(field.element), None)
        if field.kind == "array":
            values[field.name] = [filled(element, message) if element is not None else scalar(field.element)]
        elif field.kind == "string":
            values[field.name] = "name"
    return cls(**values)


def scalar(kind: Any) -> Any:
    return "name" if kind == "string" else bytes(16) if kind == "uuid" else 1


def error_codes(value: Any, version: int) -> list[int]:
    """Every error code that an answer has in a version, at any depth."""
    if isinstance(value, list):
        return [code for one in value for code in error_codes(one, version)]
    if not isinstance(value, Struct):
        return []
    found: list[int] = []
    for field in type(value).FIELDS:
        if version in parse_versions(field.versions):
            inner = getattr(value, field.name)
            found += [inner] if field.name == "error_code" else error_codes(inner, version)
    return found


async def test_everything_that_clients_are_served_can_be_refused_and_nothing_else() -> None:
    async with Broker(grpc=False) as broker:
        seam = broker._seam
        assert seam is not None
        served = {APIS[key].name for key, route in seam._routes.items() if not route.inter_broker}
    assert set(ANSWERS) == served


@pytest.mark.parametrize("api", sorted(set(ANSWERS) - {"Metadata"}))
def test_the_error_is_in_every_answer_in_all_versions(api: str) -> None:
    key = KEYS[api]
    request = filled(request_class(key), request_class(key))
    response = answer(api, request, ERROR, "why")
    versions = APIS[key]
    for version in range(versions.first, versions.last_stable + 1):
        cls = response_class(key)
        again = decode(cls, version, encode_to_bytes(response, version))
        found = error_codes(again, version)
        if api == "Fetch" and version >= 7:
            assert found.pop(0) == 0, "clients would look no further"
        # The first versions of DescribeLogDirs have no place for an error of the whole.
        assert found or (api == "DescribeLogDirs" and version <= 2), (version, again)
        assert all(code == ERROR for code in found), (version, again)


def test_what_the_controller_refuses_is_refused_as_it_does() -> None:
    assert {api for api in ANSWERS if ANSWERS[api].make is not None} >= set(refused_by_controller())


def produce(*names: str) -> ProduceRequest:
    part = ProduceRequest.PartitionProduceData
    return ProduceRequest(
        acks=-1,
        topic_data=[
            ProduceRequest.TopicProduceData(name=name, partition_data=[part(index=0), part(index=7)])
            for name in names
        ],
    )


def test_a_produce_is_refused_partition_by_partition() -> None:
    response = answer("Produce", produce("orders"), ERROR, "why")
    assert isinstance(response, ProduceResponse)
    (topic,) = response.responses
    assert topic.name == "orders"
    found = [
        (one.index, one.error_code, one.base_offset, one.error_message) for one in topic.partition_responses
    ]
    assert found == [(0, ERROR, -1, "why"), (7, ERROR, -1, "why")]


def test_a_fetch_is_refused_by_partition_or_as_a_whole_where_its_session_is_meant() -> None:
    partition = FetchRequest.FetchPartition(partition=3)
    request = FetchRequest(topics=[FetchRequest.FetchTopic(topic="orders", partitions=[partition])])
    response = answer("Fetch", request, ERROR, "why")
    assert isinstance(response, FetchResponse)
    assert response.error_code == 0
    assert response.responses[0].partitions[0].partition_index == 3
    assert response.responses[0].partitions[0].error_code == ERROR
    whole = answer("Fetch", request, ErrorCode.FETCH_SESSION_ID_NOT_FOUND, "why")
    assert isinstance(whole, FetchResponse)
    assert (whole.error_code, whole.responses) == (ErrorCode.FETCH_SESSION_ID_NOT_FOUND, [])


def test_a_coordinator_is_not_found_in_old_and_new_versions() -> None:
    request = FindCoordinatorRequest(coordinator_keys=["g", "h"])
    response = answer("FindCoordinator", request, ErrorCode.COORDINATOR_NOT_AVAILABLE, "why")
    assert isinstance(response, FindCoordinatorResponse)
    assert response.error_code == ErrorCode.COORDINATOR_NOT_AVAILABLE and response.node_id == -1
    assert [(one.key, one.node_id, one.error_code) for one in response.coordinators] == [
        ("g", -1, ErrorCode.COORDINATOR_NOT_AVAILABLE),
        ("h", -1, ErrorCode.COORDINATOR_NOT_AVAILABLE),
    ]


def test_offsets_of_groups_are_refused_by_group() -> None:
    request = OffsetFetchRequest(groups=[OffsetFetchRequest.OffsetFetchRequestGroup(group_id="g")])
    response = answer("OffsetFetch", request, ErrorCode.NOT_COORDINATOR, "why")
    assert isinstance(response, OffsetFetchResponse)
    assert [(one.group_id, one.error_code, one.topics) for one in response.groups] == [
        ("g", ErrorCode.NOT_COORDINATOR, [])
    ]


# -- topics


@pytest.mark.parametrize("api", sorted(TOPICS))
def test_topics_are_found_and_taken_out_in_every_api_that_has_any(api: str) -> None:
    key = KEYS[api]
    request = filled(request_class(key), request_class(key))
    assert set(topics_of(api, request, IDS.get)) == {"name"}
    rest: Any = without_topic(api, request, "name", IDS.get)
    only: Any = only_topic(api, request, "name", IDS.get)
    assert topics_of(api, rest, IDS.get) == []
    assert topics_of(api, only, IDS.get) == topics_of(api, request, IDS.get)


def test_topics_are_found_by_their_ids() -> None:
    topic = OffsetCommitRequest.OffsetCommitRequestTopic
    request = OffsetCommitRequest(topics=[topic(topic_id=one) for one in (*IDS, b"c" * 16)])
    assert topics_of("OffsetCommit", request, IDS.get) == ["orders", "clicks"]
    rest = without_topic("OffsetCommit", request, "orders", IDS.get)
    assert [one.topic_id for one in rest.topics] == [b"b" * 16, b"c" * 16]


def test_a_request_for_several_topics_is_refused_for_one() -> None:
    request = produce("orders", "clicks")
    refused = only_topic("Produce", request, "orders", IDS.get)
    rest = without_topic("Produce", request, "orders", IDS.get)
    assert [topic.name for topic in rest.topic_data] == ["clicks"] and rest.acks == -1
    served = ProduceResponse(responses=[ProduceResponse.TopicProduceResponse(name="clicks")])
    add(served, answer("Produce", refused, ERROR, "why", in_part=True))
    assert [(topic.name, len(topic.partition_responses)) for topic in served.responses] == [
        ("clicks", 0),
        ("orders", 2),
    ]


def test_an_answer_for_some_topics_is_none_for_the_whole() -> None:
    topic = OffsetDeleteRequest.OffsetDeleteRequestTopic
    request = OffsetDeleteRequest(topics=[topic(name="orders")])
    for in_part, whole in ((False, ERROR), (True, ErrorCode.NONE)):
        response = answer("OffsetDelete", request, ERROR, "why", in_part=in_part)
        assert isinstance(response, OffsetDeleteResponse) and response.error_code == whole
        assert [one.name for one in response.topics] == ["orders"]


def test_a_fetch_of_other_topics_does_not_wait_for_records() -> None:
    topics = [FetchRequest.FetchTopic(topic=name) for name in ("orders", "clicks")]
    request = FetchRequest(max_wait_ms=500, topics=topics)
    assert without_topic("Fetch", request, "orders", IDS.get).max_wait_ms == 0
    assert request.max_wait_ms == 500


def test_old_and_new_ways_to_name_topics_to_delete() -> None:
    state = DeleteTopicsRequest.DeleteTopicState
    request = DeleteTopicsRequest(
        topics=[state(name=None, topic_id=b"a" * 16)], topic_names=["orders", "clicks"]
    )
    assert topics_of("DeleteTopics", request, IDS.get) == ["orders", "orders", "clicks"]
    refused = answer("DeleteTopics", only_topic("DeleteTopics", request, "orders", IDS.get), ERROR, "why")
    assert isinstance(refused, DeleteTopicsResponse)
    assert [(one.name, one.topic_id) for one in refused.responses] == [
        (None, b"a" * 16),
        ("orders", bytes(16)),
    ]
