"""Here or elsewhere, and what is said when nobody leads or nobody answers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.unit.node.app.partitions_in_memory import CONTEXT

from odradek.node.app.elsewhere import Elsewhere
from odradek.node.app.fetch import FetchCommand, FetchedPartition, FetchResult
from odradek.node.app.leaders import Leaders
from odradek.node.app.list_offsets import ListedOffset
from odradek.node.partition.fetch_session import SESSIONLESS_EPOCH, FetchPartition
from odradek.node.runtime.deferred import Deferred
from odradek.proto.kafka.errors import ErrorCode
from odradek.storage.append_result import AppendResult

E = ErrorCode
LEADERS = {("t", 0): 1, ("t", 1): 2, ("t", 2): -1}
ASKED = [FetchPartition("t", bytes(16), 1, 5, 100)]


class Image:
    def partition(self, topic: str, index: int) -> Any:
        leader = LEADERS.get((topic, index))
        return None if leader is None else SimpleNamespace(leader=leader, leader_epoch=9)


class Here:
    """All services of this node at once."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def produce(self, context: Any, command: Any) -> Deferred[list[AppendResult]]:
        self.asked.append(command)
        return Deferred.resolved([AppendResult(E.NONE, 7)])

    def fetch(self, context: Any, command: FetchCommand) -> Deferred[FetchResult]:
        self.asked.append(command)
        return Deferred.resolved(FetchResult(E.NONE, 0))

    def list_offset(self, *asked: Any) -> ListedOffset:
        self.asked.append(asked)
        return ListedOffset(E.NONE, -1, 7)


class There:
    def __init__(self) -> None:
        self.failure: Exception | None = None

    async def _answer(self, node_id: int, answer: Any) -> Any:
        assert node_id == 2
        if self.failure is not None:
            raise self.failure
        return answer

    async def produce(self, node_id: int, *asked: Any) -> Any:
        return await self._answer(node_id, AppendResult(E.NONE, 8))

    async def fetch(self, node_id: int, asked: Any, **how: Any) -> Any:
        return await self._answer(node_id, [FetchedPartition(one, E.NONE) for one in asked])

    async def list_offset(self, node_id: int, *asked: Any) -> Any:
        return await self._answer(node_id, ListedOffset(E.NONE, -1, 8))


class World:
    def __init__(self) -> None:
        self.here, self.there = Here(), There()
        here = cast(Any, self.here)
        self.leaders = Leaders(1, lambda: cast(Any, Image()), here, here, here, cast(Elsewhere, self.there))

    async def produce(self, partition: int, topic: str = "t") -> AppendResult:
        return await self.leaders.produce(CONTEXT, topic, partition, bytearray(b"batch"), -1, 100)


async def test_here_and_elsewhere() -> None:
    world = World()
    assert (await world.produce(0)).base_offset == 7 and (await world.produce(1)).base_offset == 8
    assert (await world.leaders.list_offset("t", 0, -1, 0)).offset == 7
    assert (await world.leaders.list_offset("t", 1, -1, 0)).offset == 8
    assert [world.leaders.leader_of("t", at) for at in range(4)] == [1, 2, None, None]
    assert [world.leaders.leader_epoch_of("t", at) for at in range(4)] == [9, 9, 9, -1]
    how = {"max_bytes": 100, "max_wait_ms": 50, "isolation_level": 1}
    world.leaders.fetch_here(CONTEXT, ASKED, **how)
    command = world.here.asked[-1]
    assert (command.max_bytes, command.max_wait_ms, command.min_bytes, command.isolation_level) == (
        100,
        50,
        1,
        1,
    )
    assert command.session_epoch == SESSIONLESS_EPOCH and command.replica_id == -1
    (fetched,) = await world.leaders.fetch_elsewhere(2, ASKED, **how)
    assert fetched.error is E.NONE


async def test_nobody_leads_or_there_is_nothing_to_lead() -> None:
    world = World()
    assert (await world.produce(2)).error is E.LEADER_NOT_AVAILABLE
    assert (await world.produce(3)).error is E.UNKNOWN_TOPIC_OR_PARTITION
    assert (await world.leaders.list_offset("t", 2, -1, 0)).error is E.LEADER_NOT_AVAILABLE
    assert (await world.leaders.list_offset("u", 0, -1, 0)).error is E.UNKNOWN_TOPIC_OR_PARTITION


@pytest.mark.parametrize("failure", [ConnectionError("gone"), TimeoutError()])
async def test_nobody_answers(failure: Exception) -> None:
    world = World()
    world.there.failure = failure
    assert (await world.produce(1)).error is E.NETWORK_EXCEPTION
    assert (await world.leaders.list_offset("t", 1, -1, 0)).error is E.NETWORK_EXCEPTION
    how = {"max_bytes": 100, "max_wait_ms": 50, "isolation_level": 1}
    (fetched,) = await world.leaders.fetch_elsewhere(2, ASKED, **how)
    assert fetched.error is E.NETWORK_EXCEPTION and fetched.asked is ASKED[0]
