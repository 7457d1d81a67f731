import pytest
from tests.unit.node.app.data_path import CONTEXT, World, batch
from tests.unit.node.kafka_api.handlers.wire_call import call

from odradek.node.app.cluster import BrokerAddress
from odradek.node.app.context import RequestContext
from odradek.node.app.leader_hints import LeaderHints
from odradek.node.controller.image import PartitionImage
from odradek.node.kafka_api.handlers.produce import ProduceHandlers
from odradek.node.kafka_api.registry import CloseConnection
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.produce import ProduceRequest, ProduceResponse
from odradek.storage.log_config import LogConfig


def handlers(world: World) -> ProduceHandlers:
    return ProduceHandlers(world.produces, world.topics.name_of)


def request(name: str = "t", index: int = 0, acks: int = -1, topic_id: bytes = b"t" * 16) -> ProduceRequest:
    data = ProduceRequest.PartitionProduceData(index=index, records=batch())
    topic = ProduceRequest.TopicProduceData(name=name, topic_id=topic_id, partition_data=[data])
    return ProduceRequest(acks=acks, timeout_ms=1000, topic_data=[topic])


@pytest.mark.parametrize("version", range(3, 14))
def test_every_version_appends_and_names_the_topic_its_own_way(version: int) -> None:
    world = World()
    response = call(handlers(world).produce, request(), version, ProduceResponse, world)
    (topic,) = response.responses
    assert (topic.topic_id if version >= 13 else topic.name) == (b"t" * 16 if version >= 13 else "t")
    (partition,) = topic.partition_responses
    assert (partition.index, partition.error_code, partition.base_offset) == (0, 0, 0)
    assert partition.log_append_time_ms == -1
    assert world.partition().log.log_end_offset == 1


def test_an_unknown_id_is_not_an_unknown_name() -> None:
    world = World()
    by_id = call(handlers(world).produce, request(topic_id=b"?" * 16), 13, ProduceResponse)
    assert by_id.responses[0].partition_responses[0].error_code == ErrorCode.UNKNOWN_TOPIC_ID
    assert by_id.responses[0].topic_id == b"?" * 16
    no_such_partition = call(handlers(world).produce, request(index=9), 13, ProduceResponse)
    code = no_such_partition.responses[0].partition_responses[0].error_code
    assert code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    by_name = call(handlers(world).produce, request(name="?"), 12, ProduceResponse)
    assert by_name.responses[0].partition_responses[0].error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def test_record_errors_and_messages_are_told_from_version_8() -> None:
    world = World()
    world.topics.config = LogConfig(cleanup_policy=frozenset({"compact"}), max_message_bytes=10)
    old = call(handlers(world).produce, request(), 7, ProduceResponse).responses[0].partition_responses[0]
    new = call(handlers(world).produce, request(), 8, ProduceResponse).responses[0].partition_responses[0]
    assert old.error_code == new.error_code == ErrorCode.MESSAGE_TOO_LARGE
    assert old.error_message is None and new.error_message


def test_acks_0_ends_in_nothing_or_in_a_closed_connection() -> None:
    world = World()
    fine = handlers(world).produce(CONTEXT, request(acks=0), 9)
    world.flush()
    assert fine.value is None
    assert isinstance(handlers(world).produce(CONTEXT, request(name="?", acks=0), 9).value, CloseConnection)


class Led:
    """A cluster in which node 2 leads."""

    def partition(self, topic: str, index: int) -> PartitionImage | None:
        return PartitionImage((1, 2), (1, 2), 2, leader_epoch=4) if topic == "led" else None

    def broker(self, context: RequestContext, broker_id: int) -> BrokerAddress | None:
        return BrokerAddress(broker_id, "there", 9093, None)


@pytest.mark.parametrize("version", [9, 10, 13])
def test_who_leads_instead_is_told_from_version_10_on(version: int) -> None:
    world = World()
    handlers = ProduceHandlers(world.produces, world.topics.name_of, LeaderHints(Led()))
    partition = ProduceRequest.PartitionProduceData(index=0, records=batch())
    topic = ProduceRequest.TopicProduceData(name="led", topic_id=b"l" * 16, partition_data=[partition])
    request = ProduceRequest(acks=-1, timeout_ms=100, topic_data=[topic])
    response = call(handlers.produce, request, version, ProduceResponse, world)
    answer = response.responses[0].partition_responses[0]
    assert answer.error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER
    leader = answer.current_leader
    assert (leader.leader_id, leader.leader_epoch) == ((2, 4) if version >= 10 else (-1, -1))
    nodes = [(node.node_id, node.host, node.port) for node in response.node_endpoints]
    assert nodes == ([(2, "there", 9093)] if version >= 10 else [])
