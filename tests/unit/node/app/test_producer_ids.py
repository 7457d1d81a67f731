from __future__ import annotations

import asyncio
import gc

from tests.unit.node.controller.metadata_node import MetadataNode

from odradek.node.app.producer_ids import ProducerIdentity, ProducerIdService
from odradek.node.controller.operations import ControllerError
from odradek.proto.kafka.errors import ErrorCode


async def new_id(service: ProducerIdService) -> int:
    identity = await service.init_producer_id(None, -1, -1)
    assert (identity.error, identity.producer_epoch) == (ErrorCode.NONE, 0)
    return identity.producer_id


async def test_ids_come_from_blocks_of_a_thousand() -> None:
    node = await MetadataNode().start()
    entries = node.log.index
    assert [await new_id(node.producer_ids) for _ in range(1001)] == list(range(1001))
    assert node.log.index == entries + 2
    assert node.image.next_producer_id == 2000


async def test_a_restart_never_gives_an_id_again() -> None:
    node = await MetadataNode().start()
    await new_id(node.producer_ids)
    assert await new_id(ProducerIdService(node.controller)) == 1000


async def test_those_who_wait_for_a_block_share_it() -> None:
    node = await MetadataNode().start()
    entries = node.log.index
    ids = await asyncio.gather(*(new_id(node.producer_ids) for _ in range(1500)))
    assert sorted(ids) == list(range(1500))
    assert node.log.index == entries + 2


async def test_one_who_gives_up_does_not_take_the_block_from_the_others() -> None:
    node = await MetadataNode().start()
    first = asyncio.ensure_future(new_id(node.producer_ids))
    second = asyncio.ensure_future(new_id(node.producer_ids))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == 0


async def test_a_block_that_nobody_waits_for_any_more_may_fail_in_silence() -> None:
    complaints: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    lost = asyncio.Event()

    class Losing:
        async def allocate_producer_ids(self, count: int = 0) -> int:
            await lost.wait()
            raise ControllerError(ErrorCode.NOT_CONTROLLER, "lost")

    waiting = asyncio.ensure_future(ProducerIdService(Losing()).init_producer_id(None, -1, -1))
    await asyncio.sleep(0.001)
    waiting.cancel()
    await asyncio.sleep(0.001)
    lost.set()
    await asyncio.sleep(0.001)
    gc.collect()
    assert waiting.cancelled() and complaints == []


async def test_a_transactional_id_is_refused() -> None:
    node = await MetadataNode().start()
    for transactional_id in ("tx", ""):
        refused = await node.producer_ids.init_producer_id(transactional_id, -1, -1)
        assert refused == ProducerIdentity(ErrorCode.INVALID_REQUEST)


async def test_a_producer_that_brings_its_id_gets_a_new_one() -> None:
    node = await MetadataNode().start()
    mine = await new_id(node.producer_ids)
    again = await node.producer_ids.init_producer_id(None, mine, 0)
    assert again == ProducerIdentity(ErrorCode.NONE, mine + 1, 0)
    for half in ((mine, -1), (-1, 0)):
        assert (await node.producer_ids.init_producer_id(None, *half)).error is ErrorCode.INVALID_REQUEST


async def test_without_a_controller_there_are_no_ids() -> None:
    node = await MetadataNode().start()
    node.log.is_leader = False
    refused = await node.producer_ids.init_producer_id(None, -1, -1)
    assert refused == ProducerIdentity(ErrorCode.NOT_CONTROLLER)
    node.log.is_leader = True
    assert await new_id(node.producer_ids) == 0
