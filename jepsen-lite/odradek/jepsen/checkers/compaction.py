"""What compaction may take away: older values of a name, and tombstones whose time is over. Nothing else.

Decides: whether what was read of a compacted topic can be what compaction left of what was written. Invariants C1 and
C2 of `reliability` 7.2. Values, by `f` (key is "topic/partition", name the key of the record in it):

    put   {"key": key, "name": name, "value": n or null} asked; told the same and "offset". null is a tombstone; two
          puts of a name never have the same value
    scan  {"key": key} asked; told {"key": key, "records": [[offset, name, value], ...], "end": offset}, and "dirty":
          offset where known. Read from the beginning to `end`, the high watermark at the invocation, or past it. At
          `dirty` begins what the cleaner had not touched when the scan was over

* compaction-order: the offsets of a scan do not rise.
* compaction-changed-record: an offset had another name or value before. Compaction keeps offsets.
* compaction-invented: a value that nobody put, or whose put certainly failed.
* compaction-lost-value: the latest value of a name, known before the scan and not surely replaced since, is not there;
  or a record at `dirty` or later is not.
* compaction-resurrection: a name whose tombstone was known before the scan shows an older value, and no tombstone. (A
  scan that takes longer than tombstones are kept may: it reads the old value before, and the place of the tombstone
  after both were taken away.)
* compaction-tombstone-gone-early: a tombstone is gone before `delete_retention_s` have passed since it was written.

Replicas are cleaned each by itself, so superseded values may come back when the leader changes: no anomaly.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from odradek.jepsen.checkers.anomaly import Anomaly
from odradek.jepsen.checkers.findings import Findings
from odradek.jepsen.history import Operation

NS = 1_000_000_000


class _Record(NamedTuple):
    """`since`: when it may have been written, at the earliest. `known`: when that was certain."""

    offset: int
    name: str
    value: int | None
    since: int
    known: int
    proof: Operation


class _Log:
    """All that is known of one key: by its puts and by all scans."""

    def __init__(self, puts: Sequence[Operation], scans: Sequence[Operation], findings: Findings) -> None:
        self.scans = scans
        self.records: dict[int, _Record] = {}
        self.asked: dict[tuple[str, int | None], Operation] = {}
        self.open_puts: dict[str, list[Operation]] = defaultdict(list)
        for put in puts:
            name, value = put.invoke.value["name"], put.invoke.value["value"]
            if put.type != "fail":
                self.asked.setdefault((name, value), put)
            if put.type == "info":
                self.open_puts[name].append(put)
            elif put.type == "ok" and (offset := put.completion.value.get("offset")) is not None:
                self._know(findings, offset, name, value, put)
        for scan in scans:
            for offset, name, value in scan.completion.value["records"]:
                self._know(findings, offset, name, value, scan)
        by_name: dict[str, list[_Record]] = defaultdict(list)
        for offset in sorted(self.records):
            by_name[self.records[offset].name].append(self.records[offset])
        #: Of each name: its offsets, and the earliest beginning of any record from each on.
        self.later: dict[str, tuple[list[int], list[int]]] = {}
        for name, records in by_name.items():
            since = [record.since for record in records]
            for place in range(len(since) - 2, -1, -1):
                since[place] = min(since[place], since[place + 1])
            self.later[name] = ([record.offset for record in records], since)

    def _know(self, findings: Findings, offset: int, name: str, value: int | None, proof: Operation) -> None:
        before = self.records.get(offset)
        if before is not None:
            if (before.name, before.value) != (name, value):
                findings.add(
                    "compaction-changed-record",
                    f"offset {offset} was {before.name}={before.value} and is {name}={value}",
                    [before.proof, proof],
                    {"offset": offset, "was": [before.name, before.value], "is": [name, value]},
                )
            elif proof.completion.time < before.known:
                self.records[offset] = before._replace(known=proof.completion.time)
            return
        put = self.asked.get((name, value))
        if put is None:
            findings.add(
                "compaction-invented",
                f"offset {offset} shows {name}={value}, which nobody put",
                [proof],
                {"offset": offset, "name": name, "value": value},
            )
            return
        self.records[offset] = _Record(offset, name, value, put.invoke.time, proof.completion.time, proof)

    def may_be_replaced(self, record: _Record, until: int) -> bool:
        """Whether a later put of the name may have been written by then, so that this record may be gone."""
        offsets, since = self.later[record.name]
        place = bisect_right(offsets, record.offset)
        has_later = place < len(offsets)
        if has_later and since[place] < until:
            return True
        # An answer that never came: a tombstone, or a value that was replaced in turn, leaves no trace of itself.
        return any(
            put.invoke.time < until and (has_later or put.invoke.value["value"] is None)
            for put in self.open_puts.get(record.name, ())
        )


def check(operations: Sequence[Operation], *, delete_retention_s: float = 86_400.0) -> list[Anomaly]:
    """`delete_retention_s`: delete.retention.ms of the topics."""
    findings = Findings()
    puts: dict[str, list[Operation]] = defaultdict(list)
    scans: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        if operation.invoke.f == "put":
            puts[operation.invoke.value["key"]].append(operation)
        elif operation.invoke.f == "scan" and operation.type == "ok":
            scans[operation.invoke.value["key"]].append(operation)
    for key, of_key in sorted(scans.items()):
        _check_key(findings, key, _Log(puts[key], of_key, findings), int(delete_retention_s * NS))
    return findings.anomalies()


def _check_key(findings: Findings, key: str, log: _Log, retention: int) -> None:
    """Scan after scan, with what was known when each was invoked."""
    to_come = sorted(log.records.values(), key=lambda record: record.known)
    place = 0
    latest: dict[str, _Record] = {}
    known: list[int] = []
    for scan in sorted(log.scans, key=lambda scan: scan.invoke.time):
        while place < len(to_come) and to_come[place].known < scan.invoke.time:
            record = to_come[place]
            if record.name not in latest or latest[record.name].offset < record.offset:
                latest[record.name] = record
            insort(known, record.offset)
            place += 1
        _check_scan(findings, key, log, scan, latest, retention)
        _check_dirty(findings, key, log, scan, known)


def _check_scan(
    findings: Findings, key: str, log: _Log, scan: Operation, latest: Mapping[str, _Record], retention: int
) -> None:
    told = scan.completion.value
    shown: dict[str, tuple[int, int | None]] = {}
    before = -1
    for offset, name, value in told["records"]:
        if offset <= before:
            findings.add(
                "compaction-order",
                f"{key}: a scan shows offset {offset} after {before}",
                [scan],
                {"key": key, "offset": offset, "after": before},
            )
        before = offset
        shown[name] = max(shown.get(name, (-1, None)), (offset, value), key=lambda pair: pair[0])
    for name, record in latest.items():
        at, value = shown.get(name, (-1, None))
        if at >= record.offset or record.offset >= told["end"]:
            continue
        if log.may_be_replaced(record, scan.completion.time):
            continue
        data: dict[str, Any] = {"key": key, "name": name, "offset": record.offset, "value": record.value}
        if record.value is not None:
            found = f"shows {value} at {at}" if at >= 0 else "shows nothing"
            findings.add(
                "compaction-lost-value",
                f"{key}: {name} is {record.value} at offset {record.offset}, and a scan {found}",
                [record.proof, scan],
                {**data, "shown": [at, value] if at >= 0 else None},
            )
        elif value is not None and scan.completion.time - scan.invoke.time < retention:
            findings.add(
                "compaction-resurrection",
                f"{key}: {name} was deleted at offset {record.offset}, and a scan shows {value} at {at}",
                [record.proof, scan],
                {**data, "shown": [at, value]},
            )
        elif scan.completion.time < _written(log, record) + retention:
            findings.add(
                "compaction-tombstone-gone-early",
                f"{key}: {name} was deleted at offset {record.offset}, and a scan does not show that",
                [record.proof, scan],
                data,
            )


def _written(log: _Log, record: _Record) -> int:
    """When at the earliest, so that nothing is missed too early."""
    return record.proof.invoke.time if record.proof.invoke.f == "put" else record.since


def _check_dirty(findings: Findings, key: str, log: _Log, scan: Operation, known: Sequence[int]) -> None:
    told = scan.completion.value
    dirty = told.get("dirty")
    if dirty is None:
        return
    shown = {record[0] for record in told["records"]}
    for offset in known[bisect_left(known, dirty) : bisect_left(known, told["end"])]:
        if offset not in shown:
            record = log.records[offset]
            findings.add(
                "compaction-lost-value",
                f"{key}: offset {offset} ({record.name}={record.value}) is not there, though nothing was cleaned "
                f"from {dirty} on",
                [record.proof, scan],
                {"key": key, "name": record.name, "offset": offset, "value": record.value, "dirty": dirty},
            )
