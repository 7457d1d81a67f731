"""Pure replicas of one partition in a world that loses, delays and forgets; what was acknowledged is the model.

Logs are lists of records with the epoch they were written in, and a number of them that is durable. Everything that
travels (fetches and their answers, proposals and theirs, images) is delivered late, or not at all. Nodes crash and lose
what was not durable. The controller elects from the in-sync set alone and bumps the leader epoch each time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random

from odradek.node.partition.isr import IsrAnswer, IsrOutcome, IsrProposal
from odradek.node.partition.replica import Replica
from odradek.node.partition.truncation import truncation_offset
from odradek.proto.kafka.errors import ErrorCode
from odradek.storage.leader_epoch_cache import EpochEndOffset, LeaderEpochCache

LAG_MS = 50
NODES = (1, 2, 3)
MIN_ISR = 2


@dataclass(frozen=True)
class Place:
    leader: int = 1
    leader_epoch: int = 0
    isr: tuple[int, ...] = NODES
    replicas: tuple[int, ...] = NODES
    partition_epoch: int = 0
    eligible_leader_replicas: tuple[int, ...] = ()
    directories: tuple[bytes, ...] = ()


@dataclass
class Log:
    """(epoch, value) of every record; the first `durable` survive a crash."""

    records: list[tuple[int, int]] = field(default_factory=list)
    durable: int = 0

    @property
    def end(self) -> int:
        return len(self.records)

    @property
    def last_epoch(self) -> int:
        return self.records[-1][0] if self.records else -1

    def epochs(self) -> LeaderEpochCache:
        cache = LeaderEpochCache()
        for offset, (epoch, _) in enumerate(self.records):
            cache.assign(epoch, offset)
        return cache

    def truncate(self, end: int) -> None:
        del self.records[end:]
        self.durable = min(self.durable, end)


@dataclass
class Fetch:
    """One question of a follower, as it was when it left."""

    follower: int
    leader: int
    leader_epoch: int
    offset: int
    last_epoch: int
    broker_epoch: int


class ReplicaWorld:
    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.now_ms = 0
        self.place = Place()
        self.logs = {node: Log() for node in NODES}
        self.replicas: dict[int, Replica] = {}
        self.seen: dict[int, Place] = {}
        self.broker_epochs = dict.fromkeys(NODES, 0)
        self.fenced: set[int] = set()
        self.under_way: list[Callable[[], None]] = []
        self.at_controller: list[Callable[[], None]] = []
        self.asking: dict[int, bool] = dict.fromkeys(NODES, False)
        self.acknowledged: dict[int, int] = {}
        self.waiting: dict[int, list[tuple[int, int, int]]] = {node: [] for node in NODES}
        self.next_value = 0
        # The mix is another one for every seed: some worlds are calm, some do little but fall over.
        choice = self.random.choice
        self.unkind = choice((0, 0.1, 0.5))
        often: Callable[[], int] = lambda: choice((10, 20, 40))  # noqa: E731
        self.weights = (
            *(choice((5, 10)), often(), often(), 2 * often(), choice((1, 5, 20)), choice((5, 20))),
            *(choice((1, 8)), choice((1, 6)), choice((0, 1))),
            *(choice((0, 1)), 4, choice((0, 0.5)), choice((0, 0.3))),
        )
        for node in NODES:
            self._start(node, 0)

    # -- life

    def _start(self, node: int, high_watermark: int) -> None:
        log = self.logs[node]
        replica = self.replicas[node] = Replica(node, MIN_ISR)
        replica.on_loaded(log.end, log.durable, high_watermark)
        self.asking[node] = False
        self.waiting[node] = []
        self._apply(node, self.place)

    def crash(self, node: int) -> None:
        """A power cut and a quick restart: another broker epoch, and another leader epoch if it led."""
        log = self.logs[node]
        log.truncate(self.random.randint(log.durable, log.end))
        log.durable = log.end
        known = min(self.replicas[node].high_watermark, self.random.randint(0, log.end))
        self.broker_epochs[node] += 1
        if self.place.leader == node:
            self.elect()
        self._start(node, known)

    # -- controller

    def elect(self, leader: int | None = None) -> None:
        leader = self.random.choice(self.place.isr) if leader is None else leader
        self.place = replace(
            self.place,
            leader=leader,
            leader_epoch=self.place.leader_epoch + 1,
            partition_epoch=self.place.partition_epoch + 1,
        )
        self.check_leader(leader)

    def fence(self) -> None:
        """A session lapses: whoever is fenced leaves the in-sync set, unless it is the last of it."""
        node = self.random.choice(NODES)
        self.fenced.add(node)
        isr = tuple(one for one in self.place.isr if one != node) or self.place.isr
        if isr != self.place.isr:
            self.place = replace(self.place, isr=isr, partition_epoch=self.place.partition_epoch + 1)
            if self.place.leader == node:
                self.elect()

    def unfence(self) -> None:
        self.fenced.clear()

    def deliver_image(self) -> None:
        stale = [node for node in NODES if self.seen[node] is not self.place]
        if stale:
            self._apply(self.random.choice(stale), self.place)

    def _apply(self, node: int, place: Place) -> None:
        replica, log = self.replicas[node], self.logs[node]
        self.seen[node] = place
        if replica.is_outdated(place):
            return
        if place.leader != node:
            if replica.become_follower(place):
                self.waiting[node].clear()
                self.asking[node] = False
            return
        before = replica.high_watermark
        replica.become_leader(place, log.end, log.durable, self.now_ms)
        self._advanced(node, replica.high_watermark > before)

    # -- the leader's disk and clients

    def append(self) -> None:
        """Also by one that does not know yet that it leads no more."""
        leaders = [node for node in NODES if self.replicas[node].is_leader]
        if not leaders:
            return
        node = self.random.choice(leaders)
        replica, log = self.replicas[node], self.logs[node]
        if not replica.has_enough_replicas:
            return
        for _ in range(self.random.randint(1, 3)):
            self.next_value += 1
            log.records.append((replica.leader_epoch, self.next_value))
        self.waiting[node].append((replica.leader_epoch, log.end, log.end))
        self._advanced(node, replica.on_local_append(log.end, self.now_ms, durable=False))

    def flush(self) -> None:
        behind = [node for node in NODES if self.logs[node].durable < self.logs[node].end]
        if behind:
            node = self.random.choice(behind)
            log = self.logs[node]
            log.durable = self.random.randint(log.durable + 1, log.end)
            replica = self.replicas[node]
            self._advanced(node, replica.on_flushed(log.durable))

    def _advanced(self, node: int, advanced: bool) -> None:
        if not advanced or not self.replicas[node].is_leader:
            return
        replica, log = self.replicas[node], self.logs[node]
        still = []
        for epoch, end, _ in self.waiting[node]:
            if end > replica.high_watermark:
                still.append((epoch, end, end))
        done = [entry for entry in self.waiting[node] if entry not in still]
        self.waiting[node] = still
        for _, end, _ in done:
            holders = sum(other.durable >= end for other in self.logs.values())
            assert holders >= MIN_ISR, f"{end} is acknowledged and durable on {holders}"
            for offset in range(end):
                value = log.records[offset][1]
                known = self.acknowledged.setdefault(offset, value)
                assert known == value, f"offset {offset} is {value}, and {known} was acknowledged"

    # -- replication

    def ask(self) -> None:
        able = [node for node in NODES if self._may_ask(node)]
        if able:
            self.ask_as(self.random.choice(able))

    def _may_ask(self, node: int) -> bool:
        replica, log = self.replicas[node], self.logs[node]
        return not (replica.is_leader or replica.leader < 0 or self.asking[node] or log.durable < log.end)

    def ask_as(self, node: int) -> None:
        replica, log = self.replicas[node], self.logs[node]
        self.asking[node] = True
        fetch = Fetch(
            node, replica.leader, replica.leader_epoch, log.end, log.last_epoch, self.broker_epochs[node]
        )
        self.under_way.append(lambda: self._serve(fetch))

    def _serve(self, fetch: Fetch) -> None:
        replica, log = self.replicas[fetch.leader], self.logs[fetch.leader]
        error = replica.check_leader_epoch(fetch.leader_epoch)
        if error is ErrorCode.NONE:
            error = replica.check_follower(fetch.follower, fetch.broker_epoch, fetch.leader_epoch)
        if error is not ErrorCode.NONE:
            self.under_way.append(lambda: self._take_error(fetch))
            return
        if fetch.last_epoch >= 0:
            epoch, end = self._end_of_epoch(replica, log, fetch.last_epoch)
            if epoch < fetch.last_epoch or end < fetch.offset:
                self.under_way.append(lambda: self._take_diverging(fetch, EpochEndOffset(epoch, end)))
                return
        assert fetch.offset <= log.end, f"{fetch} is not diverging, and the log ends at {log.end}"
        self._advanced(
            fetch.leader,
            replica.on_follower_fetch(fetch.follower, fetch.offset, 0, self.now_ms, fetch.broker_epoch),
        )
        self._consider(fetch.leader, fetch.follower)
        records = log.records[fetch.offset : fetch.offset + self.random.randint(0, 4)]
        high_watermark = replica.high_watermark
        self.under_way.append(lambda: self._take(fetch, list(records), high_watermark))

    @staticmethod
    def _end_of_epoch(replica: Replica, log: Log, epoch: int) -> tuple[int, int]:
        if epoch == replica.leader_epoch:
            return epoch, log.end
        if epoch > log.last_epoch:
            return (log.last_epoch if log.records else epoch), replica.epoch_start_offset
        return log.epochs().end_offset_for(epoch, log.end)

    def _is_current(self, fetch: Fetch) -> bool:
        replica = self.replicas[fetch.follower]
        if not self.asking[fetch.follower] or self.broker_epochs[fetch.follower] != fetch.broker_epoch:
            return False
        return not replica.is_leader and replica.leader_epoch == fetch.leader_epoch

    def _take_error(self, fetch: Fetch) -> None:
        if self._is_current(fetch):
            self.asking[fetch.follower] = False

    def _take_diverging(self, fetch: Fetch, diverging: EpochEndOffset) -> None:
        if not self._is_current(fetch):
            return
        self.asking[fetch.follower] = False
        log = self.logs[fetch.follower]
        own = log.epochs().end_offset_for(diverging.epoch, log.end)
        log.truncate(truncation_offset(diverging, own, log.end))
        is_loss = self.replicas[fetch.follower].on_truncated(log.end)
        assert not is_loss, f"{fetch.follower} was cut to {log.end}, below its high watermark"

    def _take(self, fetch: Fetch, records: list[tuple[int, int]], high_watermark: int) -> None:
        if not self._is_current(fetch):
            return
        self.asking[fetch.follower] = False
        log = self.logs[fetch.follower]
        assert log.end == fetch.offset, f"{fetch} is answered when the log ends at {log.end}"
        log.records += records
        self.replicas[fetch.follower].on_replicated(log.end, high_watermark, durable=False)

    # -- in-sync sets

    def _consider(self, leader: int, follower: int) -> None:
        replica = self.replicas[leader]
        seen_fenced = follower in self.fenced  # the leader's view may be old; the controller's is not
        proposal = replica.propose_join(
            follower,
            self.broker_epochs[leader],
            self.now_ms,
            LAG_MS,
            eligible=not (seen_fenced and self.random.random() < 0.8),
        )
        if proposal is not None:
            self._send(leader, proposal)

    def look_for_lag(self) -> None:
        node = self.random.choice(NODES)
        replica = self.replicas[node]
        if not replica.is_leader:
            return
        proposal = replica.propose_shrink(self.broker_epochs[node], self.now_ms, LAG_MS)
        self._advanced(node, replica.advance())
        if proposal is not None:
            self._send(node, proposal)

    def _send(self, node: int, proposal: IsrProposal) -> None:
        incarnation = self.broker_epochs[node]
        self.at_controller.append(lambda: self._record(node, incarnation, proposal))

    def _record(self, node: int, incarnation: int, proposal: IsrProposal) -> None:
        """The controller's checks, and its answer, which may be lost: then it is asked again."""
        place = self.place
        answer = IsrAnswer(ErrorCode.NONE)
        if incarnation != self.broker_epochs[node]:
            answer = IsrAnswer(ErrorCode.STALE_BROKER_EPOCH)
        elif proposal.leader_epoch != place.leader_epoch:
            answer = IsrAnswer(ErrorCode.FENCED_LEADER_EPOCH)
        elif proposal.partition_epoch != place.partition_epoch:
            answer = IsrAnswer(ErrorCode.INVALID_UPDATE_VERSION)
        elif any(
            member.broker_id in self.fenced
            or member.broker_epoch not in (-1, self.broker_epochs[member.broker_id])
            for member in proposal.members
        ):
            answer = IsrAnswer(ErrorCode.INELIGIBLE_REPLICA)
        else:
            self.place = place = replace(place, isr=proposal.isr, partition_epoch=place.partition_epoch + 1)
            answer = IsrAnswer(ErrorCode.NONE, place.isr, place.leader_epoch, place.partition_epoch)
            if self.random.random() < self.unkind:
                self.elect(proposal.members[-1].broker_id)  # the one who has just joined, of all replicas
        if self.random.random() < 0.2:
            answer = IsrAnswer(ErrorCode.REQUEST_TIMED_OUT)
        self.at_controller.append(lambda: self._answered(node, incarnation, proposal, answer))

    def _answered(self, node: int, incarnation: int, proposal: IsrProposal, answer: IsrAnswer) -> None:
        if incarnation != self.broker_epochs[node]:
            return
        replica = self.replicas[node]
        outcome = replica.on_proposal_answered(proposal, answer)
        if outcome is IsrOutcome.RETRY:
            self._send(node, proposal)
        elif replica.is_leader:
            self._advanced(node, replica.advance())

    # -- the world

    def deliver(self) -> None:
        if self.under_way:
            self.under_way.pop(self.random.randrange(len(self.under_way)))()

    def deliver_proposal(self) -> None:
        """Or the answer to one, on its way to and from the controller."""
        if self.at_controller:
            self.at_controller.pop(self.random.randrange(len(self.at_controller)))()

    def lose(self) -> None:
        """A connection breaks: nothing that is under way arrives, and followers ask again."""
        kept = [call for call in self.under_way if self.random.random() < 0.5]
        lost = len(self.under_way) - len(kept)
        if lost and self.random.random() < 0.3:
            proposals = {node: replica.proposal for node, replica in self.replicas.items()}
            self.under_way, self.at_controller = [], []
            for node in NODES:
                self.asking[node] = False
                proposal = proposals[node]
                if proposal is not None:
                    self._send(node, proposal)  # the publisher sends again what was not answered

    def pass_time(self) -> None:
        self.now_ms += self.random.choice((1, 2, 5, 20))

    def step(self) -> None:
        action = self.random.choices(
            (
                self.append,
                self.flush,
                self.ask,
                self.deliver,
                self.deliver_proposal,
                self.deliver_image,
                self.pass_time,
                self.look_for_lag,
                self.lose,
                self.fence,
                self.unfence,
                self.elect,
                lambda: self.crash(self.random.choice(NODES)),
            ),
            self.weights,
        )[0]
        before = {node: (one, one.high_watermark) for node, one in self.replicas.items()}
        action()
        self.check(before)

    # -- what must hold

    def check_leader(self, node: int) -> None:
        log = self.logs[node]
        for offset, value in self.acknowledged.items():
            assert offset < log.end and log.records[offset][1] == value, (
                f"{value} at {offset} was acknowledged, and the new leader {node} has"
                f" {log.records[offset] if offset < log.end else 'nothing'}"
            )

    def check(self, before: dict[int, tuple[Replica, int]]) -> None:
        for node, replica in self.replicas.items():
            log = self.logs[node]
            assert replica.high_watermark <= log.end
            known, high_watermark = before[node]
            if known is replica:
                assert replica.high_watermark >= high_watermark, f"{node}: {high_watermark} went back"
            for offset in range(min(replica.high_watermark, max(self.acknowledged, default=-1) + 1)):
                if offset in self.acknowledged:
                    assert log.records[offset][1] == self.acknowledged[offset], f"{node} differs at {offset}"
        for one in NODES:
            for other in NODES:
                common = min(self.replicas[one].high_watermark, self.replicas[other].high_watermark)
                assert self.logs[one].records[:common] == self.logs[other].records[:common], (
                    f"{one} and {other} differ below {common}"
                )

    def heal(self) -> None:
        """Everybody comes back, everything is delivered: all agree, and all can be written to again."""
        self.fenced.clear()
        for _ in range(400):
            if self._has_converged():
                return
            for node in NODES:
                self._apply(node, self.place)
                log = self.logs[node]
                log.durable = log.end
                self._advanced(node, self.replicas[node].on_flushed(log.durable))
            for node in NODES:
                if self._may_ask(node):
                    self.ask_as(node)
            self.random.shuffle(self.under_way)
            for _ in range(len(self.under_way)):
                self.deliver()
            for _ in range(len(self.at_controller)):
                self.deliver_proposal()
            self.now_ms += 1
        ends = {node: (log.end, self.replicas[node].high_watermark) for node, log in self.logs.items()}
        raise AssertionError(f"the replicas do not converge: {self.place}, {ends}")

    def _has_converged(self) -> bool:
        leader = self.logs[self.place.leader]
        return (
            all(log.records == leader.records for log in self.logs.values())
            and set(self.place.isr) == set(NODES)
            and self.replicas[self.place.leader].high_watermark == leader.end
        )
