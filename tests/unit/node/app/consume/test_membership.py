"""A member whose heartbeats nobody hears asks again soon: by the next turn it could have lost its place."""

from __future__ import annotations

import asyncio
import re
from typing import cast

import pytest

from odradek.node.app.consume.membership import Membership, beat_pause_s, matching
from odradek.node.app.consume.values import Subscription
from odradek.node.app.context import RequestContext
from odradek.node.app.coordinators import Coordinators
from odradek.node.coordinator.group.commands import (
    Heartbeat,
    JoinedMember,
    JoinGroup,
    JoinResult,
    SyncGroup,
    SyncResult,
)
from odradek.proto.kafka.errors import ErrorCode

HOUR_MS = 3_600_000


class OneMember:
    """A coordinator at another node, with a group of one; `answers` are those to the heartbeats that come."""

    def __init__(self, *answers: ErrorCode) -> None:
        self.answers = list(answers)

    async def join(self, _: RequestContext, command: JoinGroup) -> JoinResult:
        (protocol, *_others) = command.protocols
        member = JoinedMember("member", command.instance_id, protocol.metadata)
        return JoinResult(ErrorCode.NONE, "member", 1, "consumer", protocol.name, "member", False, (member,))

    async def sync(self, command: SyncGroup) -> SyncResult:
        return SyncResult(ErrorCode.NONE, command.assignments["member"])

    def heartbeat_here(self, _: Heartbeat) -> None:
        return None

    async def heartbeat(self, _: Heartbeat) -> ErrorCode:
        return self.answers.pop(0)


def member_of(coordinator: OneMember, wake: asyncio.Event) -> Membership:
    return Membership(
        RequestContext(None, "User:ANONYMOUS", "PLAINTEXT", "localhost", 1, "connection", "localhost"),
        cast(Coordinators, coordinator),
        Subscription(frozenset(("numbers",)), group_id="group", instance_id="me", session_timeout_ms=HOUR_MS),
        lambda: frozenset(("numbers",)),
        lambda _: 2,
        wake.set,
    )


@pytest.mark.parametrize(
    "unheard",
    [
        ErrorCode.NOT_COORDINATOR,
        ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
    ],
)
async def test_a_heartbeat_that_nobody_heard_is_sent_again_long_before_the_next_is_due(
    unheard: ErrorCode,
) -> None:
    """A node that was frozen finds its connections closed, and hears with its second try that it was given up."""
    wake = asyncio.Event()
    coordinator = OneMember(unheard, ErrorCode.UNKNOWN_MEMBER_ID)
    member = member_of(coordinator, wake)
    try:
        assert await member.join() == [("numbers", 0), ("numbers", 1)]
        member._on_beat_due()
        await asyncio.wait_for(wake.wait(), 30)
    finally:
        member.stop()
    assert member.must_rejoin and member.was_lost and not coordinator.answers


@pytest.mark.parametrize(
    ("missed", "pause_s"), [(0, 3.0), (1, 0.1), (2, 0.2), (5, 1.6), (6, 3.0), (1_000_000, 3.0)]
)
def test_the_pause_grows_up_to_a_third_of_the_session(missed: int, pause_s: float) -> None:
    assert beat_pause_s(9_000, missed) == pytest.approx(pause_s)


def test_a_short_session_is_not_waited_out() -> None:
    assert beat_pause_s(150, 1) == pytest.approx(0.05)


def test_names_are_subscribed_to_before_they_exist_and_patterns_match_whole_names() -> None:
    assert matching(Subscription(frozenset("a")), ["b"]) == {"a"}
    pattern = Subscription(frozenset(), re.compile("a."))
    assert matching(pattern, ["a", "ab", "abc"]) == {"ab"}
