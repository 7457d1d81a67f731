"""Which replica a consumer had better read from: one in its own rack. Pure.

Among the replicas in the client's rack that hold the offset, the leader comes first, then whoever has most; with none,
the client stays with the leader. Source: KIP-392, Kafka's RackAwareReplicaSelector.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class ReplicaView(NamedTuple):
    """A live replica. Offsets of records; `caught_up_ms` is when it last had everything."""

    broker_id: int
    rack: str | None
    log_start_offset: int
    log_end_offset: int
    caught_up_ms: int


def select(client_rack: str, leader: ReplicaView, followers: Iterable[ReplicaView], offset: int) -> int:
    """The broker to read `offset` from."""
    if leader.rack == client_rack:
        return leader.broker_id
    near = [
        view
        for view in followers
        if view.rack == client_rack and view.log_start_offset <= offset <= view.log_end_offset
    ]
    if not near:
        return leader.broker_id
    return max(near, key=lambda view: (view.log_end_offset, view.caught_up_ms)).broker_id
