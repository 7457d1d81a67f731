"""Who this node is in the cluster, and that what it asks of the controller reaches it."""

from __future__ import annotations

from odradek.node.config import NodeConfig
from odradek.node.interbroker.outward import Outward
from odradek.node.net.peer import Peers
from odradek.proto.kafka.messages.controller import (
    AlterPartitionRequest,
    AlterPartitionResponse,
    BrokerRegistrationRequest,
)
from odradek.proto.kafka.schema import Message


class Controller:
    is_active = True
    active_controller_id: int | None = 1

    def broker_epoch(self, broker_id: int) -> int:
        return 40 + broker_id


async def dispatch(request: Message, version: int) -> Message:
    assert isinstance(request, AlterPartitionRequest) and version == 3
    return AlterPartitionResponse(error_code=request.broker_id)


def made() -> Outward:
    peers = Peers(lambda node_id: None)
    return Outward(NodeConfig({"node.id": "1"}), Controller(), peers, dispatch, lambda: 0, is_alone=True)


async def test_alone_its_epoch_is_that_of_the_image_and_later_that_of_its_registration() -> None:
    outward = made()
    assert outward.broker_epoch() == 41
    lifecycle = outward.begin_life(BrokerRegistrationRequest(broker_id=1), lambda: 0)
    assert outward.broker_epoch() == lifecycle.broker_epoch == -1
    outward.stop()


async def test_in_sync_sets_go_to_the_active_controller() -> None:
    answer = await made().alter_partition(AlterPartitionRequest(broker_id=7))
    assert answer.error_code == 7
