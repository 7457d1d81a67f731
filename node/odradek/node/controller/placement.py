"""Which brokers get the replicas of new partitions.

Decides: replicas spread over racks first and brokers second; leaders rotate over the live brokers, and the
followers of one leader rotate too, so that the load of a failed broker spreads. A broker that is fenced or shutting
down is chosen only when there are not enough live ones, and never as the preferred leader. Does not decide how many
replicas there should be, nor where on a broker's disks they go.

Brokers without a rack share one rack. Equal placements share one tuple.
Source: the goals of Kafka's StripedReplicaPlacer (KIP-36, KIP-631).
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from odradek.node.controller.image import BrokerImage


class PlacementError(Exception):
    """There are not enough brokers; the text is a sentence for the client."""


def place_replicas(
    brokers: Iterable[BrokerImage], count: int, replication_factor: int, random: Random
) -> list[tuple[int, ...]]:
    """Replicas of `count` partitions, the preferred leader first. Raises `PlacementError`."""
    known = sorted(brokers, key=lambda broker: broker.broker_id)
    if replication_factor > len(known):
        raise PlacementError(
            f"replication factor {replication_factor} is larger than the number of brokers, {len(known)}"
        )
    order = _stripe(known, random)
    leaders = [index for index, broker in enumerate(order) if broker.is_active]
    if not leaders:
        raise PlacementError("no broker is available to lead new partitions: all are fenced")
    if len(order) == 1:
        return [(order[0].broker_id,)] * count
    start = random.randrange(len(leaders))
    made: dict[tuple[int, int], tuple[int, ...]] = {}
    placements = []
    for number in range(start, start + count):
        turn, position = divmod(number, len(leaders))
        leader = leaders[position]
        shift = turn % (len(order) - 1)
        replicas = made.get((leader, shift))
        if replicas is None:
            replicas = made[leader, shift] = _replicas(order, leader, shift, replication_factor)
        placements.append(replicas)
    return placements


def _stripe(brokers: list[BrokerImage], random: Random) -> list[BrokerImage]:
    """All brokers in one ring in which neighbours are in different racks as far as that is possible."""
    racks: dict[str | None, list[BrokerImage]] = {}
    for broker in brokers:
        racks.setdefault(broker.rack, []).append(broker)
    piles = list(racks.values())
    random.shuffle(piles)
    for pile in piles:
        random.shuffle(pile)
    ring: list[BrokerImage] = []
    while piles:
        ring.extend(pile.pop() for pile in piles)
        piles = [pile for pile in piles if pile]
    return ring


def _replicas(ring: list[BrokerImage], leader: int, shift: int, replication_factor: int) -> tuple[int, ...]:
    """The leader and its followers, taken from the ring: unused racks first, fenced brokers last."""
    rest = [
        ring[(leader + 1 + (shift + step) % (len(ring) - 1)) % len(ring)] for step in range(len(ring) - 1)
    ]
    chosen = [ring[leader]]
    racks = {ring[leader].rack}
    for only_live in (True, False):
        for only_new_rack in (True, False):
            for broker in rest:
                if len(chosen) == replication_factor:
                    break
                if broker in chosen or (only_live and not broker.is_active):
                    continue
                if only_new_rack and broker.rack in racks:
                    continue
                chosen.append(broker)
                racks.add(broker.rack)
    return tuple(broker.broker_id for broker in chosen)
