from __future__ import annotations

from collections.abc import Sequence

from odradek.node.app.elections import ElectionsService
from odradek.node.controller.controller import ControllerError
from odradek.node.controller.elections import ElectionOutcome
from odradek.proto.kafka.errors import ErrorCode


class Controller:
    def __init__(self, failure: ControllerError | None = None) -> None:
        self.asked: list[object] = []
        self.failure = failure

    async def elect_leaders(
        self,
        partitions: Sequence[tuple[str, int]] | None,
        *,
        unclean: bool = False,
        timeout_ms: int = 0,
    ) -> list[ElectionOutcome]:
        self.asked.append((partitions, unclean, timeout_ms))
        if self.failure is not None:
            raise self.failure
        return [ElectionOutcome("t", 0), ElectionOutcome("u", 0), ElectionOutcome("t", 1)]


async def test_outcomes_are_told_by_topic() -> None:
    controller = Controller()
    asked = [("t", 0), ("u", 0), ("t", 1)]
    elections = await ElectionsService(controller).elect_leaders(1, asked, timeout_ms=7)
    assert controller.asked == [(asked, True, 7)]
    assert elections.error is ErrorCode.NONE
    assert elections.topics == {
        "t": [ElectionOutcome("t", 0), ElectionOutcome("t", 1)],
        "u": [ElectionOutcome("u", 0)],
    }


async def test_all_partitions() -> None:
    controller = Controller()
    await ElectionsService(controller).elect_leaders(0, None, timeout_ms=7)
    assert controller.asked == [(None, False, 7)]


async def test_another_type_of_election_is_refused_for_each_partition() -> None:
    controller = Controller()
    elections = await ElectionsService(controller).elect_leaders(
        7, [("t", 0), ("t", 3), ("t", 0)], timeout_ms=7
    )
    assert (elections.error, controller.asked) == (ErrorCode.INVALID_REQUEST, [])
    assert [(one.partition, one.error) for one in elections.topics["t"]] == [
        (0, ErrorCode.INVALID_REQUEST),
        (3, ErrorCode.INVALID_REQUEST),
    ]


async def test_without_a_controller_each_partition_says_so() -> None:
    controller = Controller(ControllerError(ErrorCode.NOT_CONTROLLER, "not here"))
    elections = await ElectionsService(controller).elect_leaders(0, [("t", 0)], timeout_ms=7)
    assert elections.error is ErrorCode.NOT_CONTROLLER
    assert elections.topics == {"t": [ElectionOutcome("t", 0, ErrorCode.NOT_CONTROLLER, "not here")]}
    assert (await ElectionsService(controller).elect_leaders(0, None, timeout_ms=7)).topics == {}
