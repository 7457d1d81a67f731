"""Histories written by hand: short words for operations, with a clock that ticks once per event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from odradek.jepsen.checkers.anomaly import Anomaly
from odradek.jepsen.history import Event, Type

KEY = "q/0"


class History:
    """Every method adds an invocation and its completion; `begin` and `end` are for operations that overlap."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def begin(self, process: str, f: str, value: Any, **more: Any) -> int:
        op = len(self.events)
        self.events.append(Event(op, process, op, "invoke", f, value, None, more or None))
        return op

    def end(self, op: int, kind: Type, value: Any, **more: Any) -> None:
        process, f = self.events[op].process, self.events[op].f
        error = None if kind == "ok" else "TIMED_OUT"
        self.events.append(Event(len(self.events), process, op, kind, f, value, error, more or None))

    def send(
        self,
        process: str,
        value: int,
        offset: int | None,
        kind: Type = "ok",
        *,
        key: str = KEY,
        ordered: bool = True,
    ) -> None:
        more = {} if ordered else {"ordered": False}
        op = self.begin(process, "send", [["send", key, value]], **more)
        self.end(op, kind, [["send", key, [offset, value]]])

    def poll(self, process: str, *pairs: tuple[int, int], key: str = KEY, **more: Any) -> None:
        op = self.begin(process, "poll", [["poll"]])
        self.end(op, "ok", [["poll", {key: [list(pair) for pair in pairs]}]], **more)

    def txn(self, process: str, *told: Any, kind: Type = "ok", **more: Any) -> None:
        op = self.begin(process, "txn", asked(told))
        self.end(op, kind, list(told), **more)

    def assign(self, process: str, *keys: str, **more: Any) -> None:
        op = self.begin(process, "assign", list(keys), **more)
        self.end(op, "ok", list(keys), **more)

    def subscribe(self, process: str, *topics: str) -> None:
        op = self.begin(process, "subscribe", list(topics), group="g")
        self.end(op, "ok", list(topics), group="g")


def sent(value: int, offset: int | None, key: str = KEY) -> list[Any]:
    return ["send", key, [offset, value]]


def got(*pairs: tuple[int, int], key: str = KEY) -> list[Any]:
    return ["poll", {key: [list(pair) for pair in pairs]}]


def asked(told: Sequence[Any]) -> list[Any]:
    return [[m[0], m[1], m[2][1]] if m[0] == "send" else ["poll"] for m in told]


def kinds(anomalies: Sequence[Anomaly]) -> list[str]:
    return [anomaly.kind for anomaly in anomalies]
