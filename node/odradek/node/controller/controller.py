"""The controller: the one writer of the cluster's metadata, on the leader of the metadata group.

Decides nothing itself: what a request comes to is decided by pure operations (`topics`, `configs`, `brokers`, `isr`,
`elections`, `reassignment`, ...), their order by `operations`, who is alive by `membership`, who may ask by the
application layer.

Every node has one, for its image; changes are made by the active one, elsewhere they fail with NOT_CONTROLLER.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from random import Random
from typing import Protocol, TypeVar

from odradek.node.controller import (
    brokers,
    configs,
    directories,
    elections,
    features,
    isr,
    producer_ids,
    reassignment,
    topics,
)
from odradek.node.controller.balance import balance_leaders, needs_balance
from odradek.node.controller.delta import MetadataDelta
from odradek.node.controller.elections import RulesOf, TopicRules
from odradek.node.controller.image import BrokerImage, MetadataImage
from odradek.node.controller.membership import Membership, NewAlarm, NoProbe, Probe
from odradek.node.controller.operations import (
    ENTRY_BYTES_MAX,
    TIMEOUT_MS,
    WAITING_OPERATIONS_MAX,
    ControllerError,
    MetadataLog,
    Operation,
    Operations,
)
from odradek.node.controller.publisher import ImageListener, Publisher
from odradek.node.controller.records import Result
from odradek.node.controller.rule_changes import follow_rules, touched_topics
from odradek.node.controller.settings import ControllerSettings
from odradek.node.controller.state import MetadataState

__all__ = [
    "ENTRY_BYTES_MAX",
    "TIMEOUT_MS",
    "WAITING_OPERATIONS_MAX",
    "Controller",
    "ControllerError",
    "MetadataLog",
    "Operation",
    "Policy",
]

R = TypeVar("R")


class Policy(configs.Rules, Protocol):
    """What the node's settings and the image come to; see `effective`."""

    def topic_defaults(self, image: MetadataImage) -> topics.TopicDefaults: ...

    def topic_rules(self, image: MetadataImage, topic: str) -> TopicRules: ...

    def check_topic_configs(self, overrides: Mapping[str, str], image: MetadataImage) -> str | None: ...


class Controller:
    """`machine` is the state machine to open the metadata group with; `attach` takes the opened group.

    Every coroutine raises `ControllerError` where the change was not made, or where its outcome is not known.
    """

    def __init__(
        self,
        node_id: int,
        policy: Policy,
        random: Random,
        new_alarm: NewAlarm,
        settings: ControllerSettings | None = None,
        probe: Probe | None = None,
    ) -> None:
        self.node_id = node_id
        self._policy = policy
        self._random = random
        self._settings = settings or ControllerSettings()
        self._publisher = Publisher()
        self.machine = MetadataState(self._on_image, self.on_leadership)
        self._operations = Operations(self.machine)
        self._membership = Membership(self._settings, self, self._operations, new_alarm, probe or NoProbe())
        self._balance_alarm = new_alarm(self._on_balance_due)
        self._balance_due_ms: int | None = None
        self._balancing: asyncio.Task[None] | None = None

    # -- reading

    @property
    def image(self) -> MetadataImage:
        """The last agreed and applied metadata."""
        return self.machine.image

    @property
    def is_active(self) -> bool:
        """This node leads the metadata group, and its image has all that was agreed on before."""
        return self._operations.is_active

    @property
    def active_controller_id(self) -> int | None:
        """The node that leads the metadata group as far as known here, None for nobody."""
        return self.node_id if self.is_active else self._operations.leader_id

    def rules_of(self, image: MetadataImage) -> RulesOf:
        """The rules of elections by topic, as the configs of `image` have them."""
        return lambda topic: self._policy.topic_rules(image, topic)

    def list_reassignments(
        self, asked: Sequence[tuple[str, Sequence[int]]] | None
    ) -> list[reassignment.Reassignment]:
        """See `reassignment.list_reassignments`."""
        return reassignment.list_reassignments(self.image, asked)

    def subscribe(self, listener: ImageListener) -> None:
        """`listener(delta, image)` for what is there, and then on every change; nothing before `open`."""
        self._publisher.subscribe(listener)

    # -- life

    def attach(self, log: MetadataLog) -> None:
        self._operations.attach(log)

    def open(self) -> None:
        """This node has applied what was agreed on before it came: from now on listeners hear, of what is there now
        and not of how it came about."""
        self._publisher.open()

    async def found(self, cluster_id: str, levels: Mapping[str, int] | None = None) -> None:
        """Names a new cluster, with these feature levels; checks the name of an existing one.

        Raises `ClusterMismatchError`.
        """
        founding = features.FOUNDING_LEVELS if levels is None else levels
        await self.run(lambda image: brokers.found_cluster(image, cluster_id, founding))

    async def start(self, cluster_id: str, broker: BrokerImage) -> None:
        """The start of a node that is its whole cluster: listens, founds, registers. Raises `ClusterMismatchError`."""
        self.open()
        await self.found(cluster_id)
        await self.register_broker(brokers.Registration(broker, cluster_id))

    def on_leadership(self, is_leader: bool, term: int) -> None:
        """The metadata group is led here from now on, or not any more."""
        if is_leader:
            self._membership.begin()
            self._watch_balance()
            return
        self._operations.fail_waiting()
        self._membership.end()
        self._stop_balancing()

    # -- topics and configs

    async def create_topics(
        self, new: Sequence[topics.NewTopic], *, validate_only: bool = False, timeout_ms: int = TIMEOUT_MS
    ) -> list[topics.TopicOutcome]:
        def create(image: MetadataImage) -> Result[list[topics.TopicOutcome]]:
            return topics.create_topics(
                image,
                new,
                self._policy.topic_defaults(image),
                lambda overrides: self._policy.check_topic_configs(overrides, image),
                self._random,
            )

        return await self._run_or_try(create, validate_only, timeout_ms)

    async def delete_topics(
        self, names: Sequence[str], topic_ids: Sequence[bytes], *, timeout_ms: int = TIMEOUT_MS
    ) -> list[topics.TopicOutcome]:
        return await self.run(lambda image: topics.delete_topics(image, names, topic_ids), timeout_ms)

    async def create_partitions(
        self,
        more: Sequence[topics.MorePartitions],
        *,
        validate_only: bool = False,
        timeout_ms: int = TIMEOUT_MS,
    ) -> list[topics.TopicOutcome]:
        def grow(image: MetadataImage) -> Result[list[topics.TopicOutcome]]:
            return topics.create_partitions(image, more, self._random)

        return await self._run_or_try(grow, validate_only, timeout_ms)

    async def alter_configs(
        self, alterations: Sequence[configs.ConfigAlteration], *, validate_only: bool = False
    ) -> list[configs.ConfigOutcome]:
        """Replaces all configs of the resources."""
        return await self._run_or_try(
            lambda image: self._with_rules(image, configs.replace_configs(image, alterations, self._policy)),
            validate_only,
            TIMEOUT_MS,
        )

    async def incremental_alter_configs(
        self, alterations: Sequence[configs.ConfigAlteration], *, validate_only: bool = False
    ) -> list[configs.ConfigOutcome]:
        return await self._run_or_try(
            lambda image: self._with_rules(
                image, configs.incremental_alter_configs(image, alterations, self._policy)
            ),
            validate_only,
            TIMEOUT_MS,
        )

    # -- brokers

    async def register_broker(self, registration: brokers.Registration) -> brokers.RegistrationOutcome:
        """Takes a broker in, fenced; at once where this node is the whole cluster. May wait for half a second to see
        whether the process that has the number is still alive."""
        return await self._membership.register(registration)

    async def heartbeat(self, heartbeat: brokers.BrokerHeartbeat) -> brokers.HeartbeatOutcome:
        return await self._membership.heartbeat(heartbeat)

    async def unregister_broker(self, broker_id: int) -> brokers.UnregisterOutcome:
        return await self._membership.unregister(broker_id)

    def on_broker_lost(self, broker_id: int) -> None:
        """A hint: a connection from or to the broker broke. Does nothing unless this node is the active controller."""
        if self.is_active:
            self._membership.on_broker_lost(broker_id)

    async def allocate_producer_ids(self, count: int = producer_ids.PRODUCER_IDS_PER_BLOCK) -> int:
        """For this node: the first of `count` ids that nobody else will ever get."""
        return await self.run(lambda image: producer_ids.allocate_block(image, self.node_id, count))

    async def allocate_producer_ids_for(
        self, broker_id: int, broker_epoch: int
    ) -> producer_ids.ProducerIdBlock:
        """For any registered broker: a block of ids that nobody else will ever get."""
        return await self.run(lambda image: producer_ids.allocate_for(image, broker_id, broker_epoch))

    # -- partitions

    async def alter_partitions(self, request: isr.AlterPartitions) -> isr.AlterPartitionsOutcome:
        return await self.run(lambda image: isr.alter_partitions(image, request, self.rules_of(image)))

    async def assign_replicas_to_dirs(
        self, request: directories.AssignReplicas
    ) -> directories.AssignReplicasOutcome:
        return await self.run(lambda image: directories.assign_replicas(image, request, self.rules_of(image)))

    async def elect_leaders(
        self,
        partitions: Sequence[tuple[str, int]] | None,
        *,
        unclean: bool = False,
        timeout_ms: int = TIMEOUT_MS,
    ) -> list[elections.ElectionOutcome]:
        """`partitions`: (topic, number); None: all that need it."""
        return await self.run(
            lambda image: elections.elect_leaders(image, partitions, self.rules_of(image), unclean=unclean),
            timeout_ms,
        )

    async def alter_reassignments(
        self,
        moves: Sequence[reassignment.Move],
        *,
        allow_replication_factor_change: bool = True,
        timeout_ms: int = TIMEOUT_MS,
    ) -> list[reassignment.ReassignmentOutcome]:
        return await self.run(
            lambda image: reassignment.alter_reassignments(
                image,
                moves,
                self.rules_of(image),
                allow_replication_factor_change=allow_replication_factor_change,
            ),
            timeout_ms,
        )

    # -- features

    async def update_features(
        self,
        updates: Sequence[features.FeatureUpdate],
        *,
        validate_only: bool = False,
        timeout_ms: int = TIMEOUT_MS,
    ) -> features.FeaturesOutcome:
        return await self._run_or_try(
            lambda image: features.update_features(image, updates, self.rules_of(image)),
            validate_only,
            timeout_ms,
        )

    # -- parts

    async def run(self, operation: Operation[R], timeout_ms: int = TIMEOUT_MS) -> R:
        """See `Operations.run`."""
        return await self._operations.run(operation, timeout_ms)

    async def _run_or_try(self, operation: Operation[R], validate_only: bool, timeout_ms: int) -> R:
        if validate_only:
            return operation(self.image).response
        return await self.run(operation, timeout_ms)

    def _with_rules(self, image: MetadataImage, result: Result[R]) -> Result[R]:
        """With what changed configs mean for partitions at once, in the same entry."""
        names = touched_topics(result.records)
        if names is not None and not names:
            return result
        after = self.machine.preview(image, result.records)
        return Result([*result.records, *follow_rules(after, names, self.rules_of(after))], result.response)

    def _on_image(self, delta: MetadataDelta, image: MetadataImage) -> None:
        self._publisher.publish(delta, image)
        if delta.changed_topics:
            self._watch_balance()

    def _watch_balance(self) -> None:
        """Looks at the balance of leaders after the interval, if there is anything to look at."""
        if self._settings.is_alone or not self._settings.balances_leaders or not self.is_active:
            return
        if self._balance_due_ms is None and needs_balance(self.image):
            self._balance_due_ms = self._balance_alarm.monotonic_ms() + self._settings.balance_interval_ms
            self._balance_alarm.announce(self._balance_due_ms)

    def _on_balance_due(self, now_ms: int) -> int | None:
        self._balancing = asyncio.get_running_loop().create_task(self._balance())
        return None

    async def _balance(self) -> None:
        """A few partitions per entry, so that other changes find their way between them."""
        try:
            while await self.run(
                lambda image: balance_leaders(
                    image, self._settings.imbalance_percentage, self.rules_of(image)
                )
            ):
                pass
        except ControllerError:
            return
        finally:
            self._balance_due_ms = None
        self._watch_balance()

    def _stop_balancing(self) -> None:
        self._balance_alarm.cancel()
        self._balance_due_ms = None
        if self._balancing is not None:
            self._balancing.cancel()
            self._balancing = None
