from odradek.node.coordinator.group.classic import GroupState
from odradek.node.coordinator.group.commands import CommittedOffset
from odradek.node.coordinator.group.stored import (
    StoredGroup,
    StoredGroups,
    group_record,
    live_group,
    offset_tombstone,
)
from odradek.node.coordinator.records import (
    GroupMetadataRecord,
    GroupTombstone,
    OffsetCommitRecord,
    OffsetTombstone,
    encode_entry,
)


def commit(
    topic: str, partition: int, offset: int, at_ms: int = 1, expires_ms: int = -1
) -> OffsetCommitRecord:
    return OffsetCommitRecord(
        group_id="g",
        commit_timestamp_ms=at_ms,
        expire_timestamp_ms=expires_ms,
        topics=[
            OffsetCommitRecord.Topic(
                topic=topic,
                topic_id=topic.encode() * 16,
                partitions=[OffsetCommitRecord.Partition(partition=partition, offset=offset, metadata="m")],
            )
        ],
    )


def test_the_last_commit_counts() -> None:
    stored = StoredGroups()
    stored.apply(commit("t", 0, 5))
    stored.apply(commit("t", 0, 3, at_ms=2))
    assert stored.offsets_of("g") == {"t": {0: CommittedOffset(3, -1, "m", 2, -1, b"t" * 16)}}
    assert stored.offsets_of("other") == {}


def test_tombstones() -> None:
    stored = StoredGroups()
    for partition in (0, 1, 2):
        stored.apply(commit("t", partition, 1))
    stored.apply(commit("u", 0, 1))
    stored.apply(offset_tombstone("g", [("t", 0), ("t", 7), ("v", 0)]))
    assert {t: sorted(ps) for t, ps in stored.offsets_of("g").items()} == {"t": [1, 2], "u": [0]}
    stored.apply(OffsetTombstone(group_id="g", topics=[OffsetTombstone.Topic(topic="t")]))
    assert list(stored.offsets_of("g")) == ["u"]
    stored.apply(offset_tombstone("g", [("u", 0)]))
    assert "g" not in stored.groups, "neither metadata nor offsets"
    stored.apply(offset_tombstone("g", [("u", 0)]))
    stored.apply(commit("t", 0, 1))
    stored.apply(GroupTombstone(group_id="g"))
    assert stored.groups == {}


def test_a_group_with_metadata_stays_without_offsets() -> None:
    stored = StoredGroups()
    stored.apply(GroupMetadataRecord(group_id="g", generation=3))
    stored.apply(commit("t", 0, 1))
    stored.apply(offset_tombstone("g", [("t", 0)]))
    assert stored.groups == {"g": StoredGroup(GroupMetadataRecord(group_id="g", generation=3))}


def test_a_snapshot_is_the_whole_state() -> None:
    stored = StoredGroups()
    stored.apply_entry(
        encode_entry(
            [
                GroupMetadataRecord(group_id="g", generation=3),
                commit("t", 0, 1),
                commit("t", 1, 2, at_ms=9, expires_ms=99),
                commit("u", 0, 3, at_ms=9, expires_ms=99),
            ]
        )
    )
    other = StoredGroups()
    other.apply(commit("old", 0, 1))
    other.restore(stored.snapshot())
    assert other.groups == stored.groups
    assert other.snapshot() == stored.snapshot()


def test_a_live_group_is_what_its_record_says() -> None:
    record = GroupMetadataRecord(
        group_id="g",
        protocol_type="consumer",
        generation=4,
        protocol_name="x",
        leader_id="b",
        state_timestamp_ms=77,
        members=[
            GroupMetadataRecord.Member(
                member_id=name,
                instance_id=instance,
                protocols=[GroupMetadataRecord.Protocol(name="x", metadata=b"m")],
                assignment=name.encode(),
            )
            for name, instance in (("a", "i"), ("b", None))
        ],
    )
    group = live_group("g", StoredGroup(record), 100)
    assert (group.state, group.generation, group.leader_id) == (GroupState.STABLE, 4, "b")
    assert group.static_members == {"i": "a"} and group.candidate_protocols() == ("x",)
    assert group.state_timestamp_ms == 77
    assert group_record(group) == record


def test_a_group_of_offsets_only_is_empty_and_simple() -> None:
    group = live_group("g", StoredGroup(), 100)
    assert (group.state, group.protocol_type, group.state_timestamp_ms) == (GroupState.EMPTY, None, 100)
