from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odradek.node.controller.image import PartitionImage
from odradek.node.controller.partition_changes import (
    SAME_LEADER,
    PartitionChanges,
    apply_change,
    change_between,
    decode_indexes,
    decoded,
    encode_indexes,
)
from odradek.node.controller.records import PartitionChangesRecord

BEFORE = PartitionImage((1, 2, 3), (1, 2, 3), 1, 4, 9, directories=(b"a" * 16, b"b" * 16, b"c" * 16))


@given(st.sets(st.integers(0, 100_000), min_size=1, max_size=50).map(sorted))
def test_a_set_of_numbers_survives_its_code(numbers: list[int]) -> None:
    assert list(decode_indexes(encode_indexes(numbers))) == numbers


def test_neighbours_cost_a_byte_each() -> None:
    assert len(encode_indexes(range(3_000))) == 3_000
    assert len(encode_indexes([5, 5 + 254])) == 2
    assert len(encode_indexes([5, 5 + 255])) == 1 + 5
    with pytest.raises(AssertionError):
        encode_indexes([3, 3])


@pytest.mark.parametrize(
    "after",
    [
        PartitionImage((1, 2, 3), (2, 3), 2, 5, 10, directories=BEFORE.directories),
        PartitionImage(
            (1, 2, 3), (), -1, 5, 10, BEFORE.directories, eligible_leader_replicas=(1,), last_known_elr=(1,)
        ),
        PartitionImage((4, 1), (1,), 1, 4, 10, (b"d" * 16, b"a" * 16), (4,), (1,)),
    ],
)
def test_a_change_leads_from_one_state_to_the_other_and_survives_its_record(after: PartitionImage) -> None:
    assert apply_change(BEFORE, change_between(BEFORE, after)) == after
    changes = PartitionChanges()
    changes.add(b"t" * 16, 3, BEFORE, after)
    (record,) = changes.records()
    assert isinstance(record, PartitionChangesRecord)
    assert apply_change(BEFORE, decoded(record.changes[0])) == after


def test_equal_changes_share_a_group_whatever_their_epochs() -> None:
    changes = PartitionChanges()
    for number in range(10):
        before = PartitionImage((1, 2), (1, 2), 1, number, number * 2)
        after = PartitionImage((1, 2), (2,), 2, number + 1, number * 2 + 1)
        changes.add(b"t" * 16 if number < 6 else b"u" * 16, number, before, after)
    changes.add(b"u" * 16, 99, BEFORE, BEFORE)
    assert changes.count == 10
    (record,) = changes.records()
    assert isinstance(record, PartitionChangesRecord)
    (change,) = record.changes
    assert [(one.topic_id, list(decode_indexes(one.partitions))) for one in change.topics] == [
        (b"t" * 16, [0, 1, 2, 3, 4, 5]),
        (b"u" * 16, [6, 7, 8, 9]),
    ]


def test_no_change_is_no_record() -> None:
    assert PartitionChanges().records() == []
    assert change_between(BEFORE, BEFORE).leader == SAME_LEADER
