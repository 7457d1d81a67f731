"""What the replicas of a partition hold when all is over, compared byte for byte and with what was acknowledged.

Decides: which difference between replicas is a fault. Does not decide: how a replica is read (`readback`), nor what
consumers saw. Invariants that are checked: P1 and P7 of `reliability` 7.2 (replicas are the same below the smaller of
their ends, batch by batch), I1 and I2 (a producer's sequence is stored once, and rises), contiguous offsets.

What it takes for granted: clients have stopped, the cluster was healed and in sync, and only then the nodes were
stopped. So a replica in sync must hold every acknowledged record, and two in sync must not differ. One that is not in
sync may end earlier and may hold what was never acknowledged; only its damage is reported.

Kinds: replica-divergence, replica-behind, replica-missing-record, replica-duplicate, replica-gap, replica-order,
replica-corrupt, replica-torn-tail, replica-sequence.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from odradek.jepsen.checkers.anomaly import Anomaly
from odradek.jepsen.checkers.findings import Findings
from odradek.jepsen.history import Operation

#: So many differences of one pair of replicas are told; they are counted all.
_PER_PAIR: Final = 10
_SEQUENCES: Final = 1 << 31


class Batch(NamedTuple):
    """One batch as it lies in a log; `digest` is a hash of all its bytes, its base offset and leader epoch included."""

    base_offset: int
    last_offset: int
    leader_epoch: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    crc: int
    digest: int


class Flaw(NamedTuple):
    """Bytes that are no batch, or a batch that does not fit where it is."""

    kind: Literal["torn", "corrupt", "record", "gap", "order"]
    offset: int
    detail: str


@dataclass(slots=True)
class Replica:
    """One log: its batches in columns, because there may be a million, and its records.

    `clean`: the node was stopped in order. `end`: the offset after the last record.
    """

    log_start: int = 0
    clean: bool = True
    end: int = 0
    bases: array[int] = field(default_factory=lambda: array("q"))
    lasts: array[int] = field(default_factory=lambda: array("q"))
    leader_epochs: array[int] = field(default_factory=lambda: array("q"))
    producer_ids: array[int] = field(default_factory=lambda: array("q"))
    producer_epochs: array[int] = field(default_factory=lambda: array("h"))
    sequences: array[int] = field(default_factory=lambda: array("q"))
    crcs: array[int] = field(default_factory=lambda: array("Q"))
    digests: array[int] = field(default_factory=lambda: array("Q"))
    offsets: array[int] = field(default_factory=lambda: array("q"))
    values: array[int] = field(default_factory=lambda: array("Q"))
    flaws: list[Flaw] = field(default_factory=list)

    def add(self, batch: Batch) -> None:
        """The next batch of the log."""
        self.bases.append(batch.base_offset)
        self.lasts.append(batch.last_offset)
        self.leader_epochs.append(batch.leader_epoch)
        self.producer_ids.append(batch.producer_id)
        self.producer_epochs.append(batch.producer_epoch)
        self.sequences.append(batch.base_sequence)
        self.crcs.append(batch.crc)
        self.digests.append(batch.digest)
        self.end = batch.last_offset + 1

    def __len__(self) -> int:
        """The number of batches."""
        return len(self.bases)

    def batch(self, place: int) -> Batch:
        return Batch(
            self.bases[place],
            self.lasts[place],
            self.leader_epochs[place],
            self.producer_ids[place],
            self.producer_epochs[place],
            self.sequences[place],
            self.crcs[place],
            self.digests[place],
        )

    def batches(self) -> Iterator[Batch]:
        return map(self.batch, range(len(self)))


Acknowledged = Mapping[str, Mapping[int, int | None]]
FindSends = Callable[[int], Sequence[Operation]]


def _nobody(_value: int) -> Sequence[Operation]:
    return ()


def check(
    nodes: Mapping[int, Mapping[str, Replica]],
    acknowledged: Acknowledged,
    in_sync: Mapping[str, Collection[int]] | None = None,
    *,
    starts: Mapping[str, int] | None = None,
    compacted: Collection[str] = (),
    find_sends: FindSends = _nobody,
) -> list[Anomaly]:
    """All anomalies of the replicas {node: {key: replica}}.

    `acknowledged`: {key: {value: offset or None}}. `in_sync`: the nodes that must hold all of a key; without it, or
    without the key in it, all that have a replica of it. `starts`: below that offset of a key records may be gone
    (retention, DeleteRecords). `compacted` keys are cleaned by every node on its own: their bytes are not compared,
    nor are their records counted. `find_sends`: see `observed.finder_of_sends`.
    """
    findings = Findings()
    keys = sorted({key for replicas in nodes.values() for key in replicas} | set(acknowledged))
    for key in keys:
        held = {node: nodes[node][key] for node in sorted(nodes) if key in nodes[node]}
        members = list(held) if in_sync is None or key not in in_sync else sorted(in_sync[key])
        for node, replica in held.items():
            _check_alone(findings, key, node, replica, key in compacted, find_sends)
        if key not in compacted:
            _compare(findings, key, {node: held[node] for node in members if node in held})
            start = (starts or {}).get(key, 0)
            _count(findings, key, held, members, acknowledged.get(key, {}), start, find_sends)
    return findings.anomalies()


# -- one replica


def _check_alone(
    findings: Findings, key: str, node: int, replica: Replica, is_compacted: bool, find_sends: FindSends
) -> None:
    where = {"key": key, "node": node}
    for flaw in replica.flaws:
        if (flaw.kind == "torn" and not replica.clean) or (flaw.kind == "gap" and is_compacted):
            continue
        kind = {"torn": "replica-torn-tail", "gap": "replica-gap", "order": "replica-order"}.get(
            flaw.kind, "replica-corrupt"
        )
        findings.add(kind, f"{key} on node {node}: {flaw.detail}", data={**where, "offset": flaw.offset})
    _check_sequences(findings, key, node, replica)
    offsets: dict[int, int] = dict(zip(replica.values, replica.offsets))
    if len(offsets) < len(replica.values):
        for offset, value in zip(replica.offsets, replica.values):
            if offsets[value] != offset and findings.wants("replica-duplicate"):
                findings.add(
                    "replica-duplicate",
                    f"{key} on node {node} holds {value} at offsets {offset} and {offsets[value]}",
                    find_sends(value),
                    {**where, "value": value, "offsets": [offset, offsets[value]]},
                )


def _check_sequences(findings: Findings, key: str, node: int, replica: Replica) -> None:
    """Of one producer and epoch every batch begins after the last sequence stored, in the order of offsets.

    How far after is left open: a broker may forget a producer that was silent for long and take up where it goes on.
    """
    last: dict[tuple[int, int], int] = {}
    producers = zip(replica.producer_ids, replica.producer_epochs, replica.sequences)
    for place, (producer, epoch, sequence) in enumerate(producers):
        if producer < 0 or sequence < 0:
            continue
        name = (producer, epoch)
        before = last.get(name)
        # The numbers are a circle: less than half of it ahead is after.
        if before is not None and not 0 < (sequence - before) % _SEQUENCES < _SEQUENCES // 2:
            findings.add(
                "replica-sequence",
                f"{key} on node {node}: the batch at offset {replica.bases[place]} begins with sequence {sequence} "
                f"of producer {producer} (epoch {epoch}), of which {before} was stored before",
                data={
                    "key": key,
                    "node": node,
                    "offset": replica.bases[place],
                    "producer_id": producer,
                    "producer_epoch": epoch,
                    "sequence": sequence,
                    "stored": before,
                },
            )
        last[name] = (sequence + replica.lasts[place] - replica.bases[place]) % _SEQUENCES


# -- one beside the other


def _compare(findings: Findings, key: str, held: Mapping[int, Replica]) -> None:
    """Each with the longest: what two others differ in, one of them does not share with the longest."""
    if len(held) < 2:
        return
    first = max(held, key=lambda node: (held[node].end, -node))
    for node in held:
        if node != first:
            _compare_pair(findings, key, (first, held[first]), (node, held[node]))


def _span(replica: Replica, low: int, high: int) -> tuple[int, int]:
    """The places of the batches that hold an offset in [low, high)."""
    return bisect_left(replica.lasts, low), bisect_left(replica.bases, high)


def _compare_pair(findings: Findings, key: str, one: tuple[int, Replica], other: tuple[int, Replica]) -> None:
    (left_node, left), (right_node, right) = one, other
    low, high = max(left.log_start, right.log_start), min(left.end, right.end)
    i, j = _span(left, low, high)
    k, l_ = _span(right, low, high)
    if left.bases[i:j] == right.bases[k:l_] and left.digests[i:j] == right.digests[k:l_]:
        return
    lefts = {left.bases[place]: place for place in range(i, j)}
    rights = {right.bases[place]: place for place in range(k, l_)}
    different = sorted(
        base
        for base in lefts.keys() | rights.keys()
        if base not in lefts or base not in rights or left.digests[lefts[base]] != right.digests[rights[base]]
    )
    for base in different[:_PER_PAIR]:
        pair = [
            replica.batch(places[base]) if base in places else None
            for replica, places in ((left, lefts), (right, rights))
        ]
        findings.add(
            "replica-divergence",
            f"{key} at offset {base}: {_difference(left_node, pair[0], right_node, pair[1])} "
            f"({len(different)} batches differ between them, below offset {high})",
            data={
                "key": key,
                "offset": base,
                "batches": {
                    str(node): None if batch is None else batch._asdict()
                    for node, batch in zip((left_node, right_node), pair)
                },
                "differences": len(different),
                "below": high,
            },
        )


def _difference(left_node: int, left: Batch | None, right_node: int, right: Batch | None) -> str:
    if left is None or right is None:
        has, lacks = (right_node, left_node) if left is None else (left_node, right_node)
        return f"node {has} has a batch that begins here, node {lacks} has none"
    fields = [
        f"{name} {mine} and {theirs}"
        for name, mine, theirs in zip(Batch._fields, left, right)
        if mine != theirs and name != "digest"
    ]
    return f"nodes {left_node} and {right_node} differ in {', '.join(fields) or 'bytes of the header'}"


# -- beside what was acknowledged


def _count(
    findings: Findings,
    key: str,
    held: Mapping[int, Replica],
    members: Sequence[int],
    acknowledged: Mapping[int, int | None],
    start: int,
    find_sends: FindSends,
) -> None:
    if not acknowledged:
        return
    told = {value: offset for value, offset in acknowledged.items() if offset is not None and offset >= start}
    untold = [value for value, offset in acknowledged.items() if offset is None and not start]
    lacking: dict[int, dict[int, int]] = {}
    places: dict[int, dict[int, int]] = {}
    for node, replica in held.items():
        places[node] = dict(zip(replica.values, replica.offsets))
        lacking[node] = _absent(told, places[node])
        lacking[node].update((value, -1) for value in untold if value not in places[node])
    gone = _gone(lacking, places) if held else {*told, *untold}
    for value in sorted(gone, key=lambda value: (acknowledged[value] or 0, value)):
        findings.add(
            "replica-missing-record",
            f"{key}: {value} was acknowledged at offset {_said(acknowledged[value])} and is in no replica",
            find_sends(value) if findings.wants("replica-missing-record") else (),
            {"key": key, "value": value, "offset": acknowledged[value], "nodes": sorted(held)},
        )
    for node in members:
        if node in held:
            rest = sorted((offset, value) for value, offset in lacking[node].items() if value not in gone)
            _tell_missing(findings, (key, node, held[node].end), rest, places[node], find_sends)
        else:
            findings.add(
                "replica-behind",
                f"{key}: node {node} is said to be in sync and has no replica of it",
                data={"key": key, "node": node, "missing": len(acknowledged)},
            )


def _absent(told: Mapping[int, int], places: Mapping[int, int]) -> dict[int, int]:
    at = places.get
    return {value: offset for value, offset in told.items() if at(value) != offset}


def _gone(lacking: Mapping[int, Mapping[int, int]], places: Mapping[int, Mapping[int, int]]) -> set[int]:
    """Values that stand nowhere at all, not even at another offset."""
    fewest = min(lacking.values(), key=len)
    return {value for value in fewest if not any(value in there for there in places.values())}


def _said(offset: int | None) -> str:
    return "unknown" if offset is None or offset < 0 else str(offset)


def _tell_missing(
    findings: Findings,
    where: tuple[str, int, int],
    lacking: Sequence[tuple[int, int]],
    places: Mapping[int, int],
    find_sends: FindSends,
) -> None:
    """A replica in sync lacks these (offset, value): past its end it is behind, before it something is lost."""
    key, node, end = where
    after = [(offset, value) for offset, value in lacking if offset >= end and value not in places]
    if after:
        offset, value = after[0]
        findings.add(
            "replica-behind",
            f"{key}: node {node} is in sync and ends at offset {end}; {len(after)} records were acknowledged after "
            f"that, the first at {offset}, the last at {after[-1][0]}",
            find_sends(value),
            {
                "key": key,
                "node": node,
                "end": end,
                "missing": len(after),
                "first": offset,
                "last": after[-1][0],
            },
        )
    for offset, value in lacking:
        if offset >= end and value not in places:
            continue
        found = f"has it at {places[value]}" if value in places else "does not have it"
        findings.add(
            "replica-missing-record",
            f"{key}: {value} was acknowledged at offset {_said(offset)}; node {node}, which is in sync, {found}",
            find_sends(value) if findings.wants("replica-missing-record") else (),
            {"key": key, "value": value, "offset": offset, "node": node, "found": places.get(value)},
        )
