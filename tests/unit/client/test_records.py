from __future__ import annotations

import pytest

from odradek.client.records import ConsumerRecord, Position, TopicPartition
from odradek.v1 import record_pb2


def test_a_number_is_an_offset() -> None:
    assert Position.of(5) == Position.at(5)
    assert Position.of(Position.latest()) == Position.latest()


def test_an_offset_is_not_negative() -> None:
    with pytest.raises(ValueError, match="-1"):
        Position.at(-1)


def test_positions_as_the_api_has_them() -> None:
    assert Position.at(0).to_proto().WhichOneof("kind") == "offset"
    assert Position.at_time(7).to_proto().timestamp_ms == 7
    assert Position.earliest().to_proto().edge == record_pb2.EDGE_EARLIEST
    assert Position.latest().to_proto().edge == record_pb2.EDGE_LATEST


def test_a_record_knows_its_partition() -> None:
    assert ConsumerRecord("t", 3, 0, -1, None, None).topic_partition == TopicPartition("t", 3)
