"""Changing who votes, while the cluster runs: one change of the metadata group, which the other groups follow.

Decides the steps of a change, and when a new voter has caught up. A node that comes to vote learns the log first: a
voter that is behind counts as much as one that is down. A node that votes no more goes on learning, because it may
still be a broker and needs the metadata. How a step is agreed on is Raft's (joint consensus).

The coordinator shards have the members of the metadata group: whoever leads a shard sees to that (`follow`).

Source: KIP-853 for what an administrator is told; Ongaro's thesis 4.2.1 (catching up new servers), 4.3.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Protocol

from odradek.node.controller.controller import ControllerError
from odradek.proto.kafka.errors import ErrorCode
from odradek.raft.core.quorum import Configuration
from odradek.raft.core.status import Status
from odradek.raft.ports import MembershipChangeError, RaftError

CATCH_UP_MS: Final = 10_000
"""How long a new voter may take to get the log."""
_LOOK_MS: Final = 20

log = logging.getLogger(__name__)


class Group(Protocol):
    """`odradek.raft.group.RaftGroup`."""

    @property
    def is_leader(self) -> bool: ...
    @property
    def membership(self) -> Configuration: ...

    def status(self) -> Status: ...

    def change_membership(self, voters: frozenset[int], learners: frozenset[int]) -> asyncio.Future[None]:
        """Raises RaftError through the future; MembershipChangeError while another change is under way."""


class VoterChanges:
    """`known` are the nodes that the others can reach: each of them is a member, whether it votes or not."""

    def __init__(self, metadata: Group, known: frozenset[int]) -> None:
        self._metadata = metadata
        self._known = known
        self._work: asyncio.Task[None] | None = None

    async def change(self, voters: frozenset[int], *, until_committed: bool) -> None:
        """Have exactly these voters. Raises ControllerError; without `until_committed` only if it cannot begin.

        NOT_CONTROLLER where this node does not lead the metadata group, or lost it meanwhile; REQUEST_TIMED_OUT while
        another change is under way, or for a new voter that does not catch up in time.
        """
        if self._work is not None and not self._work.done():
            raise ControllerError(ErrorCode.REQUEST_TIMED_OUT, "another change of the voters is under way")
        self._work = asyncio.get_running_loop().create_task(self._carry_out(voters))
        self._work.add_done_callback(_log_failure)  # also of one that nobody waits for any more
        if until_committed:
            await asyncio.shield(self._work)

    async def _carry_out(self, voters: frozenset[int]) -> None:
        group = self._metadata
        before = group.membership
        members = before.members | voters | self._known
        fresh = voters - before.incoming
        try:
            if not fresh <= before.learners:
                await group.change_membership(before.incoming, members - before.incoming)
            if fresh:
                await self._caught_up(fresh)
            await group.change_membership(voters, members - voters)
        except MembershipChangeError as error:
            raise ControllerError(ErrorCode.REQUEST_TIMED_OUT, str(error)) from None
        except RaftError as error:
            raise ControllerError(ErrorCode.NOT_CONTROLLER, str(error)) from None
        log.info("the voters are %s", sorted(voters))

    async def _caught_up(self, fresh: frozenset[int]) -> None:
        """Return when these members have what the log had at the call."""
        end = self._metadata.status().last_index
        try:
            async with asyncio.timeout(CATCH_UP_MS / 1000):
                while True:
                    if fresh <= self._having(end):
                        return
                    # Why a look now and then: how far a member is changes with every message, and nobody tells.
                    await asyncio.sleep(_LOOK_MS / 1000)
        except TimeoutError:
            behind = ", ".join(map(str, sorted(fresh - self._having(end))))
            message = f"node {behind} did not get the metadata log in time: is it running?"
            raise ControllerError(ErrorCode.REQUEST_TIMED_OUT, message) from None

    def _having(self, index: int) -> frozenset[int]:
        if not self._metadata.is_leader:
            raise ControllerError(ErrorCode.NOT_CONTROLLER, "this node does not lead the quorum any more")
        members = self._metadata.status().members
        return frozenset(member.node_id for member in members if member.match_index >= index)


def follow(metadata: Group, group: Group) -> None:
    """Give a group that is led here the members of the metadata group, one step at a time; called now and then."""
    wanted, present = metadata.membership, group.membership
    if not group.is_leader or wanted.is_joint or present.is_joint or wanted == present:
        return
    group.change_membership(wanted.incoming, wanted.learners).add_done_callback(_forget)


def _log_failure(work: asyncio.Future[None]) -> None:
    if not work.cancelled() and (error := work.exception()) is not None:
        if isinstance(error, ControllerError):
            log.warning("the change of the voters was not carried out to its end: %s", error)
        else:
            log.error("the change of the voters failed", exc_info=error)


def _forget(step: asyncio.Future[None]) -> None:
    """A step that failed is tried again at the next look."""
    if not step.cancelled() and (error := step.exception()) is not None:
        log.debug("a group does not follow yet: %s", error)
