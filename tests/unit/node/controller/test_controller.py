from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Protocol

import pytest

from odradek.node.controller.configs import ConfigAlteration, ConfigChange, ConfigOperation
from odradek.node.controller.controller import (
    ENTRY_BYTES_MAX,
    WAITING_OPERATIONS_MAX,
    Controller,
    ControllerError,
)
from odradek.node.controller.effective import EffectiveConfigs
from odradek.node.controller.image import BrokerImage, MetadataImage, ResourceType
from odradek.node.controller.membership import NewAlarm
from odradek.node.controller.records import ConfigRecord, Result
from odradek.node.controller.topics import MorePartitions, NewTopic
from odradek.proto.kafka.errors import ErrorCode
from odradek.raft.ports import NotLeaderError, ProposalTooLargeError


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


async def test_start_founds_the_cluster_and_registers_the_node(controller: Controller) -> None:
    assert controller.image.cluster_id == "a-cluster"
    assert controller.image.brokers[1].epoch == 2


async def test_an_answer_means_that_the_image_has_the_change(controller: Controller) -> None:
    heard: list[MetadataImage] = []
    controller.subscribe(lambda delta, image: heard.append(image))
    (outcome,) = await controller.create_topics([NewTopic("t", 2, 1)])
    assert outcome.error is ErrorCode.NONE
    assert controller.image.topics_by_id[outcome.topic_id].name == "t"
    assert heard[-1] is controller.image


async def test_every_kind_of_change(controller: Controller) -> None:
    await controller.create_topics([NewTopic("t", 2, 1)])
    await controller.create_partitions([MorePartitions("t", 3)])
    change = [ConfigChange("retention.ms", ConfigOperation.SET, "5")]
    entry = ConfigAlteration(ResourceType.TOPIC, "t", change)
    assert (await controller.incremental_alter_configs([entry]))[0].error is ErrorCode.NONE
    assert controller.image.config(ResourceType.TOPIC, "t") == {"retention.ms": "5"}
    await controller.alter_configs([ConfigAlteration(ResourceType.TOPIC, "t", [])])
    assert controller.image.config(ResourceType.TOPIC, "t") == {}
    assert controller.image.partition_count == 3
    assert [await controller.allocate_producer_ids(), await controller.allocate_producer_ids(5)] == [0, 1000]
    assert controller.image.next_producer_id == 1005
    await controller.delete_topics(["t"], [])
    assert controller.image.partition_count == 0


async def test_trying_changes_nothing(controller: Controller) -> None:
    entries = len(log_of(controller).entries)
    (created,) = await controller.create_topics([NewTopic("t", 2, 1)], validate_only=True)
    assert (created.error, created.num_partitions) == (ErrorCode.NONE, 2)
    assert len(log_of(controller).entries) == entries
    assert controller.image.topic("t") is None


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


async def test_listeners_hear_nothing_of_the_past(
    effective: EffectiveConfigs,
    stepped: type,
    make_broker: Callable[..., BrokerImage],
    make_alarm: NewAlarm,
    controller: Controller,
) -> None:
    await controller.create_topics([NewTopic("t")])
    await controller.delete_topics(["t"], [])
    await controller.create_topics([NewTopic("t")])
    again = Controller(1, effective, Random(8), make_alarm)
    heard: list[int] = []
    again.subscribe(lambda delta, image: heard.append(len(delta.deleted_topics)))
    again.attach(stepped(again.machine))
    for index, entry in enumerate(log_of(controller).entries, start=1):
        again.machine.apply(index, entry)
        log_of(again).entries.append(entry)
    assert not heard
    restarted = replace(make_broker(1), incarnation_id=b"again" + bytes(11))
    await again.start("a-cluster", restarted)
    assert heard == [0, 0]
    assert again.image.topics_by_id == controller.image.topics_by_id


async def test_the_state_machine_is_there_before_anything_is_attached(
    effective: EffectiveConfigs, make_alarm: NewAlarm
) -> None:
    controller = Controller(1, effective, Random(1), make_alarm)
    assert controller.machine.image is controller.image
    assert not controller.image.brokers
