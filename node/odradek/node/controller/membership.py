"""The shell around `sessions` and `brokers`: who is heard, who is fenced and when, on the active controller.

Owns the soft state, its alarm, and the tasks that probe and fence. A heartbeat that changes nothing is answered from
the image at once; everything else is an operation in the order of all others.

Three ways lead to a fence: a session lapses; a connection breaks and the broker's listener refuses a new one (a probe);
the broker was let go after a controlled shutdown and its connection ends. A controller that has just become active
probes all brokers once, because a connection that was the former controller's cannot break here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, Protocol

from odradek.node.controller import brokers
from odradek.node.controller.brokers import (
    BrokerHeartbeat,
    HeartbeatOutcome,
    Registration,
    RegistrationOutcome,
    UnregisterOutcome,
)
from odradek.node.controller.elections import RulesOf
from odradek.node.controller.image import MetadataImage
from odradek.node.controller.operations import ControllerError, Operations, not_controller
from odradek.node.controller.records import Result
from odradek.node.controller.sessions import Sessions
from odradek.node.controller.settings import ControllerSettings
from odradek.proto.kafka.errors import ErrorCode

log = logging.getLogger(__name__)


class Alarm(Protocol):
    """`odradek.node.runtime.alarm.Alarm`: calls `on_due(now_ms)`, which returns the next deadline or None."""

    def monotonic_ms(self) -> int: ...
    def announce(self, deadline_ms: int | None) -> None: ...
    def cancel(self) -> None: ...


NewAlarm = Callable[[Callable[[int], int | None]], Alarm]


class Trial(NamedTuple):
    """A registration that waits to see whether the process that has its number is alive."""

    broker_id: int
    until_ms: int
    over: asyncio.Future[None]


class Probe(Protocol):
    """Asks a broker's listener whether anybody is there."""

    async def is_listening(self, broker_id: int) -> bool:
        """False only if a connection was refused: the process is gone. True also where nothing can be told."""


class NoProbe:
    """Nothing can be told: silence decides."""

    async def is_listening(self, broker_id: int) -> bool:
        return True


class Cluster(Protocol):
    """What this part reads of the controller it belongs to."""

    @property
    def node_id(self) -> int: ...
    @property
    def image(self) -> MetadataImage: ...
    def rules_of(self, image: MetadataImage) -> RulesOf: ...


class Membership:
    def __init__(
        self,
        settings: ControllerSettings,
        cluster: Cluster,
        operations: Operations,
        new_alarm: NewAlarm,
        probe: Probe,
    ) -> None:
        self._settings = settings
        self._cluster = cluster
        self._operations = operations
        self._probe = probe
        self._sessions = Sessions(settings.session_timeout_ms, settings.heartbeat_interval_ms)
        self._alarm = new_alarm(self._on_due)
        self._tasks: set[asyncio.Task[None]] = set()
        self._probed: set[int] = set()
        self._trials: list[Trial] = []
        self._owes_settling = False

    # -- leadership

    def begin(self) -> None:
        """This controller is active: everybody gets a fresh session, and is probed."""
        self.end()
        if self._settings.is_alone:
            return
        image = self._cluster.image
        serving = [(broker.broker_id, broker.epoch) for broker in image.live_brokers]
        self._sessions.begin(serving, self._alarm.monotonic_ms())
        self._alarm.announce(self._sessions.next_deadline_ms())
        for broker_id, epoch in serving:
            if broker_id != self._cluster.node_id:
                self._start_probe(broker_id, epoch)

    def end(self) -> None:
        """Not active any more: nothing of the soft state holds."""
        self._alarm.cancel()
        self._sessions.clear()
        self._owes_settling = False
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()
        self._probed.clear()
        trials, self._trials = self._trials, []
        for trial in trials:
            if not trial.over.done():
                trial.over.set_exception(not_controller())

    # -- what brokers ask

    async def register(self, registration: Registration) -> RegistrationOutcome:
        """Raises `ControllerError`."""
        self._operations.require_active()
        refused = brokers.registration_error(self._cluster.image, registration)
        if refused is not None:
            return refused
        wanted = registration.broker
        if not self._settings.is_alone and not await self._claim(wanted.broker_id, wanted.incarnation_id):
            return _duplicate(wanted.broker_id)

        def register(image: MetadataImage) -> Result[RegistrationOutcome]:
            self._note_unheard(image)
            return brokers.register_broker(
                image,
                registration,
                self._cluster.rules_of(image),
                heard=self._sessions.heard(),
                is_alone=self._settings.is_alone,
            )

        outcome = await self._operations.run(register)
        if outcome.error is not ErrorCode.NONE:
            return outcome
        broker = self._cluster.image.brokers.get(wanted.broker_id)
        if broker is None or broker.incarnation_id != wanted.incarnation_id:
            return _duplicate(wanted.broker_id)  # another one came right behind
        session = self._sessions.get(broker.broker_id)
        if not self._settings.is_alone and (session is None or session.epoch != broker.epoch):
            self._sessions.open(broker.broker_id, broker.epoch, self._alarm.monotonic_ms())
            self._alarm.announce(self._sessions.next_deadline_ms())
        return RegistrationOutcome(broker_epoch=broker.epoch)

    async def heartbeat(self, heartbeat: BrokerHeartbeat) -> HeartbeatOutcome:
        """Raises `ControllerError`."""
        self._operations.require_active()
        image = self._cluster.image
        broker_id = heartbeat.broker_id
        broker = image.brokers.get(broker_id)
        if broker is None or broker.epoch != heartbeat.broker_epoch or self._settings.is_alone:
            return self._judge(image, heartbeat).response
        known = self._sessions.get(broker_id)
        is_first = known is None or not known.heard
        session = self._sessions.touch(
            broker_id, broker.epoch, heartbeat.metadata_offset, self._alarm.monotonic_ms()
        )
        self._alarm.announce(self._sessions.next_deadline_ms())
        if session.trial is not None:
            self._end_trials(broker_id)
        if is_first and self._owes_settling:
            await self._settle(broker_id)
        result = self._judge(image, heartbeat)
        if not result.records and not session.is_being_fenced:
            outcome = result.response
        else:
            outcome = await self._operations.run(lambda image: self._judge(image, heartbeat))
        after = self._cluster.image.brokers.get(broker_id)
        if after is not None and after.in_controlled_shutdown and session.leaving_at is None:
            session.leaving_at = self._cluster.image.applied_index
        session.is_let_go = session.is_let_go or outcome.should_shut_down
        if outcome.error is ErrorCode.NONE and not outcome.is_fenced:
            # The answer renews a lease, which nobody may give who has been replaced meanwhile.
            await self._operations.confirm_active()
        return outcome

    async def unregister(self, broker_id: int) -> UnregisterOutcome:
        """Raises `ControllerError`."""
        outcome = await self._operations.run(
            lambda image: brokers.unregister_broker(image, broker_id, self._cluster.rules_of(image))
        )
        if outcome.error is ErrorCode.NONE:
            self._sessions.remove(broker_id)
        return outcome

    def on_broker_lost(self, broker_id: int) -> None:
        """A connection from or to the broker broke: a hint, to be looked into at once."""
        session = self._sessions.get(broker_id)
        broker = self._cluster.image.brokers.get(broker_id)
        if session is None or broker is None or session.epoch != broker.epoch:
            return
        session.is_connection_gone = True
        self._end_trials(broker_id)
        if broker.fenced:
            return
        if session.is_let_go:
            self._start(self._fence(broker_id, broker.epoch, "it has shut down"))
        else:
            self._start_probe(broker_id, broker.epoch)

    # -- parts

    def _judge(self, image: MetadataImage, heartbeat: BrokerHeartbeat) -> Result[HeartbeatOutcome]:
        may_go = True
        if heartbeat.want_shut_down:
            active = (broker.broker_id for broker in image.brokers.values() if broker.is_active)
            may_go = self._sessions.may_go(heartbeat.broker_id, active)
        return brokers.on_heartbeat(
            image,
            heartbeat,
            self._cluster.rules_of(image),
            heard=self._sessions.heard(),
            may_go=may_go,
            is_alone=self._settings.is_alone,
        )

    async def _claim(self, broker_id: int, incarnation_id: bytes) -> bool:
        """Whether a process may have a number that another one is registered with; waits for a trial to end."""
        while True:
            broker = self._cluster.image.brokers.get(broker_id)
            if broker is None or broker.incarnation_id == incarnation_id:
                return True
            now_ms = self._alarm.monotonic_ms()
            claim = self._sessions.claim(broker_id, incarnation_id, now_ms)
            if claim.retry_ms is None:
                return claim.is_granted
            over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._trials.append(Trial(broker_id, claim.retry_ms, over))
            self._alarm.announce(claim.retry_ms)
            await over

    def _end_trials(self, broker_id: int | None, now_ms: int | None = None) -> None:
        """Lets the registrations go on that wait for news of this broker, or, None, until now."""
        waiting: list[Trial] = []
        for trial in self._trials:
            is_over = trial.broker_id == broker_id or (now_ms is not None and trial.until_ms <= now_ms)
            if is_over and not trial.over.done():
                trial.over.set_result(None)
            elif not trial.over.done():
                waiting.append(trial)
        self._trials = waiting

    def _note_unheard(self, image: MetadataImage) -> None:
        """ISRs may be left larger than they should be, until everybody was heard of."""
        heard = self._sessions.heard()
        if any(broker.broker_id not in heard for broker in image.brokers.values() if broker.is_active):
            self._owes_settling = True

    async def _settle(self, broker_id: int) -> None:
        heard = self._sessions.heard()
        image = self._cluster.image
        if all(broker.broker_id in heard for broker in image.brokers.values() if broker.is_active):
            self._owes_settling = False
        await self._operations.run(
            lambda image: brokers.settle_heard(image, broker_id, self._cluster.rules_of(image))
        )

    def _on_due(self, now_ms: int) -> int | None:
        self._end_trials(None, now_ms)
        due_ms = self._sessions.next_deadline_ms()
        if due_ms is not None and now_ms - due_ms > self._settings.heartbeat_interval_ms:
            # This process did not run when the session lapsed; what was sent meanwhile has not been read yet.
            self._sessions.forgive(now_ms)
        for broker_id, epoch in self._sessions.pop_lapsed(now_ms):
            self._start(self._fence(broker_id, epoch, None))
        deadlines = [trial.until_ms for trial in self._trials]
        session_ms = self._sessions.next_deadline_ms()
        if session_ms is not None:
            deadlines.append(session_ms)
        return min(deadlines, default=None)

    def _start_probe(self, broker_id: int, epoch: int) -> None:
        if broker_id not in self._probed:
            self._probed.add(broker_id)
            self._start(self._probe_and_fence(broker_id, epoch))

    async def _probe_and_fence(self, broker_id: int, epoch: int) -> None:
        try:
            is_there = await self._probe.is_listening(broker_id)
        finally:
            self._probed.discard(broker_id)
        session = self._sessions.get(broker_id)
        if is_there or session is None or session.epoch != epoch:
            return
        if session.is_connection_gone or not session.heard:  # else it was heard of since
            await self._fence(broker_id, epoch, "its listener refuses connections")

    async def _fence(self, broker_id: int, epoch: int, certainly: str | None) -> None:
        """`certainly`: why the broker is gone; None if its session has lapsed, unless it is heard of meanwhile."""

        def fence(image: MetadataImage) -> Result[bool]:
            if certainly is None and not self._sessions.is_lapsed(broker_id, self._alarm.monotonic_ms()):
                return Result([], False)
            self._note_unheard(image)
            return brokers.fence_broker(
                image, broker_id, epoch, self._cluster.rules_of(image), self._sessions.heard() - {broker_id}
            )

        try:
            is_fenced = await self._operations.run(fence)
        except ControllerError as error:
            log.debug("broker %d was not fenced: %s", broker_id, error)
            is_fenced = False
        if is_fenced:
            log.warning("broker %d is fenced: %s", broker_id, certainly or "it was silent for a session")
        session = self._sessions.get(broker_id)
        if session is None or session.epoch != epoch:
            return
        if is_fenced or certainly is not None:
            self._sessions.remove(broker_id)
            self._end_trials(broker_id)
        else:
            self._sessions.watch(broker_id, self._alarm.monotonic_ms())
            self._alarm.announce(self._sessions.next_deadline_ms())

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("watching brokers failed", exc_info=error)


def _duplicate(broker_id: int) -> RegistrationOutcome:
    message = f"another process is registered as broker {broker_id}, and alive"
    return RegistrationOutcome(ErrorCode.DUPLICATE_BROKER_REGISTRATION, message=message)
