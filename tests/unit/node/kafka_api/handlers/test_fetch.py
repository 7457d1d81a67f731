import pytest
from tests.unit.node.app.data_path import World, batch
from tests.unit.node.kafka_api.handlers.wire_call import call

from odradek.node.app.cluster import BrokerAddress
from odradek.node.app.context import RequestContext
from odradek.node.app.leader_hints import LeaderHints
from odradek.node.controller.image import PartitionImage
from odradek.node.kafka_api.handlers.fetch import FetchHandlers
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.fetch import FetchRequest, FetchResponse


def filled() -> World:
    world = World()
    world.produce(("t", 0, batch(2)), ("t", 1, batch(1)))
    world.flush()
    return world


def request(*indices: int, session: tuple[int, int] = (0, -1), isolation: int = 0) -> FetchRequest:
    partitions = [FetchRequest.FetchPartition(partition=i, partition_max_bytes=1 << 20) for i in indices]
    topic = FetchRequest.FetchTopic(topic="t", topic_id=b"t" * 16, partitions=partitions)
    return FetchRequest(
        max_wait_ms=0,
        min_bytes=1,
        isolation_level=isolation,
        session_id=session[0],
        session_epoch=session[1],
        topics=[topic],
    )


@pytest.mark.parametrize("version", range(4, 19))
def test_every_version_reads_and_names_the_topic_its_own_way(version: int) -> None:
    response = call(FetchHandlers(filled().fetches).fetch, request(0, 1), version, FetchResponse)
    (topic,) = response.responses
    assert (topic.topic_id if version >= 13 else topic.topic) == (b"t" * 16 if version >= 13 else "t")
    first, second = topic.partitions
    assert (first.high_watermark, second.high_watermark) == (2, 1)
    assert first.last_stable_offset == 2 and first.error_code == 0
    assert first.records is not None and len(first.records) > 61
    assert first.preferred_read_replica == -1


def test_aborted_transactions_are_null_unless_read_committed() -> None:
    handlers = FetchHandlers(filled().fetches)
    plain = call(handlers.fetch, request(0), 12, FetchResponse).responses[0].partitions[0]
    committed = call(handlers.fetch, request(0, isolation=1), 12, FetchResponse).responses[0].partitions[0]
    assert plain.aborted_transactions is None and committed.aborted_transactions == []


@pytest.mark.parametrize("version", [7, 12, 13, 18])
def test_sessions_are_made_used_and_refused(version: int) -> None:
    handlers = FetchHandlers(filled().fetches)
    full = call(handlers.fetch, request(0, 1, session=(0, 0)), version, FetchResponse)
    assert full.session_id > 0
    empty = request(session=(full.session_id, 1))
    empty.topics = []
    forgotten = FetchRequest.ForgottenTopic(topic="t", topic_id=b"t" * 16, partitions=[1])
    empty.forgotten_topics_data = [forgotten]
    incremental = call(handlers.fetch, empty, version, FetchResponse)
    assert [p.partition_index for topic in incremental.responses for p in topic.partitions] == [0]
    gone = call(handlers.fetch, request(0, session=(999_999, 5)), version, FetchResponse)
    assert gone.error_code == ErrorCode.FETCH_SESSION_ID_NOT_FOUND and gone.responses == []


def test_the_replica_id_moved_in_version_15() -> None:
    handlers = FetchHandlers(filled().fetches)
    old = request(0)
    old.replica_id = 5
    new = request(0)
    new.replica_state = FetchRequest.ReplicaState(replica_id=5)
    for asked, version in ((old, 14), (new, 15)):
        answer = call(handlers.fetch, asked, version, FetchResponse).responses[0].partitions[0]
        assert answer.error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER


class Led:
    """A cluster in which node 2 leads."""

    def partition(self, topic: str, index: int) -> PartitionImage | None:
        return PartitionImage((1, 2), (1, 2), 2, leader_epoch=4) if topic == "led" else None

    def broker(self, context: RequestContext, broker_id: int) -> BrokerAddress | None:
        return BrokerAddress(broker_id, "there", 9093, "r")


@pytest.mark.parametrize("version", [15, 16, 18])
def test_who_leads_instead_is_told_from_version_16_on(version: int) -> None:
    world = World()
    handlers = FetchHandlers(world.fetches, world.topics.name_of, LeaderHints(Led()))
    asked = request(0)
    asked.topics[0].topic_id = b"l" * 16
    response = call(handlers.fetch, asked, version, FetchResponse)
    answer = response.responses[0].partitions[0]
    assert answer.error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER
    leader = answer.current_leader
    assert (leader.leader_id, leader.leader_epoch) == ((2, 4) if version >= 16 else (-1, -1))
    nodes = [(node.node_id, node.host, node.rack) for node in response.node_endpoints]
    assert nodes == ([(2, "there", "r")] if version >= 16 else [])


def test_a_client_in_another_rack_is_sent_there_from_version_11_on() -> None:
    world = filled()
    world.fetches.reader.preferred_replica = lambda partition, rack, offset: 2
    handlers = FetchHandlers(world.fetches)
    asked = request(0)
    asked.rack_id = "far"
    for version, preferred in ((10, -1), (11, 2), (17, 2)):
        (answer,) = call(handlers.fetch, asked, version, FetchResponse).responses[0].partitions
        assert answer.preferred_read_replica == preferred and bool(answer.records) is (preferred < 0)
