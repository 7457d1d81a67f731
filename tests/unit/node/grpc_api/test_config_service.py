from __future__ import annotations

from typing import Any

import pytest
from tests.unit.node.controller.image_world import ImageWorld
from tests.unit.node.grpc_api.node import Asked, FakeOthers, Node, Place, Servicers

from odradek.node.controller.topics import NewTopic
from odradek.node.grpc_api.config_service import ConfigServicer
from odradek.node.grpc_api.refusal import refused
from odradek.proto.kafka.errors import ErrorCode
from odradek.v1 import config_service_pb2 as pb

INVALID = "INVALID_ARGUMENT"
TOPIC = pb.ConfigResource(type=pb.CONFIG_RESOURCE_TYPE_TOPIC, name="t")
ALL_NODES = pb.ConfigResource(type=pb.CONFIG_RESOURCE_TYPE_NODE)


def of_node(name: str) -> pb.ConfigResource:
    return pb.ConfigResource(type=pb.CONFIG_RESOURCE_TYPE_NODE, name=name)


def update(resource: pb.ConfigResource, *changes: Any, validate_only: bool = False) -> Any:
    """Changes as (name, value) or (name, value, operation)."""
    made: list[Any] = [dict(zip(("name", "value", "operation"), change, strict=False)) for change in changes]
    return pb.UpdateConfigsRequest(resource=resource, changes=made, validate_only=validate_only)


async def with_topic(**settings: str) -> Node:
    node = await Node.started(**settings)
    await node.services.controller.create_topics([NewTopic("t", 1, 1)])
    return node


async def value(node: Node, resource: pb.ConfigResource, name: str) -> tuple[str | None, str] | None:
    """(value, where it comes from)"""
    found = (await node.ask("ListConfigs", pb.ListConfigsRequest(resource=resource, names=[name]))).configs
    if not found:
        return None
    (one,) = found
    source = pb.ConfigSource.Name(one.source).removeprefix("CONFIG_SOURCE_")
    return one.value if one.HasField("value") else None, source


async def test_a_setting_of_a_topic_comes_from_the_strongest_place_that_has_it() -> None:
    node = await with_topic(log_retention_ms="4")
    assert await value(node, TOPIC, "retention.ms") == ("4", "STATIC")
    assert await value(node, TOPIC, "segment.bytes") == (str(1 << 30), "DEFAULT")
    await node.ask("UpdateConfigs", update(ALL_NODES, ("log.retention.ms", "3")))
    assert await value(node, TOPIC, "retention.ms") == ("3", "CLUSTER")
    await node.ask("UpdateConfigs", update(of_node("1"), ("log.retention.ms", "2")))
    assert await value(node, TOPIC, "retention.ms") == ("2", "NODE")
    await node.ask("UpdateConfigs", update(TOPIC, ("retention.ms", "1")))
    assert await value(node, TOPIC, "retention.ms") == ("1", "TOPIC")


async def test_settings_of_nodes() -> None:
    node = await with_topic()
    assert await value(node, of_node("1"), "num.partitions") == ("1", "DEFAULT")
    assert await value(node, of_node("01"), "num.partitions") == ("1", "DEFAULT")
    assert await value(node, ALL_NODES, "log.retention.ms") is None  # nobody has set it for all
    await node.ask("UpdateConfigs", update(ALL_NODES, ("log.retention.ms", "3")))
    assert await value(node, ALL_NODES, "log.retention.ms") == ("3", "CLUSTER")
    request = pb.ListConfigsRequest(resource=of_node("1"), names=["node.id"])
    (one,) = (await node.ask("ListConfigs", request)).configs
    assert one.read_only and not one.sensitive


async def test_settings_come_by_name_in_pages() -> None:
    node = await with_topic()
    seen: list[str] = []
    token = ""
    while True:
        page = await node.ask(
            "ListConfigs", pb.ListConfigsRequest(resource=TOPIC, page_size=7, page_token=token)
        )
        assert len(page.configs) <= 7
        seen += [one.name for one in page.configs]
        token = page.next_page_token
        if not token:
            break
    assert "cleanup.policy" in seen and len(seen) > 20 and seen == sorted(set(seen))


async def test_a_token_of_another_thing_is_refused() -> None:
    node = await with_topic()
    page = await node.ask("ListConfigs", pb.ListConfigsRequest(resource=TOPIC, page_size=1))
    for other in (
        pb.ListConfigsRequest(resource=of_node("1"), page_token=page.next_page_token),
        pb.ListConfigsRequest(resource=TOPIC, page_token=page.next_page_token, names=["retention.ms"]),
    ):
        assert await node.reason("ListConfigs", other) == (INVALID, "INVALID_REQUEST")


async def test_the_operations_on_a_list_and_on_a_value() -> None:
    node = await with_topic()
    policy = "cleanup.policy"
    await node.ask("UpdateConfigs", update(TOPIC, (policy, "compact", pb.CONFIG_OPERATION_SET)))
    await node.ask("UpdateConfigs", update(TOPIC, (policy, "delete", pb.CONFIG_OPERATION_APPEND)))
    assert await value(node, TOPIC, policy) == ("compact,delete", "TOPIC")
    await node.ask("UpdateConfigs", update(TOPIC, (policy, "compact", pb.CONFIG_OPERATION_SUBTRACT)))
    assert await value(node, TOPIC, policy) == ("delete", "TOPIC")
    await node.ask("UpdateConfigs", update(TOPIC, (policy, "", pb.CONFIG_OPERATION_DELETE)))
    assert await value(node, TOPIC, policy) == ("delete", "DEFAULT")


async def test_changes_are_made_together_or_not_at_all() -> None:
    node = await with_topic()
    wrong = update(TOPIC, ("retention.ms", "5"), ("segment.bytes", "no number"))
    assert await node.reason("UpdateConfigs", wrong) == (INVALID, "INVALID_CONFIG")
    await node.ask("UpdateConfigs", update(TOPIC, ("retention.ms", "5"), validate_only=True))
    assert await value(node, TOPIC, "retention.ms") == (str(7 * 86_400_000), "DEFAULT")


@pytest.mark.parametrize(
    ("request_", "status", "name"),
    [
        (update(TOPIC), INVALID, "INVALID_REQUEST"),
        (update(TOPIC, ("", "1")), INVALID, "INVALID_REQUEST"),
        (update(TOPIC, ("retention.ms", "1"), ("retention.ms", "2")), INVALID, "INVALID_REQUEST"),
        (update(TOPIC, ("retention.ms", "1", 9)), INVALID, "INVALID_REQUEST"),
        (
            update(TOPIC, ("retention.ms", "1", pb.CONFIG_OPERATION_DELETE)),
            INVALID,
            "INVALID_REQUEST",
        ),
        (update(TOPIC, ("retention.ms", "1", pb.CONFIG_OPERATION_APPEND)), INVALID, "INVALID_CONFIG"),
        (update(TOPIC, ("no.such", "1")), INVALID, "INVALID_CONFIG"),
        (update(of_node("1"), ("no.such", "1")), INVALID, "INVALID_CONFIG"),
        (update(of_node("1"), ("node.id", "1")), INVALID, "INVALID_CONFIG"),
        (update(ALL_NODES, ("log.retention.ms", "x")), INVALID, "INVALID_CONFIG"),
        (update(of_node("7"), ("log.retention.ms", "1")), "NOT_FOUND", "BROKER_ID_NOT_REGISTERED"),
        (update(of_node("one"), ("log.retention.ms", "1")), INVALID, "INVALID_REQUEST"),
        (update(of_node("9" * 5000), ("log.retention.ms", "1")), INVALID, "INVALID_REQUEST"),
        (
            update(pb.ConfigResource(type=pb.CONFIG_RESOURCE_TYPE_TOPIC, name="no"), ("retention.ms", "1")),
            "NOT_FOUND",
            "UNKNOWN_TOPIC_OR_PARTITION",
        ),
        (update(pb.ConfigResource(name="t"), ("retention.ms", "1")), INVALID, "INVALID_REQUEST"),
    ],
)
async def test_what_cannot_be_changed(request_: Any, status: str, name: str) -> None:
    node = await with_topic()
    assert await node.reason("UpdateConfigs", request_) == (status, name)


@pytest.mark.parametrize(
    ("resource", "status", "name"),
    [
        (pb.ConfigResource(), INVALID, "INVALID_REQUEST"),
        (pb.ConfigResource(type=9, name="t"), INVALID, "INVALID_REQUEST"),  # type: ignore[arg-type]
        (pb.ConfigResource(type=pb.CONFIG_RESOURCE_TYPE_TOPIC), INVALID, "INVALID_REQUEST"),
        (pb.ConfigResource(type=pb.CONFIG_RESOURCE_TYPE_TOPIC, name="!"), INVALID, "INVALID_TOPIC_EXCEPTION"),
        (
            pb.ConfigResource(type=pb.CONFIG_RESOURCE_TYPE_TOPIC, name="no"),
            "NOT_FOUND",
            "UNKNOWN_TOPIC_OR_PARTITION",
        ),
        (of_node("7"), "NOT_FOUND", "BROKER_ID_NOT_REGISTERED"),
        (of_node("x"), INVALID, "INVALID_REQUEST"),
    ],
)
async def test_what_has_no_settings(resource: pb.ConfigResource, status: str, name: str) -> None:
    node = await with_topic()
    assert await node.reason("ListConfigs", pb.ListConfigsRequest(resource=resource)) == (status, name)


class Elsewhere:
    """Node 1 of three; the active controller is node 3."""

    def __init__(self, node: Node) -> None:
        self.others = FakeOthers()
        place = Place(ImageWorld().image, active_controller_id=3)
        self.service = Servicers.of(ConfigServicer(node.services.configs, place, self.others))


async def test_what_a_node_works_with_is_told_by_that_node() -> None:
    elsewhere = Elsewhere(await Node.started())
    told = pb.ListConfigsResponse(configs=[pb.Config(name="node.id", value="2")], next_page_token="its own")
    elsewhere.others.answers[2] = told
    request = pb.ListConfigsRequest(resource=of_node("2"), page_size=1, page_token="its own")
    assert await elsewhere.service.ask("ListConfigs", request) == told
    assert elsewhere.others.asked == [Asked(2, "/odradek.v1.ConfigService/ListConfigs", request, 5.0)]
    elsewhere.others.answers[2] = refused(ErrorCode.BROKER_NOT_AVAILABLE, "silent")
    assert await elsewhere.service.reason("ListConfigs", request) == ("UNAVAILABLE", "BROKER_NOT_AVAILABLE")


async def test_a_question_that_was_passed_on_to_the_wrong_node_ends_there() -> None:
    elsewhere = Elsewhere(await Node.started())
    request = pb.ListConfigsRequest(resource=of_node("2"))
    assert await elsewhere.service.reason("ListConfigs", request, is_forwarded=True) == (
        INVALID,
        "INVALID_REQUEST",
    )
    assert elsewhere.others.asked == []


async def test_changes_are_the_active_controllers_whichever_node_they_are_for() -> None:
    methods = Elsewhere(await Node.started()).service.methods
    where = methods["UpdateConfigs"].where
    assert where is not None and where(update(of_node("2"), ("a", "b"))) == 3
    assert methods["ListConfigs"].where is None
