"""A controller of several nodes, active, on a log that commits by itself and with time that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from random import Random

from tests.unit.node.controller.image_world import broker, shown
from tests.unit.node.controller.manual_alarm import ManualClock
from tests.unit.node.controller.metadata_node import MemoryLog

from odradek.node.config import NodeConfig
from odradek.node.controller.brokers import (
    BrokerHeartbeat,
    HeartbeatOutcome,
    Registration,
    RegistrationOutcome,
)
from odradek.node.controller.controller import Controller
from odradek.node.controller.effective import EffectiveConfigs
from odradek.node.controller.image import MetadataImage
from odradek.node.controller.isr import AlterPartitions, IsrMember, IsrOutcome, IsrProposal
from odradek.node.controller.settings import ControllerSettings
from odradek.node.controller.topics import NewTopic


class Listeners:
    """The probe: brokers in `refusing` have no process."""

    def __init__(self) -> None:
        self.refusing: set[int] = set()
        self.asked: list[int] = []

    async def is_listening(self, broker_id: int) -> bool:
        self.asked.append(broker_id)
        return broker_id not in self.refusing


class ActiveWorld:
    """Node 1 is the active controller; `await start()` registers and unfences brokers 1, 2 and 3."""

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self.clock = ManualClock()
        self.listeners = Listeners()
        config = NodeConfig({"min.insync.replicas": "2", **(settings or {})})
        self.controller = Controller(
            1,
            EffectiveConfigs(config),
            Random(7),
            self.clock.new_alarm,
            ControllerSettings(is_alone=False, session_timeout_ms=2_000, heartbeat_interval_ms=250),
            self.listeners,
        )
        self.log = MemoryLog(self.controller.machine)
        self.controller.attach(self.log)

    @property
    def image(self) -> MetadataImage:
        return self.controller.image

    async def start(self) -> ActiveWorld:
        self.controller.on_leadership(True, 1)
        await self.controller.found("c")
        for broker_id in (1, 2, 3):
            await self.register(broker_id)
            await self.beat(broker_id)
        return self

    async def take_over(self) -> None:
        """Another controller, which knows nothing but the image, becomes active."""
        self.controller.on_leadership(False, 1)
        self.controller.on_leadership(True, 2)

    async def register(self, broker_id: int, incarnation: int = 0) -> RegistrationOutcome:
        return await self.controller.register_broker(
            Registration(broker(broker_id, incarnation=incarnation), "c")
        )

    async def beat(self, *broker_ids: int, want_shut_down: bool = False) -> HeartbeatOutcome:
        """Heartbeats of brokers that have applied everything; the last one's outcome."""
        for broker_id in broker_ids:
            outcome = await self.controller.heartbeat(
                BrokerHeartbeat(
                    broker_id,
                    self.image.brokers[broker_id].epoch,
                    self.image.applied_index,
                    want_shut_down=want_shut_down,
                )
            )
        return outcome

    async def run_ms(self, ms: int, *beating: int) -> None:
        """Time passes, with a heartbeat of those brokers every 250 ms."""
        for _ in range(ms // 250):
            self.clock.advance(250)
            await self.settle()
            for broker_id in beating:
                await self.beat(broker_id)

    async def create(self, *replicas: tuple[int, ...]) -> None:
        """Topic t."""
        await self.controller.create_topics([NewTopic("t", assignments=list(enumerate(replicas)))])

    async def propose(self, *members: int, number: int = 0) -> IsrOutcome:
        """The leader of a partition of t proposes an ISR."""
        topic = self.image.topics_by_name["t"]
        partition = topic.partitions[number]
        proposal = IsrProposal(
            topic.topic_id,
            number,
            partition.leader_epoch,
            partition.partition_epoch,
            [IsrMember(member) for member in members],
        )
        leader = self.image.brokers[partition.leader]
        request = AlterPartitions(leader.broker_id, leader.epoch, [proposal])
        (outcome,) = (await self.controller.alter_partitions(request)).outcomes
        return outcome

    async def settle(self) -> None:
        """Everything that was begun comes to an end."""
        for _ in range(30):
            await asyncio.sleep(0)

    def fenced(self) -> list[int]:
        return [one.broker_id for one in self.image.brokers.values() if one.fenced]

    def show(self, number: int = 0) -> str:
        partition = self.image.partition("t", number)
        assert partition is not None
        return shown(partition)
