"""Which brokers the active controller has heard of, and when: soft state that dies with its leadership.

Decides when a session has lapsed, whether a registration of another process under a known number may take its place,
and when a broker that shuts down may go. Pure: time is an argument, `next_deadline_ms` a query over one heap.

A controller that has just become active knows nothing: every broker gets a fresh session. That is long enough also for
a broker to which the controller before it has just confirmed a heartbeat: it acts on that for a session after it sent
it, and it was confirmed only because a quorum still followed that controller then, so before this one was elected.

A second process with a known number (`claim`) takes the place of the first at once where that one has lapsed, was let
go, has not been heard of by this controller, or its connection is known to be gone. Otherwise it waits for a trial: if
the first one sends a heartbeat meanwhile, both are alive, which is a mistake of the operator; if it stays silent for
two heartbeats, it is dead. So a process that was killed is replaced at once or in half a second, never after a session.

Source: KIP-631 (BrokerHeartbeatManager), KIP-841.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

TRIAL_HEARTBEATS: Final = 2
"""A broker that is silent for so many heartbeat intervals while another claims its number is taken for dead."""
FORGIVEN_HEARTBEATS: Final = 2
"""How long a broker has to be heard of after a time in which this process did not run."""


@dataclass(slots=True)
class Session:
    """One broker. `heard`: it sent something to this controller. `leaving_at`: the entry of its controlled shutdown."""

    epoch: int
    lapses_ms: int
    heard_ms: int = -1
    metadata_offset: int = -1
    is_connection_gone: bool = False
    leaving_at: int | None = None
    is_let_go: bool = False
    is_being_fenced: bool = False
    trial: tuple[bytes, int] | None = None
    """(incarnation that claims the number, since when)"""

    @property
    def heard(self) -> bool:
        return self.heard_ms >= 0


@dataclass(frozen=True, slots=True)
class Claim:
    """What becomes of a claim. `retry_ms`: not decided before this time, unless something is heard earlier."""

    is_granted: bool
    retry_ms: int | None = None


class Sessions:
    """`timeout_ms`: session timeout. `heartbeat_ms`: how often a broker that is well is heard."""

    def __init__(self, timeout_ms: int, heartbeat_ms: int) -> None:
        self._timeout_ms = timeout_ms
        self._heartbeat_ms = heartbeat_ms
        self._by_broker: dict[int, Session] = {}
        self._heap: list[tuple[int, int]] = []  # (deadline, broker); may be out of date, then it is put back

    def __len__(self) -> int:
        return len(self._by_broker)

    def get(self, broker_id: int) -> Session | None:
        return self._by_broker.get(broker_id)

    def begin(self, brokers: Iterable[tuple[int, int]], now_ms: int) -> None:
        """This controller has become active: (broker id, epoch) of all that are not fenced."""
        self.clear()
        for broker_id, epoch in brokers:
            self._put(broker_id, Session(epoch, now_ms + self._timeout_ms))

    def clear(self) -> None:
        self._by_broker.clear()
        self._heap.clear()

    def open(self, broker_id: int, epoch: int, now_ms: int) -> None:
        """A broker was registered, which counts as having heard of it."""
        session = Session(epoch, now_ms + self._timeout_ms, heard_ms=now_ms)
        self._put(broker_id, session)

    def remove(self, broker_id: int) -> None:
        self._by_broker.pop(broker_id, None)

    def touch(self, broker_id: int, epoch: int, metadata_offset: int, now_ms: int) -> Session:
        """A heartbeat with the right epoch came."""
        session = self._by_broker.get(broker_id)
        if session is None or session.epoch != epoch:
            session = Session(epoch, 0)
            self._put(broker_id, session)
        session.lapses_ms = now_ms + self._timeout_ms
        session.heard_ms = now_ms
        session.metadata_offset = metadata_offset
        session.is_connection_gone = False
        return session

    def heard(self) -> frozenset[int]:
        """The brokers that this controller has heard of and not lost since."""
        return frozenset(
            broker_id
            for broker_id, session in self._by_broker.items()
            if session.heard and not session.is_connection_gone
        )

    def next_deadline_ms(self) -> int | None:
        """When the next session lapses, if nothing more is heard."""
        while self._heap:
            deadline_ms, broker_id = self._heap[0]
            session = self._by_broker.get(broker_id)
            if session is None or session.is_being_fenced:
                heapq.heappop(self._heap)
            elif session.lapses_ms > deadline_ms:
                heapq.heapreplace(self._heap, (session.lapses_ms, broker_id))
            else:
                return deadline_ms
        return None

    def pop_lapsed(self, now_ms: int) -> list[tuple[int, int]]:
        """(broker id, epoch) of the sessions that have lapsed; each is given once, to be fenced."""
        lapsed: list[tuple[int, int]] = []
        while (deadline_ms := self.next_deadline_ms()) is not None and deadline_ms <= now_ms:
            _, broker_id = heapq.heappop(self._heap)
            session = self._by_broker[broker_id]
            session.is_being_fenced = True
            lapsed.append((broker_id, session.epoch))
        return lapsed

    def is_lapsed(self, broker_id: int, now_ms: int) -> bool:
        session = self._by_broker.get(broker_id)
        return session is None or session.lapses_ms <= now_ms

    def watch(self, broker_id: int, now_ms: int) -> None:
        """It was not fenced after all: its session goes on, for a heartbeat at least."""
        session = self._by_broker.get(broker_id)
        if session is not None and session.is_being_fenced:
            session.is_being_fenced = False
            session.lapses_ms = max(session.lapses_ms, now_ms + self._heartbeat_ms)
            heapq.heappush(self._heap, (session.lapses_ms, broker_id))

    def forgive(self, now_ms: int) -> None:
        """Nothing could be heard until now: nobody's session lapses within the next heartbeats."""
        for session in self._by_broker.values():
            session.lapses_ms = max(session.lapses_ms, now_ms + FORGIVEN_HEARTBEATS * self._heartbeat_ms)

    def claim(self, broker_id: int, incarnation_id: bytes, now_ms: int) -> Claim:
        """Another process than the registered one, which is not fenced, claims its number."""
        session = self._by_broker.get(broker_id)
        if (
            session is None
            or not session.heard
            or session.is_connection_gone
            or session.is_let_go
            or session.lapses_ms <= now_ms
        ):
            return Claim(is_granted=True)
        if session.trial is None or session.trial[0] != incarnation_id:
            session.trial = (incarnation_id, now_ms)
        since_ms = session.trial[1]
        if session.heard_ms > since_ms:
            session.trial = None
            return Claim(is_granted=False)
        until_ms = since_ms + TRIAL_HEARTBEATS * self._heartbeat_ms
        return Claim(is_granted=True) if now_ms >= until_ms else Claim(is_granted=False, retry_ms=until_ms)

    def may_go(self, broker_id: int, active: Iterable[int]) -> bool:
        """Whether the other active brokers know that this one leads nothing any more."""
        session = self._by_broker.get(broker_id)
        if session is None or session.leaving_at is None:
            return True
        return all(
            other.metadata_offset >= session.leaving_at
            for broker in active
            if broker != broker_id and (other := self._by_broker.get(broker)) is not None and other.heard
        )

    def _put(self, broker_id: int, session: Session) -> None:
        self._by_broker[broker_id] = session
        heapq.heappush(self._heap, (session.lapses_ms, broker_id))
