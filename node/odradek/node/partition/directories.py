"""Whether the metadata has a replica of this node in the log directory where its log is; if not, it hears of it.

Decides what the controller is told of one replica (`directory_to_report`), and whether the replica may be followed
meanwhile. Does not decide who may lead (the controller's `elections`), nor where a new log goes (`LogDirs`), but
that it goes where the metadata has it.

A directory has another id after its disk was replaced, and after damage to the file with its id. Without a log on it,
this node has nothing of the replica: it says first that it is lost, so that nobody counts on it, and only when the
metadata says so too, where the new one will be. Nothing is written to the new log before the metadata has it. So
a log that is found in another directory than the metadata says is the one that was in sync, and is reported as it is.

Invariant: a replica whose directory the metadata has wrong is not followed anew, so it does not catch up and is not in
sync before it could lead. A replica that the metadata has not assigned to any directory may lead, and be followed.

Source: KIP-858; Kafka's AssignmentsManager, for the outcomes. That a new disk counts as LOST first is our own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from odradek.node.partition.placement import PartitionPlacement, TopicPlacement
from odradek.node.partition.replicas import Replicas

UNASSIGNED: Final = bytes(16)
LOST: Final = bytes(15) + b"\x01"


class Whereabouts(Protocol):
    def __call__(self, topic: str, partition: int) -> tuple[str, bool] | None:
        """The path of the log directory of a log that was opened or is on disk, and whether it is on disk."""


def assigned_directory(place: PartitionPlacement, node_id: int) -> bytes:
    """The id of the directory in which the metadata has the replica of a node."""
    if not place.directories:
        return UNASSIGNED
    return place.directories[place.replicas.index(node_id)]


def directory_to_report(assigned: bytes, actual: bytes, *, is_lost: bool) -> bytes | None:
    """What to tell the controller of a replica that it has in `assigned`, while it is in `actual`; None: nothing.

    `is_lost`: the assigned directory is not here any more, and the actual one does not have the log.
    """
    if assigned == actual:
        return None
    return LOST if is_lost and assigned not in (UNASSIGNED, LOST) else actual


class Directories:
    """`where` is `LogDirs.where`. `ids` and `report` are the composition's."""

    def __init__(self, replicas: Replicas, where: Whereabouts) -> None:
        self._replicas = replicas
        self._node_id = replicas.node_id
        self._where = where
        self.ids: Callable[[], Mapping[str, bytes]] = dict
        """Of the log directories that can be used, by path. Without any, every replica is where it should be."""
        self.report: Callable[[bytes, int, bytes], None] = lambda topic_id, partition, directory_id: None
        """Has the controller take note of the directory id of a replica; repeats it as long as it must."""
        replicas.wanted_path = self._wanted_path

    def may_be_followed(self, topic: TopicPlacement, index: int, place: PartitionPlacement) -> bool:
        """`place` names this node a replica. If it has it in the wrong directory, the controller is told."""
        ids = self.ids()
        assigned = assigned_directory(place, self._node_id)
        if not ids or (len(ids) == 1 and assigned in ids.values()):
            return True
        is_assigned_here = assigned in ids.values()
        found = self._find(topic.name, index, may_wait=is_assigned_here or assigned == UNASSIGNED)
        actual = None if found is None else ids.get(found[0])
        if found is None or actual is None:
            return True
        # Who leads has the log that counts, whatever is in it.
        is_lost = not is_assigned_here and not found[1] and place.leader != self._node_id
        told = directory_to_report(assigned, actual, is_lost=is_lost)
        if told is None:
            return True
        self.report(topic.topic_id, index, told)
        return assigned == UNASSIGNED

    def _find(self, topic: str, index: int, *, may_wait: bool) -> tuple[str, bool] | None:
        """Where the log is; None for one that is nowhere yet. Unless that `may_wait`, it gets a place now."""
        found = self._where(topic, index)
        if found is None and not may_wait:
            log = self._replicas.find_log(topic, index)
            return None if log is None else (log.home.path, False)
        return found

    def _wanted_path(self, place: PartitionPlacement) -> str | None:
        if self._node_id not in place.replicas:
            return None
        assigned = assigned_directory(place, self._node_id)
        return next((path for path, known in self.ids().items() if known == assigned), None)
