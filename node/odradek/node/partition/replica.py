"""One replica's part in its partition: leadership, fencing, durable offsets, high watermark and in-sync set. Pure.

The replica never touches the log: `replicas.py` and `follower.py` append, truncate and sync, then tell it. What
counts for the high watermark is the *durable* end offset, not the log end offset, so that a consumer can never read
a record that a power cut would take back; a topic whose `flush.messages` is relaxed counts a record as soon as it is
appended, as Apache Kafka does. A follower's part is the offset it fetches from, which it has made durable before.

The high watermark is the smallest of these over the maximal ISR (the set in force and the one that is proposed) and
over followers that are about to join; it stands still while the set in force is smaller than `min.insync.replicas`
(KIP-966). What that minimum is, the controller may know otherwise or earlier than this node (settings differ between
nodes, images come late): whoever it counts as an eligible leader replica may be elected without a word, so the high
watermark stands still too while there are any, and after a replica was taken out until the image has told.

Invariants: high_watermark <= durable_end_offset <= log_end_offset of a leader; the high watermark never goes back but
with a truncation; leader epoch and partition epoch never go back.

Source: Kafka's Partition; KIP-101, KIP-497, KIP-903, KIP-966.
"""

from __future__ import annotations

from collections.abc import Iterable

from odradek.node.partition.isr import (
    ANY_BROKER_EPOCH,
    FollowerProgress,
    IsrAnswer,
    IsrMember,
    IsrOutcome,
    IsrProposal,
    lag_deadline_ms,
    outcome_of,
)
from odradek.node.partition.placement import PartitionPlacement
from odradek.proto.kafka.errors import ErrorCode


class Replica:
    """State of one partition on this node. Offsets are record offsets; times are monotonic ms."""

    __slots__ = (
        "_awaits_image",
        "_counted",
        "_has_eligible_others",
        "durable_end_offset",
        "epoch_start_offset",
        "followers",
        "has_enough_replicas",
        "high_watermark",
        "is_leader",
        "isr",
        "leader",
        "leader_epoch",
        "log_end_offset",
        "min_insync_replicas",
        "node_id",
        "partition_epoch",
        "proposal",
    )

    def __init__(self, node_id: int, min_insync_replicas: int = 1) -> None:
        self.node_id = node_id
        self.min_insync_replicas = min_insync_replicas
        self.is_leader = False
        self.leader = -1
        self.leader_epoch = -1
        self.partition_epoch = -1
        self.isr: tuple[int, ...] = ()
        self.log_end_offset = 0
        self.durable_end_offset = 0
        self.high_watermark = 0
        # Of a leader:
        self.epoch_start_offset = 0
        """Where the log ended when this replica became leader: whoever has less cannot be in sync."""
        self.followers: dict[int, FollowerProgress] = {}
        self.proposal: IsrProposal | None = None
        self.has_enough_replicas = True
        """Whether the ISR in force is as large as `min.insync.replicas` asks, of the replicas there are, here and for
        the controller."""
        self._counted: list[FollowerProgress] = []  # those the high watermark waits for
        self._has_eligible_others = False  # the controller may elect replicas that are not in sync
        self._awaits_image = False  # a smaller ISR is recorded: the image tells who became eligible

    def on_loaded(self, log_end_offset: int, durable_end_offset: int, high_watermark: int) -> None:
        """What the log holds, and the high watermark that is remembered of it."""
        self.log_end_offset = log_end_offset
        self.durable_end_offset = durable_end_offset
        self.high_watermark = min(high_watermark, log_end_offset)

    # -- leadership

    def is_outdated(self, place: PartitionPlacement) -> bool:
        """Whether `place` is older than what this replica knows: an answer of the controller may come first."""
        return place.leader_epoch < self.leader_epoch or place.partition_epoch < self.partition_epoch

    def become_leader(
        self, place: PartitionPlacement, log_end_offset: int, durable_end_offset: int, now_ms: int
    ) -> bool:
        """The image names this node leader. True when that is a new leadership, with an epoch of its own."""
        assert place.leader == self.node_id, f"{place} does not name {self.node_id} leader"
        assert not self.is_outdated(place), (
            f"epochs {self.leader_epoch}, {self.partition_epoch} back to {place}"
        )
        assert durable_end_offset <= log_end_offset, (
            f"durable {durable_end_offset} beyond end {log_end_offset}"
        )
        is_new = not self.is_leader or place.leader_epoch > self.leader_epoch
        if is_new:
            self.followers = {}
            self.proposal = None
            self.epoch_start_offset = log_end_offset
        elif place.partition_epoch > self.partition_epoch:
            self.proposal = None
        followers = {}
        for broker_id in place.replicas:
            if broker_id != self.node_id:
                known = self.followers.get(broker_id)
                if known is None:
                    known = FollowerProgress(broker_id)
                    if broker_id in place.isr:
                        known.caught_up_ms = now_ms
                followers[broker_id] = known
        self.followers = followers
        self.is_leader = True
        self.leader = self.node_id
        self.leader_epoch = place.leader_epoch
        self.log_end_offset = log_end_offset
        self.durable_end_offset = durable_end_offset
        self._has_eligible_others = bool(place.eligible_leader_replicas)
        self._awaits_image = False
        self._set_isr(place.isr, place.partition_epoch)
        self.advance()
        return is_new

    def become_follower(self, place: PartitionPlacement) -> bool:
        """The image names another leader, or none (-1). True when leader or epoch are not what they were."""
        assert place.leader != self.node_id, f"{place} names {self.node_id} leader"
        assert not self.is_outdated(place), (
            f"epochs {self.leader_epoch}, {self.partition_epoch} back to {place}"
        )
        is_new = place.leader_epoch > self.leader_epoch or place.leader != self.leader
        self.is_leader = False
        self.leader = place.leader
        self.leader_epoch = place.leader_epoch
        self.partition_epoch = place.partition_epoch
        self.isr = place.isr
        self.followers = {}
        self._counted = []
        self.proposal = None
        self.has_enough_replicas = True
        self._has_eligible_others = self._awaits_image = False
        return is_new

    def check_epoch(self, current_leader_epoch: int) -> ErrorCode:
        """Fencing of a request by the leader epoch its sender knows (KIP-320); -1 does not ask."""
        if current_leader_epoch == -1 or current_leader_epoch == self.leader_epoch:
            return ErrorCode.NONE
        if current_leader_epoch < self.leader_epoch:
            return ErrorCode.FENCED_LEADER_EPOCH
        return ErrorCode.UNKNOWN_LEADER_EPOCH

    def check_leader_epoch(self, current_leader_epoch: int) -> ErrorCode:
        """The same of a request that only the leader may answer."""
        if self.is_leader or (current_leader_epoch != -1 and current_leader_epoch != self.leader_epoch):
            return self.check_epoch(current_leader_epoch)
        return ErrorCode.NOT_LEADER_OR_FOLLOWER

    # -- the log of this node

    def on_local_append(self, log_end_offset: int, now_ms: int, *, durable: bool) -> bool:
        """Records were appended; `durable` when the topic does not wait for their sync. True: HW advanced."""
        before = self.log_end_offset
        assert log_end_offset >= before, f"end {before} back to {log_end_offset}"
        self.log_end_offset = log_end_offset
        for follower in self.followers.values():
            if follower.log_end_offset == before:
                follower.caught_up_ms = now_ms  # until now it had everything
        if durable:
            self.durable_end_offset = log_end_offset
            return self.advance()
        return False

    def on_flushed(self, flushed_offset: int) -> bool:
        """Everything below `flushed_offset` is on stable storage. True: HW advanced."""
        if flushed_offset <= self.durable_end_offset:
            return False
        assert flushed_offset <= self.log_end_offset, f"flushed {flushed_offset}, end {self.log_end_offset}"
        self.durable_end_offset = flushed_offset
        return self.is_leader and self.advance()

    def on_replicated(self, log_end_offset: int, leader_high_watermark: int, *, durable: bool) -> bool:
        """As a follower: what the leader answered is in the log. True: HW advanced."""
        assert not self.is_leader, f"a leader of epoch {self.leader_epoch} replicates"
        assert log_end_offset >= self.log_end_offset, f"end {self.log_end_offset} back to {log_end_offset}"
        self.log_end_offset = log_end_offset
        if durable:
            self.durable_end_offset = log_end_offset
        known = min(leader_high_watermark, log_end_offset)
        if known <= self.high_watermark:
            return False
        self.high_watermark = known
        return True

    def on_truncated(self, log_end_offset: int) -> bool:
        """The log was cut, or begins anew, and ends here. True when records below the high watermark are gone."""
        assert not self.is_leader, f"a leader of epoch {self.leader_epoch} truncates"
        self.log_end_offset = log_end_offset
        self.durable_end_offset = min(self.durable_end_offset, log_end_offset)
        is_loss = log_end_offset < self.high_watermark
        self.high_watermark = min(self.high_watermark, log_end_offset)
        return is_loss

    def on_started_at(self, log_start_offset: int) -> None:
        """Records below are gone, which happens only to what was below the high watermark somewhere."""
        self.log_end_offset = max(self.log_end_offset, log_start_offset)
        self.high_watermark = max(self.high_watermark, log_start_offset)

    # -- followers

    def check_follower(self, broker_id: int, broker_epoch: int, current_leader_epoch: int) -> ErrorCode:
        """Whether a fetch of a replica is one this leader knows; the leader epoch has been checked."""
        follower = self.followers.get(broker_id)
        if follower is None:
            # With an epoch: this image is behind the follower's, who shall ask again. Without: there is no telling.
            known = current_leader_epoch != -1
            return ErrorCode.UNKNOWN_LEADER_EPOCH if known else ErrorCode.NOT_LEADER_OR_FOLLOWER
        if ANY_BROKER_EPOCH < broker_epoch < follower.broker_epoch:
            return ErrorCode.NOT_LEADER_OR_FOLLOWER  # a fetch from before its restart, on its way until now
        return ErrorCode.NONE

    def on_follower_fetch(
        self, broker_id: int, fetch_offset: int, log_start_offset: int, now_ms: int, broker_epoch: int
    ) -> bool:
        """A follower has everything below `fetch_offset`, durably. True: HW advanced."""
        follower = self.followers[broker_id]
        follower.on_fetch(fetch_offset, log_start_offset, self.log_end_offset, now_ms, broker_epoch)
        return self.advance()

    def is_maximal_member(self, broker_id: int) -> bool:
        """Whether a replica is in the ISR in force or in the proposed one."""
        return broker_id in self.isr or (self.proposal is not None and broker_id in self.proposal.isr)

    def propose_join(
        self,
        broker_id: int,
        own_broker_epoch: int,
        now_ms: int,
        lag_ms_max: int,
        *,
        eligible: bool,
        is_asking: bool = True,
    ) -> IsrProposal | None:
        """Whether a follower that is not in sync may be from now on.

        `eligible`: the image has it alive, unfenced and with the broker epoch that it fetched with (KIP-841, KIP-903).
        `is_asking`: it fetches at this moment; otherwise it must have been caught up lately.
        """
        follower = self.followers.get(broker_id)
        if follower is None or not self.is_leader or self.is_maximal_member(broker_id):
            return None
        caught_up = follower.is_caught_up(self.log_end_offset, now_ms, lag_ms_max)
        joining = eligible and caught_up
        if joining != follower.is_joining:
            follower.is_joining = joining
            self._count()
        end = follower.log_end_offset
        if not eligible or self.proposal is not None or not (is_asking or caught_up):
            return None
        if end < self.high_watermark or end < self.epoch_start_offset:
            return None
        return self._propose((*self.isr, broker_id), own_broker_epoch)

    def lag_deadline_ms(self, lag_ms_max: int) -> int | None:
        """When to call `propose_shrink`; None while every follower that counts has everything."""
        return lag_deadline_ms(self._counted, self.log_end_offset, lag_ms_max)

    def propose_shrink(self, own_broker_epoch: int, now_ms: int, lag_ms_max: int) -> IsrProposal | None:
        """The ISR without those who have been behind for too long; whoever wanted to join and did not is let go."""
        late = {
            follower.broker_id
            for follower in self._counted
            if not follower.is_caught_up(self.log_end_offset, now_ms, lag_ms_max)
        }
        for broker_id in late:
            self.followers[broker_id].is_joining = False
        self._count()
        kept = tuple(broker_id for broker_id in self.isr if broker_id not in late)
        if not self.is_leader or self.proposal is not None or kept == self.isr:
            return None
        return self._propose(kept, own_broker_epoch)

    def on_proposal_answered(self, proposal: IsrProposal, answer: IsrAnswer) -> IsrOutcome:
        """What the controller said; `advance` afterwards where it was applied or refused."""
        if self.proposal is not proposal:
            return IsrOutcome.OUTDATED
        outcome = outcome_of(answer.error)
        if outcome is IsrOutcome.REFUSED:
            self.proposal = None
            self._count()
        elif outcome is IsrOutcome.APPLIED:
            if answer.leader_epoch != self.leader_epoch or answer.partition_epoch < self.partition_epoch:
                return IsrOutcome.OUTDATED
            self.proposal = None
            self._awaits_image = self._awaits_image or not set(self.isr) <= set(answer.isr)
            self._set_isr(answer.isr, answer.partition_epoch)
        return outcome

    def low_watermark(self, live: Iterable[int], log_start_offset: int) -> int:
        """The smallest log start offset of this leader and of the followers among `live`; -1 while one is unknown."""
        starts = [self.followers[one].log_start_offset for one in live if one in self.followers]
        return min([log_start_offset, *starts])

    # -- settings

    def set_min_insync_replicas(self, number: int) -> bool:
        """`min.insync.replicas` of the topic changed. True: HW advanced."""
        self.min_insync_replicas = number
        if not self.is_leader:
            return False
        self._count()
        return self.advance()

    # -- inside

    def _propose(self, isr: tuple[int, ...], own_broker_epoch: int) -> IsrProposal:
        members = []
        for broker_id in isr:
            follower = self.followers.get(broker_id)
            epoch = ANY_BROKER_EPOCH if follower is None else follower.broker_epoch
            members.append(IsrMember(broker_id, own_broker_epoch if broker_id == self.node_id else epoch))
        self.proposal = IsrProposal(self.leader_epoch, self.partition_epoch, tuple(members))
        self._count()
        return self.proposal

    def _set_isr(self, isr: tuple[int, ...], partition_epoch: int) -> None:
        self.isr = isr
        self.partition_epoch = partition_epoch
        self._count()

    def _count(self) -> None:
        """Work out whom the high watermark waits for, so that `advance` need not."""
        for broker_id, follower in self.followers.items():
            if self.is_maximal_member(broker_id):
                follower.is_joining = False
        self._counted = [
            follower
            for broker_id, follower in self.followers.items()
            if follower.is_joining or self.is_maximal_member(broker_id)
        ]
        wanted = min(self.min_insync_replicas, len(self.followers) + 1)
        self.has_enough_replicas = len(self.isr) >= wanted and not self._has_eligible_others

    def advance(self) -> bool:
        """Move the high watermark as far as it may go. True when it moved."""
        end = self.durable_end_offset
        if end <= self.high_watermark:
            return False
        for follower in self._counted:
            if follower.log_end_offset < end:
                end = follower.log_end_offset
        if end <= self.high_watermark or not self.has_enough_replicas or self._awaits_image:
            return False
        self.high_watermark = end
        return True
