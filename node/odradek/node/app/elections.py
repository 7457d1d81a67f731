"""ElectLeaders: have the preferred replica lead again, or one that may lack records where nobody else is left.

Decides: which kinds of election there are, and what every partition gets when the controller cannot answer. Who leads
is the controller's. Source: KIP-183, KIP-460; Kafka 4.3 ReplicationControlManager.electLeaders, compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple, Protocol

from odradek.node.controller.controller import ControllerError
from odradek.node.controller.elections import ElectionOutcome
from odradek.proto.kafka.errors import ErrorCode

Partitions = Sequence[tuple[str, int]]
"""(topic, partition number)."""


class ElectionType(IntEnum):
    """Which replica is to lead, with the numbers of the wire."""

    PREFERRED = 0
    UNCLEAN = 1


class ElectionController(Protocol):
    """The controller, as far as it is needed here."""

    async def elect_leaders(
        self, partitions: Partitions | None, *, unclean: bool = ..., timeout_ms: int = ...
    ) -> list[ElectionOutcome]: ...


class Elections(NamedTuple):
    """`error` is the whole request's; then every partition has it too. Outcomes are by topic."""

    error: ErrorCode
    topics: Mapping[str, list[ElectionOutcome]]


class ElectionsService:
    def __init__(self, controller: ElectionController) -> None:
        self._controller = controller

    async def elect_leaders(
        self, election_type: int, partitions: Partitions | None, *, timeout_ms: int
    ) -> Elections:
        """`partitions`: None for all, of which those that are led as asked are not in the answer."""
        if election_type not in tuple(ElectionType):
            message = f"{election_type} is not a type of election"
            return _refused(partitions or (), ErrorCode.INVALID_REQUEST, message)
        try:
            outcomes = await self._controller.elect_leaders(
                partitions, unclean=election_type == ElectionType.UNCLEAN, timeout_ms=timeout_ms
            )
        except ControllerError as error:
            return _refused(partitions or (), error.error, str(error))
        return Elections(ErrorCode.NONE, _by_topic(outcomes))


def _refused(partitions: Partitions, error: ErrorCode, message: str) -> Elections:
    asked = dict.fromkeys(partitions)
    return Elections(error, _by_topic([ElectionOutcome(*one, error, message) for one in asked]))


def _by_topic(outcomes: Sequence[ElectionOutcome]) -> dict[str, list[ElectionOutcome]]:
    topics: dict[str, list[ElectionOutcome]] = {}
    for outcome in outcomes:
        topics.setdefault(outcome.topic, []).append(outcome)
    return topics
