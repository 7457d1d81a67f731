"""Names of APIs and errors: what is meant, and what is said where nothing is."""

import pytest

from odradek.proto.kafka.errors import ErrorCode
from odradek.testing.fault_names import api_named, error_named, grpc_methods


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("Produce", "Produce"),
        ("JoinGroup", "JoinGroup"),
        ("RecordService/Publish", "RecordService/Publish"),
        ("odradek.v1.LogService/Produce", "LogService/Produce"),
        ("/odradek.v1.RecordService/Consume", "RecordService/Consume"),
    ],
)
def test_an_api_is_named_as_in_kafka_or_by_service_and_method(given: str, meant: str) -> None:
    assert api_named(given, has_grpc=True) == meant


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("produce", "Produce"),
        ("Produc", "Produce"),
        ("OffsetsCommit", "OffsetCommit"),
        ("Publish", "RecordService/Publish"),
        ("RecordService/Publsh", "RecordService/Publish"),
        ("LogService/Publish", "RecordService/Publish"),
    ],
)
def test_a_wrong_api_is_refused_with_those_that_are_near(given: str, hint: str) -> None:
    with pytest.raises(ValueError, match=rf"{given}' is no API of this broker; did you mean .*{hint}"):
        api_named(given, has_grpc=True)


def test_a_name_that_is_like_none_is_refused_without_a_hint() -> None:
    with pytest.raises(ValueError, match=r"'Qwxyz' is no API of this broker$"):
        api_named("Qwxyz", has_grpc=True)


def test_what_nodes_ask_of_each_other_is_nothing_to_break() -> None:
    with pytest.raises(ValueError, match="BrokerHeartbeat"):
        api_named("BrokerHeartbeat", has_grpc=False)


def test_a_call_of_grpc_needs_the_door() -> None:
    with pytest.raises(ValueError, match="grpc=True"):
        api_named("RecordService/Publish", has_grpc=False)


@pytest.mark.parametrize("api", ["Heartbeat", "ClusterService/GetQuorum"])
def test_a_topic_needs_requests_with_topics(api: str) -> None:
    assert api_named(api, has_grpc=True) == api
    with pytest.raises(ValueError, match="name no topics"):
        api_named(api, has_grpc=True, takes_topic=True)


def test_calls_that_name_topics_are_known() -> None:
    methods = grpc_methods()
    assert (
        methods["RecordService/Publish"] and methods["LogService/Fetch"] and methods["RecordService/Consume"]
    )
    assert not methods["ClusterService/GetQuorum"]


def test_an_error_has_the_name_that_kafka_gives_it() -> None:
    assert error_named("NOT_ENOUGH_REPLICAS") is ErrorCode.NOT_ENOUGH_REPLICAS


@pytest.mark.parametrize(
    ("given", "hint"),
    [("NOT_ENOUGH_REPLICA", "NOT_ENOUGH_REPLICAS"), ("not_leader_or_follower", "NOT_LEADER_OR_FOLLOWER")],
)
def test_a_wrong_error_is_refused_with_those_that_are_near(given: str, hint: str) -> None:
    with pytest.raises(ValueError, match=rf"{given}' is no error of Kafka; did you mean .*{hint}"):
        error_named(given)


def test_no_error_is_no_error() -> None:
    with pytest.raises(ValueError, match="'NONE' is no error"):
        error_named("NONE")
