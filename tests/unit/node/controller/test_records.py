from __future__ import annotations

import pytest

from odradek.node.controller.image import PartitionImage
from odradek.node.controller.records import (
    BrokerChangeRecord,
    ClusterRecord,
    ConfigRecord,
    FeatureLevelRecord,
    FrameError,
    PartitionChangesRecord,
    PartitionRun,
    PartitionsRecord,
    ProducerIdsRecord,
    Record,
    RegisterBrokerRecord,
    RemoveTopicRecord,
    SnapshotRecord,
    TopicRecord,
    UnregisterBrokerRecord,
    decode_records,
    encode_records,
)
from odradek.proto.kafka.primitives import DecodeError

PARTITION = PartitionImage(
    replicas=(1, 2, 3),
    isr=(1, 2),
    leader=2,
    leader_epoch=4,
    partition_epoch=9,
    directories=(b"a" * 16, b"b" * 16, b"c" * 16),
    adding_replicas=(3,),
    removing_replicas=(1,),
    eligible_leader_replicas=(3,),
    last_known_elr=(2,),
)
EVERY: list[Record] = [
    SnapshotRecord(applied_index=7),
    ClusterRecord(cluster_id="x"),
    FeatureLevelRecord(name="metadata.version", feature_level=30),
    RegisterBrokerRecord(broker_id=1, rack="r", directories=[b"d" * 16]),
    UnregisterBrokerRecord(broker_id=1),
    TopicRecord(name="t", topic_id=b"t" * 16, partitions=[PartitionRun.of(3, PARTITION)]),
    PartitionsRecord(topic_id=b"t" * 16, first_partition=3, partitions=[PartitionRun.of(1, PARTITION)]),
    RemoveTopicRecord(topic_id=b"t" * 16),
    ConfigRecord.of(2, "t", {"a": "1", "b": None}),
    ProducerIdsRecord(broker_id=1, next_producer_id=1000),
    BrokerChangeRecord(broker_id=1, broker_epoch=7, fenced=1),
    BrokerChangeRecord(broker_id=1, broker_epoch=7, in_controlled_shutdown=0, directories=[b"d" * 16]),
    PartitionChangesRecord(
        changes=[
            PartitionChangesRecord.Change(
                leader=2,
                isr=[2],
                topics=[PartitionChangesRecord.Partitions(topic_id=b"t" * 16, partitions=b"\x01")],
                eligible_leader_replicas=[1],
                removing_replicas=[],
            )
        ]
    ),
]


def test_every_record_survives_its_bytes() -> None:
    assert decode_records(encode_records(EVERY)) == EVERY


def test_a_partition_survives_its_run() -> None:
    assert PartitionRun.of(1, PARTITION).image() == PARTITION


def test_the_bytes_of_a_frame_do_not_change_between_releases() -> None:
    frame = encode_records([ClusterRecord(cluster_id="ab"), RemoveTopicRecord(topic_id=b"t" * 16)])
    assert frame.hex() == "00" + "010004" + "03616200" + "070011" + "74" * 16 + "00"


def test_ten_thousand_small_topics_are_less_than_a_megabyte() -> None:
    run = PartitionRun.of(1, PartitionImage((1,), (1,), 1, directories=(b"d" * 16,)))
    topics = [TopicRecord(name=f"topic-{n}", topic_id=b"t" * 16, partitions=[run]) for n in range(10_000)]
    assert len(encode_records(topics)) < 1_000_000


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x01",  # another format
        b"\x00\x63\x00\x00",  # an unknown record
        b"\x00\x01\x01\x00",  # an unknown version of a known record
        b"\x00\x01\x00\x7f",  # more bytes promised than there are
        b"\x00\x80",  # ends inside a number
        b"\x00" + b"\xff" * 12,  # a number without an end
    ],
)
def test_what_is_not_a_frame_of_this_release_is_refused(frame: bytes) -> None:
    with pytest.raises(FrameError):
        decode_records(frame)


def test_a_damaged_body_is_refused() -> None:
    with pytest.raises(DecodeError):
        decode_records(b"\x00\x01\x00\x02\x7f\x00")
    with pytest.raises(DecodeError):
        decode_records(b"\x00\x01\x00\x05\x03ab\x00\x00")  # a byte too many
