from __future__ import annotations

from typing import Any

import pytest
from tests.unit.client.patterns.memory_log import JumpingClock, MemoryLog, StandingClock

from odradek.client.patterns.choreography import Participant, Reaction, SagaEvent, emit, event_of, follow_ups
from odradek.client.patterns.retry_policy import Reject, RetryPolicy
from odradek.client.patterns.service import running

TOPIC = "orders.events"


class Shop:
    """A warehouse and a bank, which know nothing of each other."""

    def __init__(self, log: MemoryLog, money: int = 100, clock: JumpingClock | None = None) -> None:
        self.story: list[str] = []
        self.errors: list[Exception] = []
        self._money = money
        policy = RetryPolicy(max_attempts=2, first_delay_ms=10, jitter=0)
        self.warehouse = Participant(
            log,
            "warehouse",
            TOPIC,
            {"order.placed": Reaction(self._reserve), "payment.refused": Reaction(self._release)},
            retry=policy,
            clock=clock or JumpingClock(),
        )
        self.bank = Participant(
            log,
            "bank",
            TOPIC,
            {"stock.reserved": Reaction(self._pay, failure="payment.refused")},
            retry=policy,
        )

    async def _reserve(self, event: SagaEvent) -> list[tuple[str, Any]]:
        if self.errors:
            raise self.errors.pop(0)
        self.story.append(f"reserve {event.saga_id}")
        return [("stock.reserved", event.data)]

    async def _release(self, event: SagaEvent) -> list[tuple[str, Any]]:
        self.story.append(f"release {event.saga_id}: {event.data['error']}")
        return [("stock.released", None)]

    async def _pay(self, event: SagaEvent) -> list[tuple[str, Any]]:
        if event.data["price"] > self._money:
            raise Reject("no money")
        self.story.append(f"pay {event.saga_id}")
        return [("payment.taken", None)]


def types(log: MemoryLog) -> list[str]:
    events = [event_of(record) for record in log.all_of(TOPIC)]
    return [event.type for event in events if event is not None]


async def test_events_lead_to_events() -> None:
    log = MemoryLog()
    shop = Shop(log)
    async with running(shop.warehouse, shop.bank):
        await emit(log.writer(), TOPIC, "order.placed", "o1", {"price": 10})
        await log.until(lambda: "payment.taken" in types(log))
    assert shop.story == ["reserve o1", "pay o1"]
    first, second, third = (event_of(record) for record in log.all_of(TOPIC))
    assert first is not None and second is not None and third is not None
    assert (second.cause_id, third.cause_id) == (first.event_id, second.event_id)
    assert third.event_id == f"{first.event_id}/warehouse/0/bank/0"


async def test_a_failure_leads_to_compensation() -> None:
    log = MemoryLog()
    shop = Shop(log, money=5)
    async with running(shop.warehouse, shop.bank):
        await emit(log.writer(), TOPIC, "order.placed", "o1", {"price": 10})
        await log.until(lambda: "stock.released" in types(log))
    assert shop.story == ["reserve o1", "release o1: Reject: no money"]
    assert types(log) == ["order.placed", "stock.reserved", "payment.refused", "stock.released"]


async def test_an_event_that_comes_twice_is_reacted_to_once() -> None:
    log = MemoryLog()
    shop = Shop(log)
    async with running(shop.warehouse):
        for _ in range(2):
            await emit(log.writer(), TOPIC, "order.placed", "o1", {"price": 1}, event_id="e1")
        log.write(TOPIC, b"not an event")
        await log.until(lambda: 4 in log.committed.get("warehouse", {}).values())
    assert shop.story == ["reserve o1"]
    assert shop.warehouse.skipped_count == 1


async def test_a_reaction_is_tried_again_and_then_stops_its_service() -> None:
    log, clock = MemoryLog(), JumpingClock()
    shop = Shop(log, clock=clock)
    shop.errors = [ValueError("busy")]
    async with running(shop.warehouse):
        await emit(log.writer(), TOPIC, "order.placed", "o1", {"price": 1})
        await log.until(lambda: "stock.reserved" in types(log))
    assert clock.slept_ms == [10]
    shop = Shop(log)
    shop.errors = [ValueError("busy"), ValueError("still busy")]
    await emit(log.writer(), TOPIC, "order.placed", "o2", {"price": 1})
    with pytest.raises(ValueError, match="still busy"):
        await shop.warehouse.run()
    assert types(log).count("stock.reserved") == 1


async def test_stop_leaves_what_waits_for_its_next_attempt() -> None:
    log, clock = MemoryLog(), StandingClock()
    shop = Shop(log, clock=clock)
    shop.errors = [ValueError("busy")]
    async with running(shop.warehouse):
        await emit(log.writer(), TOPIC, "order.placed", "o1", {"price": 1})
        await clock.fell_asleep.wait()
    assert "warehouse" not in log.committed


def test_what_follows_has_the_same_ids_again() -> None:
    cause = SagaEvent("a", "s", None, "e1")
    emitted = [("b", 1), ("c", 2)]
    assert follow_ups(cause, "svc", emitted) == follow_ups(cause, "svc", emitted)
    assert [event.event_id for event in follow_ups(cause, "svc", emitted)] == ["e1/svc/0", "e1/svc/1"]


def test_what_is_no_event_is_none() -> None:
    log = MemoryLog()
    log.write("t", b"{", b"key", headers=[("event_type", b"a"), ("event_id", b"1")])
    log.write("t", b"1", None, headers=[("event_type", b"a"), ("event_id", b"1")])
    log.write("t", b"1", b"key", headers=[("event_type", b"a")])
    assert [event_of(record) for record in log.all_of("t")] == [None, None, None]
