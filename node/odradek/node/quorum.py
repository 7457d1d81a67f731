"""Consensus on this node: the host of all Raft groups, how it reaches the other voters, and who should lead what.

Decides which groups there are (0 is the metadata, then one per coordinator shard), when this node's metadata is as new
as the cluster's, and that the shards' leaders are spread over the voters: shard i belongs at voter i modulo their
number, and is handed over when that one is caught up and has been there for a while, because clients notice a move.
Who votes may change while the cluster runs; the shards follow the metadata group (`interbroker.voters`). Does not
decide what the machines of the groups do.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from odradek.node.config import ConfigError, NodeConfig
from odradek.node.interbroker.voters import VoterChanges, follow
from odradek.node.ports import Batch, NodePorts, RaftTransport
from odradek.raft.core.config import RaftConfig
from odradek.raft.group import RaftGroup
from odradek.raft.host import HostSettings, RaftHost
from odradek.raft.ports import RaftError, StateMachine
from odradek.storage.disk import Disk
from odradek.storage.durations import Durations

log = logging.getLogger(__name__)

METADATA_GROUP: Final = 0
RAFT_DIRECTORY: Final = "raft"
_RETRY_S: Final = 0.02
_BALANCE_INTERVAL_S: Final = 1.0
_HEARTBEATS_PER_TIMEOUT: Final = 5
_FRESH_MS: Final = 500
_SETTLED_S: Final = 20.0
"""How long a voter that was lost must have been back to be given leadership; one that was never lost need not wait."""


class Quorum:
    """Use: `await start()`, `open`, `await current()` whenever it matters, `await stop()`."""

    def __init__(
        self,
        config: NodeConfig,
        ports: NodePorts,
        disk: Disk,
        cluster_id: Callable[[], str],
        on_failure: Callable[[BaseException], None],
        on_peer_lost: Callable[[int], None],
    ) -> None:
        self._config = config
        self._loop = asyncio.get_running_loop()
        self._on_peer_lost = on_peer_lost
        self.voter_ids = sorted(voter.node_id for voter in config.quorum_voters) or [config.node_id]
        self._transport: RaftTransport | None = None
        if not self.is_alone:
            self._transport = ports.raft_transport(
                config.node_id,
                cluster_id,
                {voter.node_id: (voter.host, voter.port) for voter in config.quorum_voters},
                self._receive,
                self._lost,
                self._found,
            )
        timeout_ms = config.quorum_fetch_timeout_ms
        raft = RaftConfig(
            election_timeout_ms=timeout_ms,
            heartbeat_interval_ms=max(1, timeout_ms // _HEARTBEATS_PER_TIMEOUT),
        )
        self._host = RaftHost(
            config.node_id,
            disk,
            os.path.join(config.metadata_log_dir, RAFT_DIRECTORY),
            transport=self._transport,
            settings=HostSettings(raft=raft, threaded=ports.is_threaded),
            random=ports.random,
            on_failure=on_failure,
        )
        self._metadata: RaftGroup | None = None
        self._shards: list[RaftGroup] = []
        self.voter_changes: VoterChanges | None = None
        """Changes who votes, once the groups are open; None where there is only one voter."""
        self._balancing: asyncio.TimerHandle | None = None
        self.balance_interval_s = _BALANCE_INTERVAL_S
        self.settled_after_s = _SETTLED_S
        self._returned_s: dict[int, float] = {}
        """When a voter that was lost was found again; infinity while it is lost."""

    @property
    def is_alone(self) -> bool:
        """This node is the only voter."""
        return self.voter_ids == [self._config.node_id]

    @property
    def metadata(self) -> RaftGroup:
        assert self._metadata is not None, "open comes first"
        return self._metadata

    @property
    def shards(self) -> Sequence[RaftGroup]:
        return self._shards

    @property
    def groups(self) -> Sequence[RaftGroup]:
        """All of them; none before `open`."""
        return [] if self._metadata is None else [self._metadata, *self._shards]

    @property
    def sync_durations(self) -> Mapping[str, Durations]:
        """How long syncs took, by what was synced."""
        return self._host.sync_durations

    # -- life

    async def start(self) -> None:
        """Raises ConfigError where it cannot listen for the other controllers, DiskError."""
        await self._host.start()
        if self._transport is None:
            return
        listener = self._config.controller_listeners[0]
        try:
            await self._transport.start(listener.host, listener.port)
        except OSError as error:
            raise ConfigError(f"cannot listen on {listener.address}: {error.strerror or error}") from None

    def open(self, metadata: StateMachine, shards: Sequence[StateMachine]) -> None:
        """Bring all groups back. Raises ConfigError for a log that lost what only it had, DiskError, ApplyError."""
        machines = [metadata, *shards]
        groups = [
            self._host.open_group(METADATA_GROUP + number, self.voter_ids, machine)
            for number, machine in enumerate(machines)
        ]
        for group in groups:
            if group.damaged and self.is_alone:
                raise ConfigError(
                    f"the Raft log in {self._config.metadata_log_dir} has lost acknowledged entries (group"
                    f" {group.group_id}): restore the directory from a copy, or start with an empty one"
                )
        self._metadata, self._shards = groups[0], groups[1:]
        if not self.is_alone:
            self.voter_changes = VoterChanges(self._metadata, frozenset(self.voter_ids))
            self._balancing = self._loop.call_later(self.balance_interval_s, self._balance)

    async def current(self) -> None:
        """Return when the metadata machine has applied everything that was committed before the call."""
        if self.is_alone:
            for group in (self.metadata, *self._shards):
                await group.wait_until_leader()
            return
        told = False
        while True:
            try:
                async with asyncio.timeout(2):
                    await self.metadata.read_index()
                return
            except (RaftError, TimeoutError) as error:
                level = logging.DEBUG if told else logging.INFO
                log.log(level, "waiting for a quorum of %s: %s", self.voter_ids, error or "no answer")
                told = True
            await asyncio.sleep(_RETRY_S)

    async def hand_over(self) -> None:
        """Have other voters lead the groups that are led here, as far as they are there: for a node that will stop."""
        transfers = [
            group.transfer_leadership(to)
            for group in (self.metadata, *self._shards)
            if group.is_leader and (to := self._successor(group)) is not None
        ]
        for outcome in await asyncio.gather(*transfers, return_exceptions=True):
            if isinstance(outcome, BaseException):
                log.info("a group is not handed over: %s", outcome)

    async def stop(self) -> None:
        """Make everything durable, end. Raises DiskError."""
        if self._balancing is not None:
            self._balancing.cancel()
        try:
            await self._host.stop()
        finally:
            if self._transport is not None:
                await self._transport.stop()

    # -- the other nodes

    def _receive(self, batch: Batch) -> None:
        self._host.receive(batch)

    def _found(self, node_id: int) -> None:
        if node_id in self._returned_s:
            self._returned_s[node_id] = self._loop.time()
        self._host.on_peer_found(node_id)

    def _lost(self, node_id: int) -> None:
        self._returned_s[node_id] = math.inf
        self._host.on_peer_lost(node_id)
        self._on_peer_lost(node_id)

    # -- who leads

    def _balance(self) -> None:
        """Why by a timer: whether a follower is caught up changes with every entry, and nobody is in a hurry."""
        self._balancing = self._loop.call_later(self.balance_interval_s, self._balance)
        for number, group in enumerate(self._shards):
            follow(self.metadata, group)
            voters = sorted(group.membership.incoming)
            preferred = voters[number % len(voters)]
            if (
                group.is_leader
                and preferred != self._config.node_id
                and self._is_settled(preferred)
                and self._is_ready(group, preferred)
            ):
                log.info("coordinator shard %d is handed to node %d", number, preferred)
                group.transfer_leadership(preferred).add_done_callback(_look_at_outcome)

    def _is_settled(self, node_id: int) -> bool:
        return self._loop.time() - self._returned_s.get(node_id, -math.inf) >= self.settled_after_s

    def _successor(self, group: RaftGroup) -> int | None:
        others = [voter for voter in sorted(group.membership.incoming) if voter != self._config.node_id]
        return next((voter for voter in others if self._is_ready(group, voter)), None)

    def _is_ready(self, group: RaftGroup, node_id: int) -> bool:
        """A follower has all that this leader has, and answered lately."""
        status = group.status()
        now_ms = self._loop.time() * 1000
        for member in status.members:
            if member.node_id == node_id:
                heard = member.last_contact_ms is not None and now_ms - member.last_contact_ms < _FRESH_MS
                return heard and member.match_index >= status.last_index
        return False


def _look_at_outcome(transfer: asyncio.Future[None]) -> None:
    """A transfer that failed is tried again at the next look."""
    if not transfer.cancelled() and (error := transfer.exception()) is not None:
        log.debug("not handed over: %s", error)
