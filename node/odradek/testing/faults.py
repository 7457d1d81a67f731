"""Faults that a test arms, and which of them a request meets. Pure but for a lock: the test may be in another thread.

Decides: the order (as they were armed: delays add up, and the first failure or broken connection ends the search),
how often each comes, and what is counted. Does not decide how a fault looks at a door (`kafka_faults`,
`grpc_faults`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from enum import Enum
from threading import Lock
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from odradek.proto.kafka.errors import ErrorCode
from odradek.testing.fault_names import api_named, error_named

When = Literal["before", "after"]
"""Whether a fault comes before a request is carried out, or between that and its answer."""


class Kind(Enum):
    FAIL = "fail"
    DELAY = "delay"
    DROP = "drop"


class Fault:
    """One fault: armed until it has come `times` times, `clear` is called, or its `with` block is left."""

    def __init__(
        self,
        owner: Faults,
        api: str,
        kind: Kind,
        when: When,
        times: int | None,
        topic: str | None,
        argument: ErrorCode | float = 0.0,
    ) -> None:
        self._owner = owner
        self.api: Final = api
        self.kind: Final = kind
        self.when: Final = when
        self.times: Final = times
        self.topic: Final = topic
        self.argument: Final = argument
        self.fired = 0
        """How often it came."""

    @property
    def is_armed(self) -> bool:
        return self._owner.has(self)

    def clear(self) -> None:
        """It comes no more."""
        self._owner.remove(self)

    def __enter__(self) -> Fault:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def __repr__(self) -> str:
        parts = [f"{self.kind.value} {self.api}", f"fired={self.fired}"]
        if isinstance(self.argument, ErrorCode):
            parts.insert(1, self.argument.name)
        if self.topic is not None:
            parts.append(f"topic={self.topic}")
        return f"<Fault {' '.join(parts)}>"


class Plan(NamedTuple):
    """What one request meets. `end`: the failure or the broken connection, None if it is carried out and answered."""

    delay_before_s: float = 0.0
    delay_after_s: float = 0.0
    end: Fault | None = None

    @property
    def error(self) -> ErrorCode | None:
        """The error that it is answered with instead of being carried out."""
        if self.end is None or not isinstance(self.end.argument, ErrorCode):
            return None
        return self.end.argument

    def drops(self, when: When) -> bool:
        return self.end is not None and self.end.kind is Kind.DROP and self.end.when == when


NO_PLAN: Final = Plan()
Topics = Callable[[], Collection[str]]


class Faults:
    """The faults of one broker. Safe to use from any thread."""

    def __init__(self, *, has_grpc: bool) -> None:
        self._has_grpc = has_grpc
        self._lock = Lock()
        self._armed: dict[str, list[Fault]] = {}
        self._fired: Counter[str] = Counter()

    # -- for the test

    def fail(self, api: str, *, error: str, times: int | None = None, topic: str | None = None) -> Fault:
        """Requests of `api` are refused with Kafka's `error` ("NOT_LEADER_OR_FOLLOWER") and not carried out.

        `times`: the next so many requests, else all until the fault is cleared. `topic`: only this topic is refused;
        others in the same request are served. Raises ValueError for names that there are not.
        """
        return self._arm(api, Kind.FAIL, "before", times, topic, error_named(error))

    def delay(
        self,
        api: str,
        *,
        seconds: float,
        when: When = "before",
        times: int | None = None,
        topic: str | None = None,
    ) -> Fault:
        """Requests of `api` wait for so long before they are carried out, or their answers do. Raises ValueError."""
        if not 0 < seconds < float("inf"):
            raise ValueError(f"seconds={seconds}: give more than 0")
        return self._arm(api, Kind.DELAY, when, times, topic, float(seconds))

    def drop_connection(
        self, api: str, *, when: When, times: int | None = None, topic: str | None = None
    ) -> Fault:
        """The connection of a request of `api` breaks: before it is carried out, or after, so that its answer is lost.

        A call of gRPC ends with UNAVAILABLE, which is what a client sees of a broken connection. Raises ValueError.
        """
        return self._arm(api, Kind.DROP, when, times, topic)

    def clear(self) -> None:
        """No fault comes any more. What was counted stays."""
        with self._lock:
            self._armed.clear()

    @property
    def fired(self) -> Mapping[str, int]:
        """How many faults came, by API; 0 for an API that had none."""
        return MappingProxyType(self._fired)

    # -- for the doors

    def is_armed(self, api: str) -> bool:
        """Whether `take` may find anything."""
        return api in self._armed

    def take(self, api: str, topics: Topics, may_come: Callable[[Fault], bool] = lambda _: True) -> Plan:
        """What a request of `api` meets; this counts. `topics` is asked for its topics if that matters.

        `may_come`: whether a fault could be seen at all in what comes of this request.
        """
        before_s = after_s = 0.0
        end: Fault | None = None
        named: Collection[str] | None = None
        with self._lock:
            for fault in list(self._armed.get(api, ())):
                if not may_come(fault):
                    continue
                if fault.topic is not None:
                    named = topics() if named is None else named
                    if fault.topic not in named:
                        continue
                self._fire(fault)
                if fault.kind is Kind.DELAY:
                    before_s += fault.argument if fault.when == "before" else 0.0
                    after_s += fault.argument if fault.when == "after" else 0.0
                else:
                    end = fault
                    break
        return Plan(before_s, after_s, end) if before_s or after_s or end else NO_PLAN

    # -- for a fault

    def has(self, fault: Fault) -> bool:
        return fault in self._armed.get(fault.api, ())

    def remove(self, fault: Fault) -> None:
        with self._lock:
            self._remove(fault)

    # -- inside

    def _arm(
        self,
        api: str,
        kind: Kind,
        when: When,
        times: int | None,
        topic: str | None,
        argument: ErrorCode | float = 0.0,
    ) -> Fault:
        if when not in ("before", "after"):
            raise ValueError(f"when={when!r}: give 'before' or 'after'")
        if times is not None and times < 1:
            raise ValueError(f"times={times}: give at least 1, or None for as often as it matters")
        name = api_named(api, has_grpc=self._has_grpc, takes_topic=topic is not None)
        fault = Fault(self, name, kind, when, times, topic, argument)
        with self._lock:
            self._armed.setdefault(name, []).append(fault)
        return fault

    def _fire(self, fault: Fault) -> None:
        fault.fired += 1
        self._fired[fault.api] += 1
        if fault.times is not None and fault.fired >= fault.times:
            self._remove(fault)

    def _remove(self, fault: Fault) -> None:
        armed = self._armed.get(fault.api, [])
        if fault in armed:
            armed.remove(fault)
        if not armed:
            self._armed.pop(fault.api, None)
