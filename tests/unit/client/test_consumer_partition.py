from __future__ import annotations

from tests.unit.client.responses import assigned, records

from odradek.client.consumer_partition import UNKNOWN, Buffer, PartitionProgress, to_record
from odradek.client.consumer_plan import Plan
from odradek.client.consumer_state import ConsumerState
from odradek.client.records import ConsumerRecord, Position, TopicPartition
from odradek.v1 import record_pb2
from odradek.v1 import record_service_pb2 as pb
from odradek.v1.record_service_pb2 import PartitionRecords

TP = TopicPartition("t", 0)


def arrived(*offsets: int, partition: int = 0) -> PartitionRecords:
    return records(partition, offsets).records.partitions[0]


def taken(buffer: Buffer) -> list[int]:
    found = []
    while (one := buffer.take()) is not None:
        found.append(one[1].offset)
    return found


def test_records_come_out_as_they_came_in() -> None:
    buffer, progress = Buffer(), PartitionProgress(TP, 3)
    assert buffer.add(progress, arrived(3, 5)) == 0
    assert buffer.add(progress, arrived(6)) == 0
    assert len(buffer) == 3
    assert taken(buffer) == [3, 5, 6]
    assert progress.position == 7
    assert len(buffer) == 0


def test_what_was_there_already_is_dropped() -> None:
    buffer, progress = Buffer(), PartitionProgress(TP, 0)
    buffer.add(progress, arrived(0, 1, 2))
    assert buffer.add(progress, arrived(1, 2)) == 2
    assert buffer.add(progress, arrived(2, 3)) == 1
    assert taken(buffer) == [0, 1, 2, 3]


def test_what_was_under_way_before_a_seek_is_dropped() -> None:
    buffer, progress = Buffer(), PartitionProgress(TP, 0)
    progress.seek = 1, Position.at(100)
    assert buffer.add(progress, arrived(0, 1)) == 2
    assert len(buffer) == 0


def test_what_comes_for_a_paused_partition_is_dropped_and_remembered() -> None:
    buffer, progress = Buffer(), PartitionProgress(TP, 0)
    progress.is_paused = True
    assert buffer.add(progress, arrived(0, 1)) == 2
    assert progress.has_dropped


def test_dropping_spares_other_partitions_and_goes_back_to_the_position() -> None:
    buffer, one, other = Buffer(), PartitionProgress(TP, 0), PartitionProgress(TopicPartition("t", 1), 0)
    buffer.add(one, arrived(0, 1, 2))
    buffer.add(other, arrived(7, partition=1))
    buffer.take()
    assert buffer.drop(one) == 2
    assert (one.position, one.fetched) == (1, 1)
    assert taken(buffer) == [7]


def test_clearing_goes_back_to_the_positions() -> None:
    buffer, progress = Buffer(), PartitionProgress(TP, 0)
    buffer.add(progress, arrived(0, 1))
    buffer.take()
    buffer.clear()
    assert progress.fetched == 1
    assert buffer.take() is None


def test_an_unknown_position_is_that_of_the_first_record() -> None:
    buffer, progress = Buffer(), PartitionProgress(TP, UNKNOWN)
    assert progress.place is None
    buffer.add(progress, arrived(40))
    assert progress.position == 40


def test_where_a_seek_leads_is_where_it_is_read_on() -> None:
    progress = PartitionProgress(TP, 3)
    assert progress.place == Position.at(3)
    progress.seek = 1, Position.latest()
    assert progress.place == Position.latest()


def test_absent_is_not_empty() -> None:
    raw = record_pb2.ConsumedRecord(offset=4, timestamp_ms=-1, key=b"")
    raw.headers.add(key="a", value=b"")
    raw.headers.add(key="b")
    assert to_record(TP, raw) == ConsumerRecord("t", 0, 4, -1, b"", None, (("a", b""), ("b", None)))


def test_a_place_that_is_gone_is_replaced_by_the_nodes_word() -> None:
    state = ConsumerState(Plan(topics=("t",)))
    state.on_response(assigned((0, 100)))
    state.on_response(pb.ConsumeResponse(reset=pb.Reset(topic="t", partition=0, offset=7)))
    assert state.progress(TopicPartition("t", 0)).position == 7
    state.on_response(records(0, [7, 8]))
    state.on_response(pb.ConsumeResponse(reset=pb.Reset(topic="t", partition=0, offset=50)))
    state.on_response(records(0, [50]))
    found = [state.take() for _ in range(3)]
    assert [record.offset for record in found if record is not None] == [7, 8, 50], "what waits comes first"
