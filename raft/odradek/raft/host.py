"""All consensus groups of a node: one write-ahead log, one timer, and the way from a message to its group.
 Decides when each group gets its turn. Invariants: groups with work run once per turn of the loop, and
everything they write in that turn is one write and one sync; the timer is set for the earliest deadline of
all groups, and there is none when nothing has a deadline; after a failure of the disk the host is dead:
nothing is sent, confirmed or retried.
"""

import asyncio
import logging
import random as random_module
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush

from odradek.storage.disk import Disk, DiskError, DiskFullError, Lock
from odradek.storage.durations import Durations

from .core.config import MIB, RaftConfig
from .core.log_view import LogView
from .core.messages import Message
from .core.raft import Raft
from .core.types import HardState, Random, SnapshotMeta
from .group import GroupServices, RaftGroup
from .ports import ApplyError, NoTransport, RaftStoppedError, StateMachine, Transport
from .snapshot_store import SnapshotStore
from .syncer import InlineSyncer, Syncer, ThreadSyncer
from .wal import DEFAULT_SEGMENT_BYTES, Wal
from .wal_recovery import GroupRecord

logger = logging.getLogger(__name__)

ROOM_RETRY_MS = 250
"""How often a full disk is tried again."""


@dataclass(frozen=True, slots=True)
class HostSettings:
    """Limits of a host. `threaded=False`: syncs happen in the loop's thread, as the simulator needs it."""

    raft: RaftConfig = field(default_factory=RaftConfig)
    segment_bytes: int = DEFAULT_SEGMENT_BYTES
    segments_max: int = 8
    """Beyond this number of files, groups that hold the oldest one are made to take a snapshot."""
    snapshot_log_bytes: int = 4 * MIB
    """A snapshot is taken after this much log, or after as much as the last snapshot was long, if that is
    more."""
    trailing_log_bytes: int = 1 * MIB
    """Entries kept in memory behind a snapshot for followers that are a little behind; not in groups of one
    voter."""
    threaded: bool = True


class RaftHost:
    """Use: `await start()`, `open_group(...)` for each group, `await stop()`.

    `on_failure` is called once with a DiskError when the host died of its disk, and with an ApplyError for
    each group whose machine broke (the other groups go on).
    """

    def __init__(
        self,
        node_id: int,
        disk: Disk,
        path: str,
        *,
        transport: Transport | None = None,
        settings: HostSettings | None = None,
        random: Random | None = None,
        now_ms: Callable[[], int] | None = None,
        on_failure: Callable[[Exception], None] | None = None,
    ) -> None:
        self.node_id = node_id
        self.settings = settings or HostSettings()
        # Told whenever another configuration is in force in a group here: for whoever knows the peers' addresses.
        self.on_membership: Callable[[RaftGroup], None] | None = None
        self.failure: Exception | None = None
        self._disk = disk
        self._path = path
        self._transport = transport or NoTransport()
        self._random = random or random_module.Random()
        self._now_ms = now_ms
        self._on_failure = on_failure
        self._groups: dict[int, RaftGroup] = {}
        self._woken: dict[int, RaftGroup] = {}
        self._turn_scheduled = False
        # What this turn has to say, by peer.
        self._outbox: dict[int, list[tuple[int, Message]]] = {}
        self._is_full = False
        self._deadlines: list[tuple[int, int]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ms = 0
        self._services: GroupServices | None = None
        self.sync_durations: dict[str, Durations] = {}
        """How long syncs took, by what was synced; empty where syncs are not threads' work."""
        self._syncers: list[Syncer] = []
        self._lock: Lock | None = None

    # -- for the node

    async def start(self) -> None:
        """Recover what the disk holds. Raises DiskError, DiskLockedError, WalFormatError."""
        loop = asyncio.get_running_loop()
        if self._now_ms is None:
            self._now_ms = lambda: int(loop.time() * 1000)
        self._loop = loop
        self._disk.makedirs(self._path)
        self._disk.sync_dir(self._path.rpartition("/")[0] or ".")
        self._lock = self._disk.lock(f"{self._path}/.lock")
        wal = Wal(
            self._disk,
            f"{self._path}/wal",
            self.node_id,
            self._syncer("raft-wal"),
            self.settings.segment_bytes,
        )
        snapshots = SnapshotStore(self._disk, f"{self._path}/snapshots", self._syncer("raft-snapshots"))
        wal.open()
        snapshots.open()
        self._disk.sync_dir(self._path)
        if wal.corrupt_frames:
            logger.error("%s: %d damaged frames in the write-ahead log", self._path, wal.corrupt_frames)
        self._services = GroupServices(
            wal,
            snapshots,
            self._queue,
            self._now_ms,
            self._wake,
            self._on_broken,
            self._on_membership,
            self.settings.snapshot_log_bytes,
            self.settings.trailing_log_bytes,
        )

    def _syncer(self, name: str) -> Syncer:
        syncer: Syncer
        if self.settings.threaded:
            threaded = ThreadSyncer(name, partial(self._post, self._loop.call_soon_threadsafe), self._fail)
            self.sync_durations[name] = threaded.durations
            syncer = threaded
        else:
            syncer = InlineSyncer(partial(self._post, self._loop.call_soon), self._fail)
        self._syncers.append(syncer)
        return syncer

    def open_group(self, group_id: int, voters: Sequence[int], machine: StateMachine) -> RaftGroup:
        """Bring a group back: the machine gets the last snapshot at once, and the committed entries after it
        as soon as they are known to be committed. A group whose only voter is this node leads after one
        write.

        `voters` found the group; they mean nothing once the disk says who takes part. A node that is not among them
        waits until the leader makes it a learner or a voter.

        Raises DiskError, and ApplyError when the machine refuses its snapshot.
        """
        services = self._services
        assert services is not None, "the host is not started"
        assert group_id not in self._groups, f"group {group_id} is open already"
        record = services.wal.take_group(group_id)
        loaded = services.snapshots.load(group_id)
        snapshot, data = loaded if loaded is not None else (None, b"")
        log, hard_state = _restored(record, snapshot)
        raft = Raft(
            self.node_id,
            voters,
            self.settings.raft,
            self._random,
            log,
            hard_state,
            snapshot,
            services.now_ms(),
        )
        group = RaftGroup(group_id, raft, machine, services)
        if snapshot is not None:
            try:
                group.restore(data)
            except Exception as error:
                raise ApplyError(group_id, snapshot.index) from error
            services.wal.note_snapshot(group_id, snapshot.index)
        if log.last_index != record.last_index:
            services.wal.note_reset(group_id, log.last_index)
        if hard_state.damaged:
            logger.error("%s: group %d lost entries: it neither votes nor leads here", self._path, group_id)
            services.wal.append(group, 0, group_id, hard_state, 0, 0, (), 0)
        self._groups[group_id] = group
        self._wake(group)
        return group

    def receive(self, batch: Sequence[tuple[int, Message]]) -> None:
        """Take messages of another node, each with its group id, in order; one for a group that is not open here
        is lost."""
        self._guard(lambda: self._receive(batch))

    def _receive(self, batch: Sequence[tuple[int, Message]]) -> None:
        for group_id, message in batch:
            group = self._groups.get(group_id)
            if group is not None:
                group.receive(message)

    def on_peer_lost(self, node_id: int) -> None:
        """A hint of the transport: the connection to this node broke. Groups that it leads look for another leader
        soon; where it lives, those who still hear it keep it."""
        self._guard(lambda: self._on_peer_lost(node_id))

    def _on_peer_lost(self, node_id: int) -> None:
        for group in self._groups.values():
            group.on_peer_lost(node_id)

    def on_peer_found(self, node_id: int) -> None:
        """A hint: that node can be reached now. Groups without a leader ask for votes soon."""
        self._guard(lambda: self._on_peer_found(node_id))

    def _on_peer_found(self, node_id: int) -> None:
        for group in self._groups.values():
            group.on_peer_found(node_id)

    async def stop(self) -> None:
        """Make everything durable and end. Open proposals fail with RaftStoppedError. Raises DiskError."""
        for group in self._groups.values():
            group.stop(RaftStoppedError("the host was stopped"))
        if self._timer is not None:
            self._timer.cancel()
        services, self._services = self._services, None
        try:
            if services is not None and self.failure is None:
                services.wal.close()
        finally:
            for syncer in self._syncers:
                syncer.close()
            if self._lock is not None:
                self._lock.release()

    # -- turns

    def _wake(self, group: RaftGroup) -> None:
        self._woken[group.group_id] = group
        if not self._turn_scheduled:
            self._turn_scheduled = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Let every woken group do its work, then write what all of them want written."""
        self._turn_scheduled = False
        self._guard(self._process)

    def _process(self) -> None:
        services = self._services
        assert services is not None
        woken, self._woken = self._woken, {}
        for group in woken.values():
            group.process()
            self._schedule(group)
        try:
            services.wal.flush()
        except DiskFullError as error:
            self._send_queued()
            self._wait_for_room(error)
            return
        # Why after the flush: the sync runs in its thread while the messages are encoded.
        self._send_queued()
        if self._is_full:
            self._is_full = False
            logger.warning("%s: there is room again", self._path)
        for group_id in services.wal.groups_to_snapshot(self.settings.segments_max):
            if group_id in self._groups:
                self._groups[group_id].take_snapshot()

    def _queue(self, to: int, group_id: int, message: Message) -> None:
        self._outbox.setdefault(to, []).append((group_id, message))

    def _send_queued(self) -> None:
        outbox, self._outbox = self._outbox, {}
        for to, batch in outbox.items():
            self._transport.send(to, batch)

    def _wait_for_room(self, error: DiskFullError) -> None:
        """Nothing was written and nothing is lost: proposals wait, and beyond their limit new ones are refused."""
        if not self._is_full:
            self._is_full = True
            logger.error("%s: consensus waits for room: %s", self._path, error)
        if not self._turn_scheduled:
            self._turn_scheduled = True
            self._loop.call_later(ROOM_RETRY_MS / 1000, self._turn)

    def _post(self, call: Callable[..., object], callback: Callable[[], None]) -> None:
        try:
            call(self._guard, callback)
        except RuntimeError:
            # Why ignored: the loop was closed without `stop`; nobody is left who could be told.
            logger.debug("%s: the event loop is closed", self._path)

    def _guard(self, callback: Callable[[], None]) -> None:
        """The boundary of all work on the loop: whatever escapes ends the host, a failing disk and a broken
        invariant alike."""
        if self._services is None or self.failure is not None:
            return
        try:
            callback()
        except Exception as error:
            self._fail(error)

    # -- deadlines

    def _schedule(self, group: RaftGroup) -> None:
        """Have the group called at its deadline. A deadline that only moved back is noticed when the old one
        fires."""
        deadline = group.raft.next_deadline
        if deadline is None or (group.scheduled_ms is not None and group.scheduled_ms <= deadline):
            return
        group.scheduled_ms = deadline
        heappush(self._deadlines, (deadline, group.group_id))
        self._arm()

    def _arm(self) -> None:
        deadline = self._deadlines[0][0]
        if self._timer is not None:
            if self._timer_ms <= deadline:
                return
            self._timer.cancel()
        assert self._now_ms is not None
        self._timer_ms = deadline
        # One more, because a clock that is rounded down would wake up just before the deadline.
        self._timer = self._loop.call_later(
            max(deadline - self._now_ms(), 0) / 1000 + 0.001, self._guard, self._on_timer
        )

    def _on_timer(self) -> None:
        self._timer = None
        assert self._now_ms is not None
        now_ms = self._now_ms()
        while self._deadlines and self._deadlines[0][0] <= now_ms:
            deadline, group_id = heappop(self._deadlines)
            group = self._groups[group_id]
            if group.scheduled_ms == deadline:
                group.scheduled_ms = None
                group.on_timer()
        if self._deadlines:
            self._arm()

    # -- failures

    def _fail(self, error: Exception) -> None:
        """The disk failed, or an invariant: stop everything, once. What was not confirmed stays
        unconfirmed."""
        if self.failure is not None or self._services is None:
            return
        self.failure = error
        bug = None if isinstance(error, DiskError) else error
        logger.error("%s: consensus stops: %s", self._path, error, exc_info=bug)
        self._services.wal.halt(error)
        for group in self._groups.values():
            group.stop(error)
        if self._timer is not None:
            self._timer.cancel()
        if self._on_failure is not None:
            self._on_failure(error)

    def _on_membership(self, group: RaftGroup) -> None:
        if self.on_membership is not None:
            self.on_membership(group)

    def _on_broken(self, group: RaftGroup, error: ApplyError) -> None:
        logger.error("%s: %s", self._path, error, exc_info=error.__cause__)
        if self._on_failure is not None:
            self._on_failure(error)


def _restored(record: GroupRecord, snapshot: SnapshotMeta | None) -> tuple[LogView, HardState]:
    """The log after the snapshot, as far as it is one gapless run that agrees with it; and whether that is
    all."""
    index, term = (snapshot.index, snapshot.term) if snapshot is not None else (0, 0)
    damaged = record.is_damaged(index)
    hard_state = record.hard_state._replace(damaged=damaged)
    position = index - record.prev_index
    if not 0 <= position <= len(record.entries):
        return LogView(index, term, []), hard_state
    found = record.prev_term if position == 0 else record.entries[position - 1].term
    # A log that disagrees with a snapshot was written for a leader that lost.
    return LogView(index, term, record.entries[position:] if found == term else []), hard_state
