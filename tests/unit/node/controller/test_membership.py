from __future__ import annotations

import asyncio

import pytest
from tests.unit.node.controller.active_world import ActiveWorld
from tests.unit.node.controller.image_world import broker

from odradek.node.controller.brokers import BrokerHeartbeat, Registration
from odradek.node.controller.controller import ControllerError
from odradek.node.controller.membership import NoProbe
from odradek.proto.kafka.errors import ErrorCode
from odradek.raft.ports import NotLeaderError


@pytest.fixture
async def world() -> ActiveWorld:
    world = await ActiveWorld().start()
    await world.create((1, 2, 3), (2, 3, 1), (3, 1, 2))
    return world


async def test_brokers_that_are_heard_stay(world: ActiveWorld) -> None:
    entries = world.log.index
    await world.run_ms(10_000, 1, 2, 3)
    assert world.fenced() == []
    assert world.log.index == entries


async def test_silence_for_a_session_is_a_fence(world: ActiveWorld) -> None:
    await world.run_ms(1_750, 1, 2)
    assert world.fenced() == []
    await world.run_ms(500, 1, 2)
    assert world.fenced() == [3]
    assert world.show(2) == "1 leads 3 1 2, isr 1 2 (epoch 1)"


async def test_a_fenced_broker_that_is_heard_again_serves_again(world: ActiveWorld) -> None:
    await world.run_ms(2_500, 1, 2)
    assert world.fenced() == [3]
    assert not (await world.beat(3)).is_fenced
    await world.run_ms(1_000, 1, 2, 3)
    assert world.fenced() == []
    await world.run_ms(2_500, 1, 2)
    assert world.fenced() == [3]


async def test_a_broken_connection_and_a_refusing_listener_are_a_fence_at_once(world: ActiveWorld) -> None:
    world.listeners.refusing = {3}
    world.controller.on_broker_lost(3)
    world.controller.on_broker_lost(3)
    await world.settle()
    assert world.fenced() == [3]
    assert world.listeners.asked == [3]


async def test_a_broken_connection_alone_is_not(world: ActiveWorld) -> None:
    world.controller.on_broker_lost(3)
    world.controller.on_broker_lost(9)
    await world.settle()
    assert world.fenced() == []


async def test_who_was_heard_of_during_the_probe_is_alive(world: ActiveWorld) -> None:
    world.listeners.refusing = {3}
    world.controller.on_broker_lost(3)
    await world.beat(3)
    await world.settle()
    assert world.fenced() == []


async def test_a_process_that_was_killed_is_replaced_at_once(world: ActiveWorld) -> None:
    """Its connection broke; its successor has its listener already."""
    epoch = world.image.brokers[3].epoch
    world.controller.on_broker_lost(3)
    await world.settle()
    outcome = await world.register(3, incarnation=1)
    assert outcome.error is ErrorCode.NONE
    assert outcome.broker_epoch == world.image.brokers[3].epoch > epoch
    assert world.show(2) == "1 leads 3 1 2, isr 1 2 (epoch 1)"
    assert not (await world.beat(3)).is_fenced


async def test_a_silent_one_is_replaced_after_two_heartbeats(world: ActiveWorld) -> None:
    asked = asyncio.ensure_future(world.register(3, incarnation=1))
    await world.settle()
    world.clock.advance(499)
    await world.settle()
    assert not asked.done()
    world.clock.advance(1)
    assert (await asked).error is ErrorCode.NONE


async def test_a_hint_ends_the_trial(world: ActiveWorld) -> None:
    asked = asyncio.ensure_future(world.register(3, incarnation=1))
    await world.settle()
    world.controller.on_broker_lost(3)
    assert (await asked).error is ErrorCode.NONE


async def test_one_that_is_alive_keeps_its_number(world: ActiveWorld) -> None:
    asked = asyncio.ensure_future(world.register(3, incarnation=1))
    await world.settle()
    world.clock.advance(200)
    await world.beat(3)
    assert (await asked).error is ErrorCode.DUPLICATE_BROKER_REGISTRATION
    assert world.fenced() == []


async def test_the_same_process_again_is_no_rival(world: ActiveWorld) -> None:
    epoch = world.image.brokers[3].epoch
    assert (await world.register(3)).broker_epoch == epoch
    assert world.fenced() == []


async def test_the_stale_process_is_told(world: ActiveWorld) -> None:
    stale = world.image.brokers[3].epoch
    world.controller.on_broker_lost(3)
    await world.register(3, incarnation=1)
    outcome = await world.controller.heartbeat(BrokerHeartbeat(3, stale, 99))
    assert outcome.error is ErrorCode.STALE_BROKER_EPOCH


async def test_a_new_controller_gives_everybody_a_session_and_probes(world: ActiveWorld) -> None:
    world.listeners.refusing = {2}
    await world.take_over()
    await world.settle()
    assert world.fenced() == [2]
    assert sorted(world.listeners.asked) == [2, 3]  # not itself
    await world.run_ms(1_750, 1)
    assert world.fenced() == [2]
    await world.run_ms(500, 1)
    assert world.fenced() == [2, 3]


async def test_an_isr_is_made_right_when_the_first_of_it_is_heard_of(world: ActiveWorld) -> None:
    world.listeners.refusing = {3}
    await world.take_over()
    await world.settle()
    assert world.show(2) == "1 leads 3 1 2, isr 3 1 2 (epoch 1)"
    await world.beat(1)
    assert world.show(2) == "1 leads 3 1 2, isr 1 2 (epoch 1)"
    await world.beat(2)
    entries = world.log.index
    await world.run_ms(1_000, 1, 2)
    assert world.log.index == entries


async def test_after_all_were_killed_the_first_that_is_back_leads(world: ActiveWorld) -> None:
    await world.take_over()
    for broker_id in (3, 1, 2):
        assert (await world.register(broker_id, incarnation=1)).error is ErrorCode.NONE
    assert world.show(0) == "nobody leads 1 2 3, isr 1 2 3 (epoch 2)"
    await world.beat(2)
    for number in range(3):
        assert world.show(number).startswith("2 leads")
    assert world.show(0) == "2 leads 1 2 3, isr 2, elr 1 3 (epoch 3)"


async def test_time_in_which_this_process_did_not_run_does_not_count(world: ActiveWorld) -> None:
    world.clock.stall(60_000)
    await world.settle()
    assert world.fenced() == []
    await world.run_ms(250, 1, 2)
    assert world.fenced() == []
    await world.run_ms(500, 1, 2)
    assert world.fenced() == [3]


async def test_a_controlled_shutdown_ends_when_the_others_know(world: ActiveWorld) -> None:
    assert not (await world.beat(1, want_shut_down=True)).should_shut_down
    assert world.show(0) == "2 leads 1 2 3, isr 2 3 (epoch 1)"
    assert not (await world.beat(1, want_shut_down=True)).should_shut_down
    await world.beat(2)
    assert not (await world.beat(1, want_shut_down=True)).should_shut_down
    await world.beat(3)
    assert (await world.beat(1, want_shut_down=True)).should_shut_down
    world.controller.on_broker_lost(1)
    await world.settle()
    assert world.fenced() == [1]
    assert world.listeners.asked == []


async def test_a_broker_that_was_let_go_comes_back_at_once(world: ActiveWorld) -> None:
    await world.beat(1, want_shut_down=True)
    await world.beat(2, 3)
    assert (await world.beat(1, want_shut_down=True)).should_shut_down
    assert (await world.register(1, incarnation=1)).error is ErrorCode.NONE
    assert not (await world.beat(1)).is_fenced


async def test_the_loss_of_leadership_ends_what_waits(world: ActiveWorld) -> None:
    asked = asyncio.ensure_future(world.register(3, incarnation=1))
    await world.settle()
    world.controller.on_leadership(False, 1)
    with pytest.raises(ControllerError) as caught:
        await asked
    assert caught.value.error is ErrorCode.NOT_CONTROLLER
    world.log.is_leader = False
    await world.run_ms(5_000)
    world.controller.on_broker_lost(3)
    await world.settle()
    assert world.fenced() == []
    with pytest.raises(ControllerError):
        await world.beat(3)
    with pytest.raises(ControllerError):
        await world.register(3)


async def test_who_is_taken_out_is_not_watched(world: ActiveWorld) -> None:
    assert (await world.controller.unregister_broker(3)).error is ErrorCode.NONE
    missing = await world.controller.unregister_broker(3)
    assert missing.error is ErrorCode.BROKER_ID_NOT_REGISTERED
    entries = world.log.index
    await world.run_ms(3_000, 1, 2)
    assert world.log.index == entries
    assert (await world.register(3)).error is ErrorCode.NONE
    assert world.fenced() == [3]


async def test_a_registration_for_another_cluster_is_refused_without_a_trial(world: ActiveWorld) -> None:
    outcome = await world.controller.register_broker(Registration(broker(3, incarnation=1), "another"))
    assert outcome.error is ErrorCode.INCONSISTENT_CLUSTER_ID


async def test_without_a_probe_only_silence_tells() -> None:
    assert await NoProbe().is_listening(1)


async def test_a_controller_that_was_replaced_renews_no_lease(world: ActiveWorld) -> None:
    """It was paused, and has not heard that another one is active: only a quorum tells."""

    def replaced() -> asyncio.Future[int]:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        future.set_exception(NotLeaderError(2))
        return future

    world.log.read_index = replaced  # type: ignore[method-assign]
    with pytest.raises(ControllerError) as refusal:
        await world.beat(3)
    assert refusal.value.error is ErrorCode.NOT_CONTROLLER
