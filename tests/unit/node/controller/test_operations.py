from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import pytest

from odradek.node.controller.controller import Controller
from odradek.node.controller.image import MetadataImage, ResourceType
from odradek.node.controller.operations import ENTRY_BYTES_MAX, WAITING_OPERATIONS_MAX, ControllerError
from odradek.node.controller.records import ConfigRecord, Result
from odradek.node.controller.topics import NewTopic
from odradek.proto.kafka.errors import ErrorCode
from odradek.raft.ports import NotLeaderError, ProposalQueueFullError, ProposalTooLargeError


class Log(Protocol):
    at_once: bool
    is_leader: bool
    entries: list[bytes]
    waiting: list[tuple[bytes, asyncio.Future[int]]]

    def commit(self) -> None: ...
    def fail(self, error: Exception) -> None: ...


def log_of(controller: Controller) -> Log:
    return controller._operations._log  # type: ignore[return-value]


async def hold(controller: Controller) -> Log:
    """From now on entries wait until the test commits them."""
    log = log_of(controller)
    log.at_once = False
    return log


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_of_two_requests_for_one_name_one_succeeds(controller: Controller) -> None:
    log = await hold(controller)
    tasks = [asyncio.ensure_future(controller.create_topics([NewTopic("t")])) for _ in range(3)]
    await turn()
    assert len(log.waiting) == 1  # the others wait for the first to be decided
    log.commit()
    await turn()
    errors = [(await task)[0].error for task in tasks]
    assert errors == [ErrorCode.NONE, ErrorCode.TOPIC_ALREADY_EXISTS, ErrorCode.TOPIC_ALREADY_EXISTS]


async def test_what_arrives_meanwhile_travels_as_one_entry_and_sees_each_other(
    controller: Controller,
) -> None:
    log = await hold(controller)
    names = ["a", "b", "b", "c.d", "c_d"]
    tasks = [asyncio.ensure_future(controller.create_topics([NewTopic(name)])) for name in names]
    await turn()
    log.commit()
    await turn()
    assert len(log.waiting) == 1
    assert not any(task.done() for task in tasks[1:])  # even a refusal waits: it rests on what is in flight
    log.commit()
    await turn()
    assert [(await task)[0].error for task in tasks] == [
        ErrorCode.NONE,
        ErrorCode.NONE,
        ErrorCode.TOPIC_ALREADY_EXISTS,
        ErrorCode.NONE,
        ErrorCode.INVALID_TOPIC_EXCEPTION,
    ]
    assert set(controller.image.topics_by_name) == {"a", "b", "c.d"}


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (NotLeaderError(None), ErrorCode.NOT_CONTROLLER),
        (ProposalTooLargeError("9 bytes"), ErrorCode.POLICY_VIOLATION),
        (ProposalQueueFullError("full"), ErrorCode.REQUEST_TIMED_OUT),
    ],
)
async def test_a_failed_proposal_fails_its_operations_and_the_next_go_on(
    controller: Controller, failure: Exception, error: ErrorCode
) -> None:
    log = await hold(controller)
    first = asyncio.ensure_future(controller.create_topics([NewTopic("a")]))
    second = asyncio.ensure_future(controller.create_topics([NewTopic("a")]))
    await turn()
    log.fail(failure)
    await turn()
    with pytest.raises(ControllerError) as caught:
        await first
    assert caught.value.error is error
    log.commit()
    assert (await second)[0].error is ErrorCode.NONE


async def test_nothing_is_begun_where_this_node_does_not_lead(controller: Controller) -> None:
    log_of(controller).is_leader = False
    with pytest.raises(ControllerError) as caught:
        await controller.create_topics([NewTopic("a")])
    assert caught.value.error is ErrorCode.NOT_CONTROLLER


async def test_a_change_that_takes_too_long_is_answered(controller: Controller) -> None:
    log = await hold(controller)
    with pytest.raises(ControllerError) as caught:
        await controller.create_topics([NewTopic("a")], timeout_ms=0)
    assert caught.value.error is ErrorCode.REQUEST_TIMED_OUT
    # One that waits behind it and is given up before its turn is never begun.
    with pytest.raises(ControllerError):
        await controller.create_topics([NewTopic("b")], timeout_ms=0)
    log.commit()
    await turn()
    assert set(controller.image.topics_by_name) == {"a"}
    assert not log.waiting


async def test_the_queue_has_an_end(controller: Controller) -> None:
    await hold(controller)
    tasks = [
        asyncio.ensure_future(controller.create_topics([NewTopic("a")]))
        for _ in range(WAITING_OPERATIONS_MAX + 1)
    ]
    await turn()
    with pytest.raises(ControllerError) as caught:
        await controller.create_topics([NewTopic("b")])
    assert caught.value.error is ErrorCode.REQUEST_TIMED_OUT
    for task in tasks:
        task.cancel()


async def test_a_broken_operation_is_its_callers_problem(controller: Controller) -> None:
    def broken(image: MetadataImage) -> Result[None]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await controller.run(broken)
    assert (await controller.create_topics([NewTopic("a")]))[0].error is ErrorCode.NONE


async def test_a_huge_change_travels_alone(controller: Controller) -> None:
    def write(value: str) -> Callable[[MetadataImage], Result[None]]:
        return lambda image: Result([ConfigRecord.of(ResourceType.GROUP, "g", {"x": value})], None)

    log = await hold(controller)
    first = asyncio.ensure_future(controller.run(write("first")))
    small = asyncio.ensure_future(controller.run(write("small")))
    huge = asyncio.ensure_future(controller.run(write("x" * ENTRY_BYTES_MAX)))
    await turn()
    sizes = []
    for _ in range(3):
        sizes.append(len(log.waiting[0][0]))
        log.commit()
        await turn()
    await asyncio.gather(first, small, huge)
    assert sizes[0] < 100
    assert sizes[1] < 100
    assert sizes[2] > ENTRY_BYTES_MAX


async def test_what_waits_when_leadership_is_lost_is_never_begun(controller: Controller) -> None:
    log = await hold(controller)
    first = asyncio.ensure_future(controller.create_topics([NewTopic("a")]))
    second = asyncio.ensure_future(controller.create_topics([NewTopic("b")]))
    await turn()
    controller.on_leadership(False, 2)
    await turn()
    assert second.done()
    assert not first.done()  # its entry may still be agreed on
    log.is_leader = False
    log.fail(NotLeaderError(2))
    for task in (first, second):
        with pytest.raises(ControllerError) as caught:
            await task
        assert caught.value.error is ErrorCode.NOT_CONTROLLER
        assert caught.value.is_undecided is (task is first)
    assert not log.waiting
