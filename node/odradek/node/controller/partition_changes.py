"""What changes in partitions, and how that is written: grouped, so that a failover is a few groups.

Decides which fields of a partition a change carries, and the code for sets of partition numbers. Does not decide what
should change (`elections`, `isr`, `reassignment`).

Partitions that change in the same way share one group, whatever their epochs are: epochs are not written, they grow by
one. A set of partition numbers is written as its gaps, one byte each while they are small: 3,000 neighbours are 3,000
bytes, and coding and decoding them is one call each.

Invariants: `apply_change(before, change_between(before, after)) == after` for every change that the operations make;
the leader epoch grows exactly when the leader changes or a replica is let go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from operator import sub
from typing import Final, NamedTuple

from odradek.node.controller.image import PartitionImage
from odradek.node.controller.records import PartitionChangesRecord, Record

SAME_LEADER: Final = -2
_WIDE: Final = 0xFF
"""Before a gap that needs four bytes."""

Ids = tuple[int, ...]


class PartitionChange(NamedTuple):
    """None: as before. `leader` SAME_LEADER: as before, and its epoch too, which grows with every other value."""

    leader: int = SAME_LEADER
    isr: Ids | None = None
    eligible_leader_replicas: Ids | None = None
    last_known_elr: Ids | None = None
    replicas: Ids | None = None
    adding_replicas: Ids | None = None
    removing_replicas: Ids | None = None
    directories: tuple[bytes, ...] | None = None


def change_between(before: PartitionImage, after: PartitionImage) -> PartitionChange:
    return PartitionChange(
        SAME_LEADER if after.leader_epoch == before.leader_epoch else after.leader,
        None if after.isr == before.isr else after.isr,
        _changed(before.eligible_leader_replicas, after.eligible_leader_replicas),
        _changed(before.last_known_elr, after.last_known_elr),
        _changed(before.replicas, after.replicas),
        _changed(before.adding_replicas, after.adding_replicas),
        _changed(before.removing_replicas, after.removing_replicas),
        None if after.directories == before.directories else after.directories,
    )


def apply_change(before: PartitionImage, change: PartitionChange) -> PartitionImage:
    moved = change.leader != SAME_LEADER
    return PartitionImage(
        replicas=before.replicas if change.replicas is None else change.replicas,
        isr=before.isr if change.isr is None else change.isr,
        leader=change.leader if moved else before.leader,
        leader_epoch=before.leader_epoch + moved,
        partition_epoch=before.partition_epoch + 1,
        directories=before.directories if change.directories is None else change.directories,
        adding_replicas=_after(before.adding_replicas, change.adding_replicas),
        removing_replicas=_after(before.removing_replicas, change.removing_replicas),
        eligible_leader_replicas=_after(before.eligible_leader_replicas, change.eligible_leader_replicas),
        last_known_elr=_after(before.last_known_elr, change.last_known_elr),
    )


class PartitionChanges:
    """Collects changes of partitions and gives them as records. Numbers of one topic must come in ascending order."""

    def __init__(self) -> None:
        self._groups: dict[PartitionChange, dict[bytes, list[int]]] = {}
        self._known: dict[tuple[int, int], tuple[PartitionImage, PartitionImage, dict[bytes, list[int]]]] = {}
        self.count = 0

    def add(self, topic_id: bytes, number: int, before: PartitionImage, after: PartitionImage) -> None:
        """Nothing, if `after` is `before`."""
        if after is before:
            return
        key = (id(before), id(after))
        known = self._known.get(key)
        if known is None:
            group = self._groups.setdefault(change_between(before, after), {})
            # The images are kept with their ids, which are theirs alone as long as they live.
            known = self._known[key] = (before, after, group)
        known[2].setdefault(topic_id, []).append(number)
        self.count += 1

    def records(self) -> list[Record]:
        """One record with everything; none if there is nothing."""
        if not self._groups:
            return []
        changes = [_encoded(change, group) for change, group in self._groups.items()]
        return [PartitionChangesRecord(changes=changes)]


def decoded(change: PartitionChangesRecord.Change) -> PartitionChange:
    """The change that a record carries."""
    return PartitionChange(
        change.leader,
        _ids(change.isr),
        _ids(change.eligible_leader_replicas),
        _ids(change.last_known_elr),
        _ids(change.replicas),
        _ids(change.adding_replicas),
        _ids(change.removing_replicas),
        None if change.directories is None else tuple(change.directories),
    )


def encode_indexes(numbers: Sequence[int]) -> bytes:
    """Ascending numbers, at least one, as the gaps between them (the first from -1)."""
    gaps = list(map(sub, numbers, [-1, *numbers[:-1]]))
    assert min(gaps) > 0, f"partition numbers must ascend: {numbers}"
    if max(gaps) < _WIDE:
        return bytes(gaps)
    code = bytearray()
    for gap in gaps:
        if gap < _WIDE:
            code.append(gap)
        else:
            code.append(_WIDE)
            code += gap.to_bytes(4, "big")
    return bytes(code)


def decode_indexes(code: bytes) -> Iterable[int]:
    if _WIDE not in code:
        return (number - 1 for number in accumulate(code))
    return _decode_wide(code)


def _decode_wide(code: bytes) -> list[int]:
    numbers: list[int] = []
    number, position = -1, 0
    while position < len(code):
        gap = code[position]
        position += 1
        if gap == _WIDE:
            gap = int.from_bytes(code[position : position + 4], "big")
            position += 4
        number += gap
        numbers.append(number)
    return numbers


def _encoded(change: PartitionChange, group: Mapping[bytes, Sequence[int]]) -> PartitionChangesRecord.Change:
    return PartitionChangesRecord.Change(
        leader=change.leader,
        isr=_list(change.isr),
        eligible_leader_replicas=_list(change.eligible_leader_replicas),
        last_known_elr=_list(change.last_known_elr),
        replicas=_list(change.replicas),
        adding_replicas=_list(change.adding_replicas),
        removing_replicas=_list(change.removing_replicas),
        directories=None if change.directories is None else list(change.directories),
        topics=[
            PartitionChangesRecord.Partitions(topic_id=topic_id, partitions=encode_indexes(numbers))
            for topic_id, numbers in group.items()
        ],
    )


def _list(values: Ids | None) -> list[int] | None:
    return None if values is None else list(values)


def _changed(before: Ids, after: Ids) -> Ids | None:
    return None if after == before else after


def _after(before: Ids, changed: Ids | None) -> Ids:
    return before if changed is None else changed


def _ids(values: list[int] | None) -> Ids | None:
    return None if values is None else tuple(values)
