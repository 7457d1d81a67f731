"""Groups here, elsewhere, or with nobody."""

from __future__ import annotations

from typing import Any, cast

import pytest
from tests.unit.node.app.partitions_in_memory import CONTEXT

from odradek.node.app.coordinators import Coordinators
from odradek.node.app.elsewhere import Elsewhere
from odradek.node.app.offsets import CommitCommand, FetchedGroup, PartitionToCommit, TopicToCommit
from odradek.node.coordinator.group.commands import (
    Heartbeat,
    JoinGroup,
    JoinResult,
    LeaveGroup,
    LeaveResult,
    SyncGroup,
    SyncResult,
)
from odradek.node.runtime.deferred import Deferred
from odradek.proto.kafka.errors import ErrorCode

E = ErrorCode


class Place:
    """A coordinator that answers with the error it has, at once or later."""

    def __init__(self, error: ErrorCode, failure: Exception | None = None) -> None:
        self.error = error
        self.failure = failure

    def answers(self, what: type) -> Any:
        more: dict[type, tuple[Any, ...]] = {JoinResult: ("m",), FetchedGroup: ("g", [])}
        return what(self.error, *more.get(what, ()))


class Here(Place):
    def join(self, _: Any) -> Any:
        return Deferred.resolved(self.answers(JoinResult))

    def sync(self, _: Any) -> Any:
        return Deferred.resolved(self.answers(SyncResult))

    def heartbeat(self, _: Any) -> ErrorCode:
        return self.error

    def leave(self, _: Any) -> Any:
        return Deferred.resolved(self.answers(LeaveResult))

    def commit(self, _: Any) -> Any:
        return Deferred.resolved([self.error] * 3)

    async def fetch(self, *_: Any) -> Any:
        return self.answers(FetchedGroup)


class There(Place):
    async def _say(self, node_id: int, answer: Any) -> Any:
        assert node_id == 2
        if self.failure is not None:
            raise self.failure
        return answer

    async def join(self, node_id: int, *_: Any) -> Any:
        return await self._say(node_id, self.answers(JoinResult))

    async def sync(self, node_id: int, _: Any) -> Any:
        return await self._say(node_id, self.answers(SyncResult))

    async def heartbeat(self, node_id: int, _: Any) -> Any:
        return await self._say(node_id, self.error)

    async def leave(self, node_id: int, _: Any) -> Any:
        return await self._say(node_id, self.answers(LeaveResult))

    async def commit(self, node_id: int, _: Any) -> Any:
        return await self._say(node_id, [self.error] * 3)

    async def committed(self, node_id: int, *_: Any) -> Any:
        return await self._say(node_id, self.answers(FetchedGroup))


COMMIT = CommitCommand(
    "g",
    1,
    "m",
    None,
    [
        TopicToCommit("t", bytes(16), [PartitionToCommit(at, 0, -1, "") for at in range(2)]),
        TopicToCommit("u", bytes(16), [PartitionToCommit(0, 0, -1, "")]),
    ],
)


async def outcomes(leader: int | None, failure: Exception | None = None) -> set[ErrorCode]:
    here = cast(Any, Here(E.NONE))
    there = cast(Elsewhere, There(E.ILLEGAL_GENERATION, failure))
    groups = Coordinators(1, lambda _: leader, here, here, there)
    joining = JoinGroup("g", "m", None, "", "", 1, 1, "consumer", ())
    beat = Heartbeat("g", 1, "m", None)
    assert groups.heartbeat_here(beat) is (E.NONE if leader == 1 else None)
    joined = await groups.join(CONTEXT, joining)
    assert joined.member_id == "m"
    committed = await groups.commit(COMMIT)
    assert len(committed) == 3
    return {
        joined.error,
        (await groups.sync(SyncGroup("g", 1, "m", None, None, None, {}))).error,
        await groups.heartbeat(beat),
        (await groups.leave(LeaveGroup("g", ()))).error,
        (await groups.committed("g", None)).error,
        *committed,
    }


async def test_here_elsewhere_and_nowhere() -> None:
    assert await outcomes(1) == {E.NONE}
    assert await outcomes(2) == {E.ILLEGAL_GENERATION}
    assert await outcomes(None) == {E.NOT_COORDINATOR}


@pytest.mark.parametrize("failure", [ConnectionError("gone"), TimeoutError()])
async def test_a_node_that_does_not_answer(failure: Exception) -> None:
    assert await outcomes(2, failure) == {E.COORDINATOR_NOT_AVAILABLE}
