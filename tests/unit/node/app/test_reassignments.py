from __future__ import annotations

from collections.abc import Sequence

from odradek.node.app.reassignments import Move, ReassignmentsService
from odradek.node.controller.controller import ControllerError
from odradek.node.controller.reassignment import Reassignment, ReassignmentOutcome
from odradek.proto.kafka.errors import ErrorCode

NONE_UNDER_WAY = ErrorCode.NO_REASSIGNMENT_IN_PROGRESS
MOVING = [Reassignment("t", 1, (1, 2, 3), (3,), ()), Reassignment("u", 0, (1, 2), (), (2,))]


class Controller:
    is_active = True

    def __init__(self, failure: ControllerError | None = None) -> None:
        self.failure = failure
        self.asked: list[object] = []

    async def alter_reassignments(
        self,
        moves: Sequence[Move],
        *,
        allow_replication_factor_change: bool = True,
        timeout_ms: int = 0,
    ) -> list[ReassignmentOutcome]:
        self.asked.append((moves, allow_replication_factor_change, timeout_ms))
        if self.failure is not None:
            raise self.failure
        return [
            ReassignmentOutcome(
                one.topic, one.partition, NONE_UNDER_WAY if one.replicas is None else ErrorCode.NONE
            )
            for one in moves
        ]

    def list_reassignments(self, asked: Sequence[tuple[str, Sequence[int]]] | None) -> list[Reassignment]:
        self.asked.append(asked)
        return MOVING


ASKED = [
    Move("t", 1, [3]),
    Move("u", 0, None),
    Move("t", 0, [4]),
]


async def test_outcomes_are_told_by_topic() -> None:
    controller = Controller()
    answer = await ReassignmentsService(controller).alter(
        ASKED, allow_replication_factor_change=False, timeout_ms=7
    )
    assert controller.asked == [(ASKED, False, 7)]
    assert answer == (
        ErrorCode.NONE,
        None,
        {
            "t": [ReassignmentOutcome("t", 1), ReassignmentOutcome("t", 0)],
            "u": [ReassignmentOutcome("u", 0, NONE_UNDER_WAY)],
        },
    )


async def test_without_a_controller_each_partition_says_so() -> None:
    controller = Controller(ControllerError(ErrorCode.NOT_CONTROLLER, "not here"))
    answer = await ReassignmentsService(controller).alter(
        ASKED[1:2], allow_replication_factor_change=True, timeout_ms=7
    )
    outcome = ReassignmentOutcome("u", 0, ErrorCode.NOT_CONTROLLER, "not here")
    assert answer == (ErrorCode.NOT_CONTROLLER, "not here", {"u": [outcome]})


def test_what_is_under_way_is_told_by_topic() -> None:
    controller = Controller()
    asked = [("t", [1]), ("u", [0])]
    assert ReassignmentsService(controller).ongoing(asked) == {"t": MOVING[:1], "u": MOVING[1:]}
    assert controller.asked == [asked]


def test_only_the_active_controller_knows_what_is_under_way() -> None:
    controller = Controller()
    controller.is_active = False
    assert ReassignmentsService(controller).ongoing(None) is ErrorCode.NOT_CONTROLLER
