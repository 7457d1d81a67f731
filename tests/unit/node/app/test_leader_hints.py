"""KIP-951: whom to ask instead."""

from tests.unit.node.app.data_path import CONTEXT

from odradek.node.app.cluster import BrokerAddress
from odradek.node.app.context import RequestContext
from odradek.node.app.leader_hints import LeaderHints
from odradek.node.controller.image import PartitionImage


class Cluster:
    def partition(self, topic: str, index: int) -> PartitionImage | None:
        if topic != "t" or index > 1:
            return None
        return PartitionImage((2, 3), (2, 3), 2 if index == 0 else -1, leader_epoch=7)

    def broker(self, context: RequestContext, broker_id: int) -> BrokerAddress | None:
        return BrokerAddress(broker_id, "there", 9093, "r") if broker_id == 2 else None


def test_the_leader_its_epoch_and_its_address() -> None:
    hint = LeaderHints(Cluster()).of(CONTEXT, "t", 0)
    assert hint == (2, 7, BrokerAddress(2, "there", 9093, "r"))


def test_no_leader_and_no_partition() -> None:
    hints = LeaderHints(Cluster())
    assert hints.of(CONTEXT, "t", 1) == (-1, 7, None)
    assert hints.of(CONTEXT, "t", 2) is None
