"""What clients did and saw, and the invariants that can be judged from that alone, checked as it happens.

Names are those of the reliability reference, 7.2: P1, P5, P6 (partitions), I1 to I3 (idempotence), G1 to G5 (groups).

An operation that was not answered may have happened, now or later: it is never counted as failed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.sim.verdict import Verdict

TopicPartition = tuple[str, int]
FOREVER = 1 << 62


@dataclass
class _PartitionHistory:
    at: dict[int, bytes] = field(default_factory=dict)  # offset -> value, acknowledged or read
    offset_of: dict[bytes, int] = field(default_factory=dict)
    sent: dict[bytes, None] = field(default_factory=dict)
    acked: dict[bytes, int] = field(default_factory=dict)
    read_end: int = 0
    """Every offset below it was shown to a consumer."""


@dataclass
class _Commit:
    offset: int
    invoked_us: int
    acked_us: int = FOREVER
    is_refused: bool = False


class History:
    """Of one run. `now_us` is the world's time, the same for all."""

    def __init__(self, verdict: Verdict, now_us: Callable[[], int]) -> None:
        self.verdict = verdict
        self.on_acked: Callable[[TopicPartition, int], None] | None = None
        """Hears of every acknowledged (partition, last offset) of acks=all."""
        self._now_us = now_us
        self._partitions: dict[TopicPartition, _PartitionHistory] = {}
        self._producer_ids: dict[tuple[int, int], bytes] = {}
        self._commits: dict[tuple[str, TopicPartition], list[_Commit]] = {}
        self._delivered: dict[tuple[str, TopicPartition], set[int]] = {}
        self._owners: dict[tuple[str, int], dict[TopicPartition, str]] = {}
        self._members: dict[tuple[str, int], tuple[str, ...]] = {}
        self._established: dict[str, list[tuple[int, int]]] = {}  # group -> (time, generation)

    def partition(self, tp: TopicPartition) -> _PartitionHistory:
        found = self._partitions.get(tp)
        if found is None:
            found = self._partitions[tp] = _PartitionHistory()
        return found

    def partitions(self) -> Mapping[TopicPartition, _PartitionHistory]:
        return self._partitions

    # -- producing

    def on_producer_id(self, producer_id: int, epoch: int, owner: bytes) -> None:
        known = self._producer_ids.setdefault((producer_id, epoch), owner)
        self.verdict.check(
            known == owner, "I1 a producer id is given out once", producer_id, epoch, known, owner
        )

    def on_sent(self, tp: TopicPartition, values: Sequence[bytes]) -> None:
        self.partition(tp).sent.update(dict.fromkeys(values))
        self.verdict.count("records sent", len(values))

    def on_acknowledged(self, tp: TopicPartition, values: Sequence[bytes], base_offset: int) -> None:
        """acks=all was answered. `base_offset` -1: a duplicate whose offset the answer does not tell."""
        partition = self.partition(tp)
        self.verdict.count("records acknowledged", len(values))
        for at, value in enumerate(values):
            self.verdict.check(value not in partition.acked, "I1 a value is acknowledged once", tp, value)
            partition.acked[value] = base_offset + at if base_offset >= 0 else -1
            if base_offset >= 0:
                self._place(tp, partition, base_offset + at, value)
        if base_offset >= 0 and self.on_acked is not None:
            self.on_acked(tp, base_offset + len(values) - 1)

    # -- reading

    def on_read(self, tp: TopicPartition, offset: int, value: bytes) -> None:
        partition = self.partition(tp)
        self.verdict.check(value in partition.sent, "P5 only what was sent is read (G1a)", tp, offset, value)
        self._place(tp, partition, offset, value)
        if offset == partition.read_end:
            partition.read_end = offset + 1
            self.verdict.count("records read")

    def on_gap(self, tp: TopicPartition, expected: int, found: int) -> None:
        """A reader was given `found` where it asked for `expected`: nothing is deleted or compacted here."""
        self.verdict.violate("P5 no offset is skipped", tp, expected, found)

    def on_out_of_range(self, tp: TopicPartition, offset: int) -> None:
        """A leader knows nothing of an offset up to which others have read."""
        self.verdict.violate("P5 what was read stays (offset out of range)", tp, offset)

    def _place(self, tp: TopicPartition, partition: _PartitionHistory, offset: int, value: bytes) -> None:
        known = partition.at.setdefault(offset, value)
        self.verdict.check(known == value, "P5 an offset has one value for ever", tp, offset, known, value)
        where = partition.offset_of.setdefault(value, offset)
        self.verdict.check(where == offset, "I1 a value has one offset", tp, value, where, offset)

    # -- groups

    def on_members(self, group: str, generation: int, members: Sequence[str]) -> None:
        """The leader of a generation was told who is in it."""
        known = self._members.setdefault((group, generation), tuple(members))
        self.verdict.check(
            known == tuple(members),
            "G1 a generation has one set of members",
            group,
            generation,
            known,
            members,
        )

    def on_assigned(self, group: str, generation: int, member: str, owned: Sequence[TopicPartition]) -> None:
        owners = self._owners.setdefault((group, generation), {})
        for tp in owned:
            owner = owners.setdefault(tp, member)
            self.verdict.check(
                owner == member,
                "G1 one owner per partition and generation",
                group,
                generation,
                tp,
                owner,
                member,
            )
        established = self._established.setdefault(group, [])
        if not established or established[-1][1] < generation:
            established.append((self._now_us(), generation))
        self.verdict.count("assignments")

    def newest_generation(self, group: str, before_us: int) -> int:
        """The highest generation that some member had been given before a time."""
        return max((number for at, number in self._established.get(group, ()) if at < before_us), default=-1)

    def on_commit_sent(self, group: str, tp: TopicPartition, offset: int) -> _Commit:
        commit = _Commit(offset, self._now_us())
        self._commits.setdefault((group, tp), []).append(commit)
        return commit

    def on_commit_acknowledged(
        self, group: str, tp: TopicPartition, commit: _Commit, generation: int
    ) -> None:
        commit.acked_us = self._now_us()
        newest = self.newest_generation(group, commit.invoked_us)
        self.verdict.check(
            newest <= generation, "G3 commits of an old generation are refused", group, tp, generation, newest
        )
        self.verdict.count("commits")

    def on_commit_refused(self, commit: _Commit) -> None:
        commit.is_refused = True

    def on_committed_read(self, group: str, tp: TopicPartition, offset: int, asked_us: int) -> None:
        """A fetch of the committed offset, sent at `asked_us`, found `offset` (-1: none)."""
        commits = [commit for commit in self._commits.get((group, tp), ()) if not commit.is_refused]
        settled = [commit for commit in commits if commit.acked_us < asked_us]
        # What a later commit, begun after this one was acknowledged and acknowledged itself, has replaced.
        newest_start = max((commit.invoked_us for commit in settled), default=-1)
        possible = {commit.offset for commit in commits if commit.acked_us >= newest_start}
        if not settled:
            possible.add(-1)
        self.verdict.check(
            offset in possible,
            "G2 the committed offset is the last acknowledged",
            group,
            tp,
            offset,
            possible,
        )
        self.verdict.count("committed offsets read")

    def on_delivered(self, group: str, tp: TopicPartition, offset: int) -> None:
        self._delivered.setdefault((group, tp), set()).add(offset)

    # -- the end

    def check_final(self, contents: Mapping[TopicPartition, Sequence[tuple[int, bytes]]]) -> None:
        """`contents`: every record of every partition, as a consumer reads it once all is healed."""
        for tp, partition in self._partitions.items():
            found = contents[tp]
            for expected, (offset, value) in enumerate(found):
                if offset != expected:
                    self.on_gap(tp, expected, offset)
                self.on_read(tp, offset, value)
            values = {value for _, value in found}
            lost = [value for value in partition.acked if value not in values]
            self.verdict.check(not lost, "P1 an acknowledged record is never lost", tp, len(lost), lost[:5])
            self.verdict.check(
                len(values) == len(found), "I1 no record is there twice", tp, len(found), len(values)
            )
            self._check_order(tp, [value for _, value in found])

    def _check_order(self, tp: TopicPartition, values: Sequence[bytes]) -> None:
        """Values are `producer:number:...`; a producer's numbers ascend."""
        last: dict[bytes, int] = {}
        for value in values:
            producer, number, _ = value.split(b":", 2)
            before = last.get(producer, -1)
            self.verdict.check(int(number) > before, "I2 the order of a producer is kept", tp, value, before)
            last[producer] = int(number)

    def check_delivered(self, group: str, tp: TopicPartition, committed: int) -> None:
        """Everything below a committed offset has reached some member."""
        delivered = self._delivered.get((group, tp), set())
        missing = [offset for offset in range(committed) if offset not in delivered]
        self.verdict.check(
            not missing, "G5 what is committed was delivered", group, tp, committed, missing[:5]
        )
