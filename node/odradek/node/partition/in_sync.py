"""The in-sync sets of the partitions that this node leads: what followers' fetches and silence lead to. A thin shell.

The pure replica says who may join and who has been behind for too long; this hands its proposals to the publisher and
the controller's answers back. One deadline for all partitions: one is looked at when a follower may have been behind
for `replica.lag.time.max.ms`, and while all have everything, never.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import Final, Protocol

from odradek.node.partition.isr import IsrAnswer, IsrOutcome, IsrProposal
from odradek.node.partition.partition import Partition
from odradek.node.partition.ports import Cluster
from odradek.node.partition.replicas import Replicas
from odradek.node.runtime.alarm import Alarm
from odradek.node.runtime.deadlines import Deadlines

log = logging.getLogger(__name__)

_REFUSED_AGAIN_MS: Final = 500
"""After a refusal, when to see whether it would be accepted now."""


class Proposals(Protocol):
    def propose(self, partition: Partition, proposal: IsrProposal) -> None:
        """Have the controller record it; the answer comes to `InSync.on_answer`."""


class InSync:
    """`broker_epoch` is this node's own. Times are monotonic ms."""

    def __init__(
        self,
        replicas: Replicas,
        cluster: Cluster,
        proposals: Proposals,
        broker_epoch: Callable[[], int],
        lag_ms_max: int,
        new_alarm: Callable[[Callable[[int], int | None]], Alarm],
    ) -> None:
        self._replicas = replicas
        self._cluster = cluster
        self._proposals = proposals
        self._broker_epoch = broker_epoch
        self._lag_ms_max = lag_ms_max
        self._deadlines: Deadlines[Partition] = Deadlines()
        self._alarm = new_alarm(self._on_due)
        replicas.on_behind = self.watch
        replicas.low_watermark = self._low_watermark

    def on_follower_fetch(
        self,
        partition: Partition,
        broker_id: int,
        broker_epoch: int,
        fetch_offset: int,
        log_start_offset: int,
    ) -> None:
        """A follower known to the replica has everything below `fetch_offset`."""
        replica = partition.replica
        now_ms = self._alarm.monotonic_ms()
        if replica.on_follower_fetch(broker_id, fetch_offset, log_start_offset, now_ms, broker_epoch):
            self._replicas.advance(partition)
        if not replica.is_maximal_member(broker_id):
            self._consider(partition, broker_id, now_ms)
        if len(partition.start_waiters):
            self._replicas.check_starts(partition)

    def reconsider(self, partition: Partition) -> None:
        """Something that decides who may join has changed."""
        replica = partition.replica
        if replica.is_leader and len(replica.isr) <= len(replica.followers):
            now_ms = self._alarm.monotonic_ms()
            for broker_id in replica.followers:
                self._consider(partition, broker_id, now_ms, is_asking=False)

    def on_brokers_changed(self, broker_ids: Collection[int]) -> None:
        """Brokers came, went, or were fenced or unfenced."""
        changed = set(broker_ids) - {self._replicas.node_id}
        for partition in list(self._replicas.opened().values()):
            followers = partition.replica.followers
            if followers and not changed.isdisjoint(followers):
                self.reconsider(partition)
                if len(partition.start_waiters):
                    self._replicas.check_starts(partition)

    def on_answer(self, partition: Partition, proposal: IsrProposal, answer: IsrAnswer) -> bool:
        """The controller's word on a proposal. True when it is to be asked again."""
        replica = partition.replica
        before = len(replica.isr)
        outcome = replica.on_proposal_answered(proposal, answer)
        if outcome is IsrOutcome.APPLIED:
            self._replicas.isr_expands += len(replica.isr) > before
            self._replicas.isr_shrinks += len(replica.isr) < before
            log.info("%s: in sync are %s", partition, list(answer.isr))
            self._replicas.after_isr_change(partition, advanced=replica.advance())
            self.reconsider(partition)
            self._rewatch(partition)
        elif outcome is IsrOutcome.REFUSED:
            log.info("%s: %s not accepted: %s", partition, list(proposal.isr), answer.error.name)
            if replica.advance():
                self._replicas.advance(partition)
            self._look_again(partition, self._alarm.monotonic_ms() + _REFUSED_AGAIN_MS)
        elif outcome is IsrOutcome.WAIT_FOR_IMAGE:
            log.debug("%s: %s not accepted: %s", partition, list(proposal.isr), answer.error.name)
        return outcome is IsrOutcome.RETRY

    def watch(self, partition: Partition) -> None:
        """Followers have something to fetch: look whether they did when the time is up."""
        if not partition.is_lag_watched:
            now_ms = self._alarm.monotonic_ms()
            due_ms = partition.replica.lag_deadline_ms(self._lag_ms_max)
            self._look_again(partition, now_ms + self._lag_ms_max if due_ms is None else max(due_ms, now_ms))

    def _rewatch(self, partition: Partition) -> None:
        due_ms = partition.replica.lag_deadline_ms(self._lag_ms_max)
        if due_ms is not None:
            self._look_again(partition, due_ms)

    def _look_again(self, partition: Partition, due_ms: int) -> None:
        self._deadlines.discard(partition)
        partition.is_lag_watched = True
        self._deadlines.add(partition, due_ms)
        self._alarm.announce(due_ms)

    def _consider(self, partition: Partition, broker_id: int, now_ms: int, *, is_asking: bool = True) -> None:
        replica = partition.replica
        follower = replica.followers[broker_id]
        proposal = replica.propose_join(
            broker_id,
            self._broker_epoch(),
            now_ms,
            self._lag_ms_max,
            eligible=self._is_eligible(broker_id, follower.broker_epoch),
            is_asking=is_asking,
        )
        if proposal is not None:
            self._proposals.propose(partition, proposal)
        if follower.is_joining:
            self.watch(partition)
        elif replica.advance():
            self._replicas.advance(partition)

    def _low_watermark(self, partition: Partition) -> int:
        live = []
        for broker_id in partition.replica.followers:
            broker = self._cluster.broker(broker_id)
            if broker is not None and not broker.fenced:
                live.append(broker_id)
        return partition.replica.low_watermark(live, partition.log.log_start_offset)

    def _is_eligible(self, broker_id: int, fetched_with_epoch: int) -> bool:
        broker = self._cluster.broker(broker_id)
        if broker is None or broker.fenced or broker.in_controlled_shutdown:
            return False
        return fetched_with_epoch in (-1, broker.epoch)

    def _on_due(self, now_ms: int) -> int | None:
        for partition in self._deadlines.pop_due(now_ms):
            partition.is_lag_watched = False
            replica = partition.replica
            if partition.is_closed or not replica.is_leader:
                continue
            proposal = replica.propose_shrink(self._broker_epoch(), now_ms, self._lag_ms_max)
            if replica.advance():
                self._replicas.advance(partition)
            if proposal is not None:
                log.info("%s: %s are in sync, the others lag behind", partition, list(proposal.isr))
                self._proposals.propose(partition, proposal)
            elif replica.proposal is None:
                self.reconsider(partition)
                self._rewatch(partition)
        return self._deadlines.next_deadline_ms()
