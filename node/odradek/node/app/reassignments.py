"""Moving partitions to other brokers: asking for it, giving it up, and seeing what is under way.

Decides: what a request gets when the controller cannot answer, and that only the active controller says what is under
way. Which moves are allowed and how they proceed is the controller's.
Source: KIP-455; Kafka 4.3 ReplicationControlManager, compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from odradek.node.controller.controller import ControllerError
from odradek.node.controller.reassignment import Reassignment, ReassignmentOutcome
from odradek.proto.kafka.errors import ErrorCode

Partitions = Sequence[tuple[str, Sequence[int]]]
"""(topic, partition numbers)."""


class Move(NamedTuple):
    """Where a partition is to be, the preferred leader first; None gives up what is under way."""

    topic: str
    partition: int
    replicas: Sequence[int] | None


class ReassignmentController(Protocol):
    """The controller, as far as it is needed here."""

    @property
    def is_active(self) -> bool: ...

    async def alter_reassignments(
        self,
        moves: Sequence[Move],
        *,
        allow_replication_factor_change: bool = ...,
        timeout_ms: int = ...,
    ) -> list[ReassignmentOutcome]: ...

    def list_reassignments(self, asked: Partitions | None) -> list[Reassignment]: ...


class Reassignments(NamedTuple):
    """`error` and `message` are the whole request's. Outcomes are by topic."""

    error: ErrorCode
    message: str | None
    topics: Mapping[str, list[ReassignmentOutcome]]


class ReassignmentsService:
    def __init__(self, controller: ReassignmentController) -> None:
        self._controller = controller

    async def alter(
        self,
        moves: Sequence[Move],
        *,
        allow_replication_factor_change: bool,
        timeout_ms: int,
    ) -> Reassignments:
        """One answer per partition of the request."""
        error, message = ErrorCode.NONE, None
        try:
            outcomes = await self._controller.alter_reassignments(
                moves,
                allow_replication_factor_change=allow_replication_factor_change,
                timeout_ms=timeout_ms,
            )
        except ControllerError as failure:
            error, message = failure.error, str(failure)
            outcomes = [
                ReassignmentOutcome(one.topic, one.partition, failure.error, str(failure)) for one in moves
            ]
        topics: dict[str, list[ReassignmentOutcome]] = {}
        for outcome in outcomes:
            topics.setdefault(outcome.topic, []).append(outcome)
        return Reassignments(error, message, topics)

    def ongoing(self, asked: Partitions | None) -> Mapping[str, list[Reassignment]] | ErrorCode:
        """What is under way of the partitions asked for (None: of all), by topic. NOT_CONTROLLER.

        What is unknown or at rest is not listed.
        """
        if not self._controller.is_active:
            return ErrorCode.NOT_CONTROLLER  # this node's image may be an old one
        topics: dict[str, list[Reassignment]] = {}
        for one in self._controller.list_reassignments(asked):
            topics.setdefault(one.topic, []).append(one)
        return topics
