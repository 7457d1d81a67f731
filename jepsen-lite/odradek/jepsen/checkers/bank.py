"""A bank whose total never changes: transfers are transactions that read a request and write two accounts.

Decides: which balances can have been read. Each account is the sum of the entries in a partition of its own; a transfer
is a read-process-write transaction that consumes its request and appends one entry to either account.

Values, by `f`:

    accounts   {account: balance} told: the first entries. Once, before everything else
    transfer   {"from": account, "to": account, "amount": n} asked and told
    balances   null asked, {account: balance} told, of all accounts; `more` has "final": true after the faults

What a reading must be for this to be sound: it reads committed records of every account's partition up to (at least)
the high watermark that the partition had when the reading was invoked. So a transfer that was acknowledged before is
seen in both accounts, one that is invoked after the reading in none. Those at the same time may be seen in one account
and not in the other: Kafka does not promise snapshots over partitions. A transfer without an answer is decided, one way
or the other, `settle_s` after its invocation (the transaction timeout and a margin).

* bank-total-changed: the total is off by more than the transfers under way can explain; without any, by anything.
* bank-balance-wrong: the balance of an account is not between the least and the most that the transfers allow: one was
  lost, doubled, or happened although it had failed.
* bank-account-unknown: an account that was never opened, or one that is missing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from odradek.jepsen.checkers.anomaly import Anomaly
from odradek.jepsen.checkers.findings import Findings
from odradek.jepsen.history import NEVER, Operation

NS = 1_000_000_000


class _Entry(NamedTuple):
    """What a transfer does to a sum: it may be seen from `start` on, and must be from `end` on."""

    start: int
    end: int
    amount: int


class _Sums:
    """How much of some amounts is due, and may be there besides, at a time."""

    def __init__(self, entries: Sequence[_Entry]) -> None:
        by_start = sorted(entries, key=lambda entry: entry.start)
        by_end = sorted(entries, key=lambda entry: entry.end)
        self._starts = [entry.start for entry in by_start]
        self._ends = [entry.end for entry in by_end]
        self._lost, self._lost_due = (_running(es, below=True) for es in (by_start, by_end))
        self._won, self._won_due = (_running(es, below=False) for es in (by_start, by_end))

    def range(self, start: int, end: int) -> tuple[int, int]:
        """The least and the most that a reading from `start` to `end` may see."""
        due, begun = bisect_left(self._ends, start), bisect_left(self._starts, end)
        certain = self._lost_due[due] + self._won_due[due]
        least = certain + self._lost[begun] - self._lost_due[due]
        most = certain + self._won[begun] - self._won_due[due]
        return least, most


def _running(entries: Iterable[_Entry], *, below: bool) -> list[int]:
    amounts = (min(entry.amount, 0) if below else max(entry.amount, 0) for entry in entries)
    return list(accumulate(amounts, initial=0))


def check(operations: Sequence[Operation], *, settle_s: float = 60.0) -> list[Anomaly]:
    """Nothing is checked before the accounts were opened."""
    findings = Findings()
    opened = next((o for o in operations if o.invoke.f == "accounts" and o.type == "ok"), None)
    if opened is None:
        return []
    accounts: Mapping[str, int] = opened.completion.value
    transfers = [o for o in operations if o.invoke.f == "transfer" and o.type != "fail"]
    entries: dict[str, list[_Entry]] = defaultdict(list)
    under_way: list[_Entry] = []
    for transfer in transfers:
        asked, start = transfer.invoke.value, transfer.invoke.time
        amount = abs(asked["amount"])
        is_ok = transfer.type == "ok"
        end = transfer.completion.time if is_ok else NEVER
        entries[asked["from"]].append(_Entry(start, end, -asked["amount"]))
        entries[asked["to"]].append(_Entry(start, end, asked["amount"]))
        decided = end if is_ok else start + int(settle_s * NS)
        if asked["from"] != asked["to"]:
            under_way.append(_Entry(start, decided, amount))
    sums = {account: _Sums(entries[account]) for account in accounts}
    slack = _Sums(under_way)
    for reading in operations:
        if reading.invoke.f == "balances" and reading.type == "ok":
            told: Mapping[str, int] = reading.completion.value
            if told.keys() != accounts.keys():
                _add_unknown(findings, accounts, told, reading)
            else:
                _check_balances(findings, accounts, told, reading, sums, transfers)
                _check_total(findings, sum(accounts.values()), told, reading, slack, transfers)
    return findings.anomalies()


def _add_unknown(
    findings: Findings, accounts: Mapping[str, int], told: Mapping[str, int], reading: Operation
) -> None:
    different = sorted(accounts.keys() ^ told.keys())
    findings.add(
        "bank-account-unknown",
        f"{reading.invoke.process} read accounts that are not those opened: {', '.join(different[:10])}",
        [reading],
        {"accounts": different},
    )


def _check_total(
    findings: Findings,
    total: int,
    told: Mapping[str, int],
    reading: Operation,
    slack: _Sums,
    transfers: Sequence[Operation],
) -> None:
    found = sum(told.values())
    least, most = slack.range(reading.invoke.time, reading.completion.time)
    if abs(found - total) > most - least:
        findings.add(
            "bank-total-changed",
            f"{reading.invoke.process} read a total of {found}, which is {total}; transfers under way explain a "
            f"difference of {most - least}",
            [reading, *_around(transfers, reading)],
            {"total": total, "found": found, "explained": most - least},
        )


def _check_balances(
    findings: Findings,
    accounts: Mapping[str, int],
    told: Mapping[str, int],
    reading: Operation,
    sums: Mapping[str, _Sums],
    transfers: Sequence[Operation],
) -> None:
    for account, balance in told.items():
        least, most = sums[account].range(reading.invoke.time, reading.completion.time)
        if not least <= balance - accounts[account] <= most:
            own = [t for t in transfers if account in (t.invoke.value["from"], t.invoke.value["to"])]
            least, most = least + accounts[account], most + accounts[account]
            findings.add(
                "bank-balance-wrong",
                f"{reading.invoke.process} read {balance} in account {account}, which has from {least} to {most}",
                [reading, *_around(own, reading)] if findings.wants("bank-balance-wrong") else (),
                {"account": account, "found": balance, "least": least, "most": most},
            )


def _around(transfers: Sequence[Operation], reading: Operation) -> list[Operation]:
    """The last ones that were invoked before the reading ended."""
    end = bisect_left([transfer.invoke.time for transfer in transfers], reading.completion.time)
    return list(transfers[max(0, end - 4) : end])
