"""What brokers ask of the active controller: to be taken in, to be counted on, to have their partitions changed.

Decides where they may ask (on the listener among brokers, and nowhere else) and what they get when the controller
cannot answer: one error for the whole request. What a request comes to is the controller's.
"""

from __future__ import annotations

from typing import Protocol

from odradek.node.app.context import RequestContext
from odradek.node.controller.brokers import (
    BrokerHeartbeat,
    HeartbeatOutcome,
    Registration,
    RegistrationOutcome,
)
from odradek.node.controller.controller import ControllerError
from odradek.node.controller.directories import AssignReplicas, AssignReplicasOutcome
from odradek.node.controller.isr import AlterPartitions, AlterPartitionsOutcome
from odradek.node.controller.producer_ids import ProducerIdBlock
from odradek.proto.kafka.errors import ErrorCode

_REFUSED = ErrorCode.CLUSTER_AUTHORIZATION_FAILED


class BrokerController(Protocol):
    """The controller, as far as it is needed here."""

    async def register_broker(self, registration: Registration) -> RegistrationOutcome: ...
    async def heartbeat(self, heartbeat: BrokerHeartbeat) -> HeartbeatOutcome: ...
    async def alter_partitions(self, request: AlterPartitions) -> AlterPartitionsOutcome: ...
    async def assign_replicas_to_dirs(self, request: AssignReplicas) -> AssignReplicasOutcome: ...
    async def allocate_producer_ids_for(self, broker_id: int, broker_epoch: int) -> ProducerIdBlock: ...


class BrokersService:
    """`listener` is the name of the one among brokers."""

    def __init__(self, controller: BrokerController, listener: str) -> None:
        self._controller = controller
        self._listener = listener

    async def register(self, context: RequestContext, registration: Registration) -> RegistrationOutcome:
        if context.listener != self._listener:
            return RegistrationOutcome(_REFUSED)
        try:
            return await self._controller.register_broker(registration)
        except ControllerError as error:
            return RegistrationOutcome(error.error, message=str(error))

    async def heartbeat(self, context: RequestContext, heartbeat: BrokerHeartbeat) -> HeartbeatOutcome:
        if context.listener != self._listener:
            return HeartbeatOutcome(_REFUSED)
        try:
            return await self._controller.heartbeat(heartbeat)
        except ControllerError as error:
            return HeartbeatOutcome(error.error)

    async def alter_partitions(
        self, context: RequestContext, request: AlterPartitions
    ) -> AlterPartitionsOutcome:
        if context.listener != self._listener:
            return AlterPartitionsOutcome(_REFUSED)
        try:
            return await self._controller.alter_partitions(request)
        except ControllerError as error:
            return AlterPartitionsOutcome(error.error)

    async def assign_replicas(
        self, context: RequestContext, request: AssignReplicas
    ) -> AssignReplicasOutcome:
        if context.listener != self._listener:
            return AssignReplicasOutcome(_REFUSED)
        try:
            return await self._controller.assign_replicas_to_dirs(request)
        except ControllerError as error:
            return AssignReplicasOutcome(error.error)

    async def allocate_producer_ids(
        self, context: RequestContext, broker_id: int, broker_epoch: int
    ) -> ProducerIdBlock:
        if context.listener != self._listener:
            return ProducerIdBlock(_REFUSED)
        try:
            return await self._controller.allocate_producer_ids_for(broker_id, broker_epoch)
        except ControllerError as error:
            return ProducerIdBlock(error.error)
