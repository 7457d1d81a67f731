from __future__ import annotations

from odradek.node.controller.image import EMPTY_IMAGE, MetadataImage
from odradek.node.controller.producer_ids import allocate_block
from odradek.node.controller.records import ProducerIdsRecord


def test_blocks_follow_each_other() -> None:
    first = allocate_block(EMPTY_IMAGE, 3, 1000)
    assert first.response == 0
    assert first.records == [ProducerIdsRecord(broker_id=3, next_producer_id=1000)]
    assert allocate_block(MetadataImage(next_producer_id=1000), 3, 1000).response == 1000
