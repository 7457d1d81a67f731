import pytest
from tests.unit.node.app.data_path import World, batch
from tests.unit.node.kafka_api.handlers.wire_call import call

from odradek.node.app.records import RecordsService
from odradek.node.kafka_api.handlers.records import RecordsHandlers
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.topics import DeleteRecordsRequest, DeleteRecordsResponse
from odradek.proto.kafka.messages.transactions import DescribeProducersRequest, DescribeProducersResponse


def filled() -> World:
    world = World()
    world.produce(("t", 0, batch(3, producer_id=7, sequence=0)))
    world.flush()
    return world


def handlers(world: World) -> RecordsHandlers:
    return RecordsHandlers(RecordsService(world.replicas))


@pytest.mark.parametrize("version", range(3))
def test_delete_records(version: int) -> None:
    partitions = [
        DeleteRecordsRequest.DeleteRecordsPartition(partition_index=index, offset=offset)
        for index, offset in ((0, 2), (1, 1), (9, 0))
    ]
    request = DeleteRecordsRequest(
        topics=[DeleteRecordsRequest.DeleteRecordsTopic(name="t", partitions=partitions)]
    )
    response = call(handlers(filled()).delete_records, request, version, DeleteRecordsResponse)
    assert [(p.error_code, p.low_watermark) for p in response.topics[0].partitions] == [
        (ErrorCode.NONE, 2),
        (ErrorCode.OFFSET_OUT_OF_RANGE, -1),
        (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, -1),
    ]


def test_describe_producers() -> None:
    request = DescribeProducersRequest(
        topics=[DescribeProducersRequest.TopicRequest(name="t", partition_indexes=[0, 9])]
    )
    response = call(handlers(filled()).describe_producers, request, 0, DescribeProducersResponse)
    known, unknown = response.topics[0].partitions
    (producer,) = known.active_producers
    assert (producer.producer_id, producer.producer_epoch, producer.last_sequence) == (7, 0, 2)
    assert producer.current_txn_start_offset == -1
    assert unknown.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
