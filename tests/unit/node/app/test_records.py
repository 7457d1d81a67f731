from tests.unit.node.app.data_path import World, batch

from odradek.node.app.records import HIGH_WATERMARK, RecordsService
from odradek.proto.kafka.errors import ErrorCode
from odradek.storage.log_config import LogConfig


def filled() -> tuple[World, RecordsService]:
    world = World()
    world.produce(("t", 0, batch(3)))
    world.flush()
    return world, RecordsService(world.replicas)


def test_records_go_up_to_an_offset_or_to_the_high_watermark() -> None:
    world, service = filled()
    assert service.delete_records("t", 0, 1).value == (ErrorCode.NONE, 1)
    assert service.delete_records("t", 0, 0).value == (ErrorCode.NONE, 1)
    assert service.delete_records("t", 0, HIGH_WATERMARK).value == (ErrorCode.NONE, 3)
    assert world.partition().log.log_start_offset == 3


def test_no_further_than_the_high_watermark_and_not_in_a_compacted_topic() -> None:
    world, service = filled()
    world.produce(("t", 0, batch()))
    assert service.delete_records("t", 0, 4).value == (ErrorCode.OFFSET_OUT_OF_RANGE, -1)
    assert service.delete_records("t", 0, -2).value == (ErrorCode.OFFSET_OUT_OF_RANGE, -1)
    world.topics.config = LogConfig(cleanup_policy=frozenset({"compact"}))
    world.replicas.on_topics_changed([], ["t"])
    assert service.delete_records("t", 0, 1).value == (ErrorCode.POLICY_VIOLATION, -1)
