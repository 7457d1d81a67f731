from __future__ import annotations

import pytest
from tests.unit.node.controller.metadata_node import CONTEXT, MetadataNode, over_the_wire

from odradek.node.kafka_api.handlers.producer_ids import ProducerIdHandlers
from odradek.proto.kafka.codec import decode_exactly, encode_to_bytes
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.transactions import InitProducerIdRequest, InitProducerIdResponse


async def ask(node: MetadataNode, version: int, request: InitProducerIdRequest) -> InitProducerIdResponse:
    request = decode_exactly(InitProducerIdRequest, version, encode_to_bytes(request, version))
    handlers = ProducerIdHandlers(node.producer_ids)
    return over_the_wire(await handlers.init_producer_id(CONTEXT, request, version), version)


@pytest.mark.parametrize("version", range(6))
async def test_every_producer_gets_an_id_of_its_own(version: int) -> None:
    node = await MetadataNode().start()
    for expected in (0, 1):
        answer = await ask(node, version, InitProducerIdRequest(transactional_id=None))
        assert (answer.error_code, answer.producer_id, answer.producer_epoch) == (0, expected, 0)


@pytest.mark.parametrize("version", range(6))
async def test_transactions_are_refused(version: int) -> None:
    node = await MetadataNode().start()
    answer = await ask(node, version, InitProducerIdRequest(transactional_id="tx"))
    assert (answer.error_code, answer.producer_id) == (ErrorCode.INVALID_REQUEST, -1)


@pytest.mark.parametrize("version", range(3, 6))
async def test_a_producer_that_starts_again_gets_a_new_id(version: int) -> None:
    node = await MetadataNode().start()
    await ask(node, version, InitProducerIdRequest(transactional_id=None))
    request = InitProducerIdRequest(transactional_id=None, producer_id=0, producer_epoch=0)
    answer = await ask(node, version, request)
    assert (answer.error_code, answer.producer_id, answer.producer_epoch) == (0, 1, 0)
    request.producer_epoch = -1
    assert (await ask(node, version, request)).error_code == ErrorCode.INVALID_REQUEST
