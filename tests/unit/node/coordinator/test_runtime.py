"""The shell: a real loop, an in-memory log, timers of a few milliseconds where time has to pass."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count

import pytest

from odradek.node.coordinator.config import GroupConfig
from odradek.node.coordinator.group.commands import (
    CommitOffsets,
    CommitResult,
    DeleteGroup,
    GroupProtocol,
    Heartbeat,
    JoinGroup,
    JoinResult,
    OffsetToCommit,
    SyncGroup,
    SyncResult,
)
from odradek.node.coordinator.group.shard import GroupShard
from odradek.node.coordinator.runtime import CoordinatorRuntime, Shard, java_hash, shard_of
from odradek.proto.kafka.errors import ErrorCode
from odradek.raft.ports import NotLeaderError, ProposalQueueFullError, ProposalTooLargeError


class MemoryLog:
    """Commits when told to, or at once with `auto`."""

    def __init__(self, machine: Shard, auto: bool = True) -> None:
        self.is_leader = True
        self.leader_id: int | None = 1
        self.auto = auto
        self.refusal: Exception | None = None
        self.asked_ahead: asyncio.Future[int]
        self._machine = machine
        self._waiting: list[tuple[bytes, asyncio.Future[int]]] = []
        self._index = 0

    def propose(self, data: bytes) -> asyncio.Future[int]:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if self.refusal is not None:
            future.set_exception(self.refusal)
            return future
        self._waiting.append((data, future))
        if self.auto:
            self.commit()
        return future

    def read_index(self) -> asyncio.Future[int]:
        self.asked_ahead = asyncio.get_running_loop().create_future()
        if self.auto:
            self.asked_ahead.set_result(self._index)
        return self.asked_ahead

    def commit(self) -> None:
        for data, future in self._waiting:
            self._index += 1
            self._machine.apply(self._index, data)
            future.set_result(self._index)
        self._waiting.clear()

    def lose_leadership(self) -> None:
        self.is_leader = False
        self.leader_id = None
        for _, future in self._waiting:
            future.set_exception(NotLeaderError(None))
        self._waiting.clear()
        self._machine.on_leadership(False, 2)


Runtime = tuple[CoordinatorRuntime, MemoryLog]
Start = Callable[..., Runtime]


@pytest.fixture
def start() -> Start:
    def make(auto: bool = True, lead: bool = True, **config: int) -> Runtime:
        numbers = count(1)
        values = {"initial_rebalance_delay_ms": 0, **config}
        runtime = CoordinatorRuntime(
            1,
            1,
            GroupConfig(**values),
            asyncio.get_running_loop(),
            lambda: 1_000,
            lambda prefix: f"{prefix}-{next(numbers)}",
        )
        machine = runtime.state_machines()[0]
        log = MemoryLog(machine, auto)
        log.is_leader = lead
        runtime.attach(0, log)
        if lead:
            machine.on_leadership(True, 1)
        return runtime, log

    return make


def commit(value: int = 5) -> CommitOffsets:
    return CommitOffsets("g", -1, "", None, -1, (OffsetToCommit("t", bytes(16), 0, value, -1, ""),))


def join(member_id: str = "", session_ms: int = 10_000) -> JoinGroup:
    protocols = (GroupProtocol("x", b""),)
    return JoinGroup("g", member_id, None, "c", "/h", session_ms, 30_000, "consumer", protocols, False)


async def turn() -> None:
    """Let the loop call what is ready."""
    for _ in range(3):
        await asyncio.sleep(0)


def committed(runtime: CoordinatorRuntime) -> int | None:
    shard = runtime.read("g")
    assert not isinstance(shard, ErrorCode)
    found = shard.committed_offsets("g").get("t", {}).get(0)
    return found and found.offset


def test_groups_are_spread_like_kafkas() -> None:
    assert java_hash("") == 0
    assert java_hash("my-group") == -1906497762
    assert java_hash("polygenelubricants") == -(1 << 31)
    assert java_hash("😀") == 1772899
    assert shard_of("polygenelubricants", 8) == 0
    assert all(0 <= shard_of(f"group-{i}", 7) < 7 for i in range(100))


async def test_an_answer_waits_for_its_records(start: Start) -> None:
    runtime, log = start(auto=False)
    answer = runtime.write(GroupShard.commit, commit())
    await turn()
    assert not answer.done and committed(runtime) is None
    log.commit()
    await turn()
    assert answer.value == CommitResult((ErrorCode.NONE,))
    assert committed(runtime) == 5


async def test_a_shard_is_loading_until_it_leads_and_belongs_to_whom_its_log_names(start: Start) -> None:
    runtime, log = start(lead=False)
    loading = ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
    assert runtime.read("g") is loading and list(runtime.read_all()) == [loading]
    assert runtime.write(GroupShard.commit, commit()).value is loading
    machine = runtime.state_machines()[0]
    log.leader_id = 2
    assert runtime.leader_of("g") == 2
    assert 2 in runtime.leaders()
    assert runtime.read("g") is ErrorCode.NOT_COORDINATOR
    assert runtime.write(GroupShard.commit, commit()).value is ErrorCode.NOT_COORDINATOR
    log.is_leader, log.leader_id = True, 1
    machine.on_leadership(True, 2)
    assert await runtime.write(GroupShard.commit, commit()).wait() == CommitResult((ErrorCode.NONE,))


async def test_leadership_that_came_before_the_log_was_attached(start: Start) -> None:
    runtime = CoordinatorRuntime(1, 1, GroupConfig(), asyncio.get_running_loop(), lambda: 0, str)
    machine = runtime.state_machines()[0]
    machine.on_leadership(True, 1)
    assert runtime.read("g") is ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
    runtime.attach(0, MemoryLog(machine))
    assert isinstance(runtime.read("g"), GroupShard)


async def test_lost_leadership_answers_everything_and_keeps_what_is_committed(start: Start) -> None:
    runtime, log = start(auto=False)
    parked = runtime.write(GroupShard.join, join()._replace(group_id="other"))
    proposed = runtime.write(GroupShard.commit, commit())
    log.lose_leadership()
    assert parked.value is ErrorCode.NOT_COORDINATOR
    assert proposed.value is ErrorCode.NOT_COORDINATOR
    await turn()
    log.is_leader = True
    runtime.state_machines()[0].on_leadership(True, 3)
    assert committed(runtime) is None
    shard = runtime.read("g")
    assert isinstance(shard, GroupShard) and not shard.groups


async def test_members_survive_a_change_of_coordinator(start: Start) -> None:
    runtime, log = start()
    joined = await runtime.write(GroupShard.join, join()).wait()
    assert isinstance(joined, JoinResult)
    sync = SyncGroup("g", joined.generation, joined.member_id, None, None, None, {joined.member_id: b"p"})
    synced = await runtime.write(GroupShard.sync, sync).wait()
    assert isinstance(synced, SyncResult) and synced.assignment == b"p"
    log.lose_leadership()
    log.is_leader = True
    runtime.state_machines()[0].on_leadership(True, 3)
    shard = runtime.read("g")
    assert isinstance(shard, GroupShard)
    beat = Heartbeat("g", joined.generation, joined.member_id, None)
    assert shard.heartbeat(beat, runtime.monotonic_ms()) is ErrorCode.NONE


async def test_a_snapshot_carries_over(start: Start) -> None:
    runtime, _ = start()
    await runtime.write(GroupShard.commit, commit(7)).wait()
    other, log = start(lead=False)
    other.state_machines()[0].restore(runtime.state_machines()[0].snapshot())
    log.is_leader = True
    other.state_machines()[0].on_leadership(True, 1)
    assert committed(other) == 7


async def test_one_timer_serves_barriers_and_sessions(start: Start) -> None:
    runtime, _ = start(initial_rebalance_delay_ms=20)
    first = await runtime.write(GroupShard.join, join(session_ms=40)).wait()
    assert isinstance(first, JoinResult)
    # The first member never heartbeats and never rejoins: the second is let in when its session has ended.
    second = await runtime.write(GroupShard.join, join()).wait()
    assert isinstance(second, JoinResult)
    assert (second.generation, [m.member_id for m in second.members]) == (2, ["c-2"])


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (ProposalQueueFullError("full"), ErrorCode.COORDINATOR_NOT_AVAILABLE),
        (ProposalTooLargeError("large"), ErrorCode.UNKNOWN_SERVER_ERROR),
    ],
)
async def test_a_refused_entry_fails_only_who_waits_for_it(
    start: Start, refusal: Exception, code: ErrorCode
) -> None:
    runtime, log = start(initial_rebalance_delay_ms=60_000)
    parked = runtime.write(GroupShard.join, join()._replace(group_id="other"))
    log.refusal = refusal
    assert await runtime.write(GroupShard.commit, commit()).wait() is code
    log.refusal = None
    assert not parked.done
    assert await runtime.write(GroupShard.commit, commit()).wait() == CommitResult((ErrorCode.NONE,))


async def test_state_that_ran_ahead_of_a_refusing_log_is_made_anew(start: Start) -> None:
    runtime, log = start()
    await runtime.write(GroupShard.commit, commit()).wait()
    log.refusal = ProposalQueueFullError("full")
    answer = await runtime.write(GroupShard.delete_group, DeleteGroup("g")).wait()
    assert answer is ErrorCode.NOT_COORDINATOR
    log.refusal = None
    shard = runtime.read("g")
    assert isinstance(shard, GroupShard) and "g" in shard.groups
    assert await runtime.write(GroupShard.delete_group, DeleteGroup("g")).wait() is ErrorCode.NONE


async def test_a_log_that_stopped_leading_is_not_written_to(start: Start) -> None:
    runtime, log = start()
    log.refusal = NotLeaderError(2)
    log.is_leader, log.leader_id = False, 2
    assert await runtime.write(GroupShard.commit, commit()).wait() is ErrorCode.NOT_COORDINATOR
    assert runtime.read("g") is ErrorCode.NOT_COORDINATOR


async def test_deleted_topics_reach_every_shard_led_here(start: Start) -> None:
    runtime, _ = start()
    await runtime.write(GroupShard.commit, commit()).wait()
    runtime.on_topics_deleted({"t": bytes(16)})
    await turn()
    assert committed(runtime) is None
    runtime.state_machines()[0].on_leadership(False, 2)
    runtime.on_topics_deleted({"t": bytes(16)})


async def test_stopping_answers_and_stays_silent(start: Start) -> None:
    runtime, _ = start(initial_rebalance_delay_ms=10)
    parked = runtime.write(GroupShard.join, join())
    runtime.stop()
    assert parked.value is ErrorCode.NOT_COORDINATOR
    assert runtime.read("g") is ErrorCode.NOT_COORDINATOR


async def test_a_request_that_comes_while_answers_leave_sees_a_consistent_shard(start: Start) -> None:
    """A connection starts its next request from inside the answer to the one before."""
    runtime, log = start(auto=False)
    later: list[object] = []
    parked = runtime.write(GroupShard.join, join())
    parked.then(lambda _: later.append(runtime.write(GroupShard.join, join()).done))
    log.lose_leadership()
    assert later == [True]


async def test_what_commits_around_a_change_of_leadership_is_settled_once(start: Start) -> None:
    """The entry is applied, leadership goes and comes back, and only then does the proposal's future call."""
    problems: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
    runtime, _ = start()
    machine = runtime.state_machines()[0]
    answer = runtime.write(GroupShard.commit, commit())
    machine.on_leadership(False, 2)
    machine.on_leadership(True, 3)
    await turn()
    assert answer.value is ErrorCode.NOT_COORDINATOR
    assert committed(runtime) == 5 and not problems


async def test_a_read_is_confirmed_by_the_log_and_not_by_what_this_node_believes(start: Start) -> None:
    runtime, log = start()
    assert await runtime.confirm("g") is ErrorCode.NONE
    log.auto = False
    for replaced in (False, True):
        answer = asyncio.create_task(runtime.confirm("g"))
        await turn()
        assert not answer.done()
        if replaced:
            log.asked_ahead.set_exception(NotLeaderError(2))
        else:
            log.asked_ahead.set_result(0)
        assert await answer is (ErrorCode.NOT_COORDINATOR if replaced else ErrorCode.NONE)
    answer = asyncio.create_task(runtime.confirm("g"))
    await turn()
    log.lose_leadership()
    log.asked_ahead.set_result(7)
    assert await answer is ErrorCode.NOT_COORDINATOR, "another one leads, and told how far to read"
    assert await runtime.confirm("g") is ErrorCode.NOT_COORDINATOR
