"""Where brokers may ask, and what they get when the controller cannot answer."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.node.controller.metadata_node import CONTEXT, MetadataNode

from odradek.node.app.brokers import BrokersService
from odradek.node.controller.brokers import BrokerHeartbeat, Registration
from odradek.node.controller.directories import AssignReplicas
from odradek.node.controller.isr import AlterPartitions
from odradek.proto.kafka.errors import ErrorCode


async def errors(node: MetadataNode, listener: str) -> list[ErrorCode]:
    """What every request comes to that is asked on `listener`, where PLAINTEXT is the one among brokers."""
    service = BrokersService(node.controller, "PLAINTEXT")
    context = replace(CONTEXT, listener=listener)
    epoch = node.image.brokers[1].epoch
    return [
        (await service.register(context, Registration(node.broker(2), "a-cluster"))).error,
        (await service.heartbeat(context, BrokerHeartbeat(1, epoch, 10))).error,
        (await service.alter_partitions(context, AlterPartitions(1, epoch, []))).error,
        (await service.assign_replicas(context, AssignReplicas(1, epoch, []))).error,
        (await service.allocate_producer_ids(context, 1, epoch)).error,
    ]


async def test_brokers_are_answered() -> None:
    node = await MetadataNode().start()
    assert await errors(node, "PLAINTEXT") == [ErrorCode.NONE] * 5
    assert node.image.next_producer_id == 1000


async def test_clients_are_not() -> None:
    node = await MetadataNode().start()
    assert await errors(node, "CLIENTS") == [ErrorCode.CLUSTER_AUTHORIZATION_FAILED] * 5
    assert 2 not in node.image.brokers


async def test_where_the_controller_is_not_active_it_says_so() -> None:
    node = await MetadataNode().start()
    node.log.is_leader = False
    assert await errors(node, "PLAINTEXT") == [ErrorCode.NOT_CONTROLLER] * 5
