"""What brokers ask, in every version, as it goes over the wire."""

from __future__ import annotations

from typing import TypeVar

import pytest
from tests.unit.node.controller.metadata_node import CONTEXT, MetadataNode, over_the_wire

from odradek.node.app.brokers import BrokersService
from odradek.node.controller.image import Endpoint
from odradek.node.controller.topics import NewTopic
from odradek.node.kafka_api.handlers.controller import ControllerHandlers
from odradek.proto.kafka.codec import decode_exactly, encode_to_bytes
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.controller import (
    AllocateProducerIdsRequest,
    AlterPartitionRequest,
    BrokerHeartbeatRequest,
    BrokerRegistrationRequest,
)
from odradek.proto.kafka.messages.log_dirs import AssignReplicasToDirsRequest
from odradek.proto.kafka.schema import Message

M = TypeVar("M", bound=Message)

DIRECTORY = b"d" * 16


def handlers(node: MetadataNode) -> ControllerHandlers:
    return ControllerHandlers(BrokersService(node.controller, "PLAINTEXT"))


def sent(request: M, version: int) -> M:
    return decode_exactly(type(request), version, encode_to_bytes(request, version))


def registration(broker_id: int = 2) -> BrokerRegistrationRequest:
    return BrokerRegistrationRequest(
        broker_id=broker_id,
        cluster_id="a-cluster",
        incarnation_id=b"i" * 16,
        listeners=[
            BrokerRegistrationRequest.Listener(name="A", host="h", port=60_000, security_protocol=0),
            BrokerRegistrationRequest.Listener(name="B", host="h", port=1, security_protocol=3),
            BrokerRegistrationRequest.Listener(name="C", host="h", port=2, security_protocol=9),
        ],
        rack="r",
    )


@pytest.mark.parametrize("version", range(5))
async def test_a_registration_is_told_its_epoch(version: int) -> None:
    node = await MetadataNode().start()
    request = registration()
    if version >= 2:
        request.log_dirs = [DIRECTORY]
    if version >= 3:
        request.previous_broker_epoch = 7
    answer = over_the_wire(
        await handlers(node).broker_registration(CONTEXT, sent(request, version), version), version
    )
    broker = node.image.brokers[2]
    assert (answer.error_code, answer.broker_epoch) == (0, broker.epoch)
    assert broker.endpoints == {
        "A": Endpoint("h", 60_000, "PLAINTEXT"),
        "B": Endpoint("h", 1, "SASL_SSL"),
        "C": Endpoint("h", 2, "UNKNOWN_9"),
    }
    assert (broker.rack, broker.directories) == ("r", (DIRECTORY,) if version >= 2 else ())


@pytest.mark.parametrize("version", range(5))
async def test_a_registration_for_another_cluster_is_refused(version: int) -> None:
    node = await MetadataNode().start()
    request = registration()
    request.cluster_id = "another"
    answer = await handlers(node).broker_registration(CONTEXT, sent(request, version), version)
    assert over_the_wire(answer, version).error_code == ErrorCode.INCONSISTENT_CLUSTER_ID


@pytest.mark.parametrize("version", range(3))
async def test_a_heartbeat(version: int) -> None:
    node = await MetadataNode().start()
    request = BrokerHeartbeatRequest(
        broker_id=1, broker_epoch=node.image.brokers[1].epoch, current_metadata_offset=99, want_shut_down=True
    )
    answer = over_the_wire(
        await handlers(node).broker_heartbeat(CONTEXT, sent(request, version), version), version
    )
    assert (answer.error_code, answer.is_caught_up, answer.is_fenced, answer.should_shut_down) == (
        0,
        True,
        False,
        True,
    )
    request.broker_epoch += 1
    stale = await handlers(node).broker_heartbeat(CONTEXT, sent(request, version), version)
    assert over_the_wire(stale, version).error_code == ErrorCode.STALE_BROKER_EPOCH


@pytest.mark.parametrize("version", [2, 3])
async def test_an_isr_is_proposed_and_the_new_state_told(version: int) -> None:
    node = await MetadataNode().start(NewTopic("t", assignments=[(0, [1]), (1, [1])]))
    topic = node.image.topics_by_name["t"]
    proposed = [
        AlterPartitionRequest.PartitionData(partition_index=number, leader_epoch=epoch)
        for number, epoch in ((0, 0), (1, 5))
    ]
    for partition in proposed:
        if version >= 3:
            member = AlterPartitionRequest.BrokerState(broker_id=1, broker_epoch=node.image.brokers[1].epoch)
            partition.new_isr_with_epochs = [member]
        else:
            partition.new_isr = [1]
    request = AlterPartitionRequest(
        broker_id=1,
        broker_epoch=node.image.brokers[1].epoch,
        topics=[AlterPartitionRequest.TopicData(topic_id=topic.topic_id, partitions=proposed)],
    )
    answer = over_the_wire(
        await handlers(node).alter_partition(CONTEXT, sent(request, version), version), version
    )
    (there,) = answer.topics
    assert (answer.error_code, there.topic_id) == (0, topic.topic_id)
    assert [(one.error_code, one.leader_id, one.isr) for one in there.partitions] == [
        (ErrorCode.NONE, 1, [1]),
        (ErrorCode.NOT_CONTROLLER, 0, []),
    ]
    request.broker_epoch = 0
    stale = await handlers(node).alter_partition(CONTEXT, sent(request, version), version)
    assert over_the_wire(stale, version).error_code == ErrorCode.STALE_BROKER_EPOCH


async def test_a_block_of_producer_ids() -> None:
    node = await MetadataNode().start()
    request = AllocateProducerIdsRequest(broker_id=1, broker_epoch=node.image.brokers[1].epoch)
    first = await handlers(node).allocate_producer_ids(CONTEXT, sent(request, 0), 0)
    second = over_the_wire(await handlers(node).allocate_producer_ids(CONTEXT, sent(request, 0), 0), 0)
    assert (first.producer_id_start, first.producer_id_len) == (0, 1000)
    assert (second.producer_id_start, second.producer_id_len) == (1000, 1000)
    request.broker_epoch += 1
    stale = await handlers(node).allocate_producer_ids(CONTEXT, sent(request, 0), 0)
    assert stale.error_code == ErrorCode.STALE_BROKER_EPOCH


async def test_replicas_are_assigned_to_directories() -> None:
    node = await MetadataNode().start(NewTopic("t", assignments=[(0, [1])]))
    topic = node.image.topics_by_name["t"]
    places = [AssignReplicasToDirsRequest.PartitionData(partition_index=number) for number in (0, 4)]
    request = AssignReplicasToDirsRequest(
        broker_id=1,
        broker_epoch=node.image.brokers[1].epoch,
        directories=[
            AssignReplicasToDirsRequest.DirectoryData(
                id=DIRECTORY,
                topics=[AssignReplicasToDirsRequest.TopicData(topic_id=topic.topic_id, partitions=places)],
            )
        ],
    )
    answer = over_the_wire(await handlers(node).assign_replicas_to_dirs(CONTEXT, sent(request, 0), 0), 0)
    (there,) = answer.directories
    assert there.id == DIRECTORY
    assert [(one.partition_index, one.error_code) for one in there.topics[0].partitions] == [
        (0, ErrorCode.NONE),
        (4, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
    ]
    partition = node.image.partition("t", 0)
    assert partition is not None
    assert partition.directories == (DIRECTORY,)


async def test_none_of_it_is_advertised() -> None:
    node = await MetadataNode().start()
    assert all(route.inter_broker for route in handlers(node).routes())
