"""InitProducerId.

Keys: 22. Versions: 0-5.
Behaviour: a new producer id with epoch 0 for an idempotent producer.
Version notes: 3 may bring the producer's id and epoch (KIP-360), both or neither.
Not implemented: transactions; a transactional id is refused with INVALID_REQUEST.
"""

from __future__ import annotations

from odradek.node.app.context import RequestContext
from odradek.node.app.producer_ids import ProducerIdService
from odradek.node.kafka_api.registry import Route
from odradek.proto.kafka.api import ApiKey
from odradek.proto.kafka.messages.transactions import InitProducerIdRequest, InitProducerIdResponse


class ProducerIdHandlers:
    def __init__(self, service: ProducerIdService) -> None:
        self._service = service

    def routes(self) -> list[Route]:
        return [Route(ApiKey.INIT_PRODUCER_ID, 0, 5, self.init_producer_id)]

    async def init_producer_id(
        self, context: RequestContext, request: InitProducerIdRequest, version: int
    ) -> InitProducerIdResponse:
        identity = await self._service.init_producer_id(
            request.transactional_id, request.producer_id, request.producer_epoch
        )
        return InitProducerIdResponse(
            error_code=identity.error,
            producer_id=identity.producer_id,
            producer_epoch=identity.producer_epoch,
        )
