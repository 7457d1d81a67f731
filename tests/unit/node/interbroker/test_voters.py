from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

import pytest

from odradek.node.controller.controller import ControllerError
from odradek.node.interbroker import voters as module
from odradek.node.interbroker.voters import VoterChanges, follow
from odradek.proto.kafka.errors import ErrorCode
from odradek.raft.core.progress import ProgressState
from odradek.raft.core.quorum import Configuration
from odradek.raft.core.status import MemberStatus, Status
from odradek.raft.core.types import Role
from odradek.raft.ports import MembershipChangeError, NotLeaderError

KNOWN = frozenset((1, 2, 3))
Ids = frozenset[int]


class Group:
    """Agrees on a change at once, unless told to fail; learners are at `learned`."""

    def __init__(self, voters: Ids = KNOWN, learners: Ids = frozenset()) -> None:
        self.is_leader = True
        self.membership = Configuration(voters, frozenset(), learners)
        self.learned = 10
        self.steps: list[tuple[list[int], list[int]]] = []
        self.failure: Exception | None = None
        self.on_step: Callable[[], None] = lambda: None

    def status(self) -> Status:
        members = tuple(
            MemberStatus(
                one,
                one in self.membership.voters,
                10 if one in self.membership.voters else self.learned,
                ProgressState.REPLICATE,
                0,
                0,
            )
            for one in sorted(self.membership.members)
        )
        return Status(Role.LEADER, 1, 1, 10, 10, 10, self.membership, members)

    def change_membership(self, voters: Ids, learners: Ids) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.steps.append((sorted(voters), sorted(learners)))
        if self.failure is not None:
            future.set_exception(self.failure)
        else:
            self.membership = Configuration(voters, frozenset(), learners)
            future.set_result(None)
        self.on_step()
        return future


async def refusal(changes: VoterChanges, voters: Ids, *, until_committed: bool = True) -> ErrorCode:
    with pytest.raises(ControllerError) as refused:
        await changes.change(voters, until_committed=until_committed)
    return refused.value.error


async def test_who_votes_no_more_goes_on_learning() -> None:
    group = Group()
    await VoterChanges(group, KNOWN).change(frozenset((1, 3)), until_committed=True)
    assert group.steps == [([1, 3], [2])]


async def test_a_learner_that_is_caught_up_votes_at_once() -> None:
    group = Group(frozenset((1, 3)), frozenset((2,)))
    await VoterChanges(group, KNOWN).change(KNOWN, until_committed=True)
    assert group.steps == [([1, 2, 3], [])]


async def test_who_is_no_member_learns_first() -> None:
    group = Group(frozenset((1, 3)))
    await VoterChanges(group, KNOWN).change(KNOWN, until_committed=True)
    assert group.steps == [([1, 3], [2]), ([1, 2, 3], [])]


async def test_a_learner_that_is_behind_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_MS", 0)
    group = Group(frozenset((1, 3)), frozenset((2,)))
    group.learned = 9
    changes = VoterChanges(group, KNOWN)
    change = asyncio.ensure_future(changes.change(KNOWN, until_committed=True))
    for _ in range(5):
        await asyncio.sleep(0)
    assert group.steps == []
    assert await refusal(changes, KNOWN) is ErrorCode.REQUEST_TIMED_OUT, "one change at a time"
    group.learned = 10
    await change
    assert group.steps == [([1, 2, 3], [])]


async def test_a_learner_that_stays_behind_is_no_voter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CATCH_UP_MS", 1)
    group = Group(frozenset((1, 3)), frozenset((2,)))
    group.learned = 9
    assert await refusal(VoterChanges(group, KNOWN), KNOWN) is ErrorCode.REQUEST_TIMED_OUT
    assert group.steps == []


async def test_leadership_that_is_lost_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_MS", 0)
    group = Group(frozenset((1, 3)))
    group.learned = 9
    group.on_step = lambda: setattr(group, "is_leader", False)
    assert await refusal(VoterChanges(group, KNOWN), KNOWN) is ErrorCode.NOT_CONTROLLER


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (MembershipChangeError("another one"), ErrorCode.REQUEST_TIMED_OUT),
        (NotLeaderError(2), ErrorCode.NOT_CONTROLLER),
    ],
)
async def test_what_raft_refuses(failure: Exception, error: ErrorCode) -> None:
    group = Group()
    group.failure = failure
    assert await refusal(VoterChanges(group, KNOWN), frozenset((1, 3))) is error


async def test_a_change_that_nobody_waits_for_goes_on_by_itself(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "CATCH_UP_MS", 1)
    group = Group(frozenset((1, 3)), frozenset((2,)))
    changes = VoterChanges(group, KNOWN)
    await changes.change(KNOWN, until_committed=False)
    assert group.steps == []
    assert changes._work is not None
    await changes._work
    assert group.steps == [([1, 2, 3], [])]
    group.failure = NotLeaderError(2)
    await changes.change(frozenset((1, 3)), until_committed=False)
    with pytest.raises(ControllerError):
        await changes._work
    assert "not carried out to its end" in caplog.text


async def test_a_change_whose_client_is_gone_may_fail_and_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "CATCH_UP_MS", 1)
    complaints: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    group = Group(frozenset((1, 3)), frozenset((2,)))
    group.learned = 9
    client = asyncio.ensure_future(VoterChanges(group, KNOWN).change(KNOWN, until_committed=True))
    await asyncio.sleep(0)
    client.cancel()
    for _ in range(100):
        if caplog.text:
            break
        await asyncio.sleep(0.01)
    gc.collect()
    assert "not carried out to its end" in caplog.text and complaints == []


async def test_other_groups_follow() -> None:
    metadata, shard = Group(frozenset((1, 3)), frozenset((2,))), Group()
    follow(metadata, shard)
    follow(metadata, shard)
    assert shard.steps == [([1, 3], [2])]
    for group in (metadata, shard):
        group.membership = Configuration(frozenset((1, 3)), KNOWN)
        follow(metadata, shard)
        group.membership = Configuration(frozenset((1, 3)))
    shard.is_leader = False
    follow(metadata, Group())
    follow(metadata, shard)
    assert len(shard.steps) == 1, "one step at a time, where the group is led"


async def test_a_step_that_fails_is_tried_again() -> None:
    metadata, shard = Group(frozenset((1, 3)), frozenset((2,))), Group()
    shard.failure = MembershipChangeError("another one")
    follow(metadata, shard)
    await asyncio.sleep(0)
    shard.failure = None
    follow(metadata, shard)
    assert shard.membership == metadata.membership
