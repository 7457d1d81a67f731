"""Dividing the partitions of topics among the members of a classic group, as Kafka's own clients do.

Every client of a group has to come to the same result by name, because any of them may be the one who divides. Pure.
Source: RangeAssignor (KIP-54, without racks) and RoundRobinAssignor of kafka-clients.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final

Subscriptions = Mapping[str, Collection[str]]
"""Topics by member."""
Assignments = dict[str, dict[str, list[int]]]
"""Partition numbers by topic, by member. Every member is in it."""
Order = Mapping[str, tuple[bool, str]]
"""What each member is sorted by; see `place_of`."""


def place_of(member_id: str, instance_id: str | None) -> tuple[bool, str]:
    """Static members come first, by their names, which stay; then the others, by the ids that they were given."""
    return (False, instance_id) if instance_id is not None else (True, member_id)


def assign_range(order: Order, subscriptions: Subscriptions, counts: Mapping[str, int]) -> Assignments:
    """Topic by topic, each member gets a run of partitions; the first ones get one more where it is not even.

    `counts`: partitions by topic; a topic without is left out.
    """
    found: Assignments = {member: {} for member in subscriptions}
    members = sorted(subscriptions, key=lambda member: order[member])
    for topic in sorted(counts):
        takers = [member for member in members if topic in subscriptions[member]]
        if not takers:
            continue
        each, more = divmod(counts[topic], len(takers))
        first = 0
        for place, member in enumerate(takers):
            size = each + (place < more)
            if size:
                found[member][topic] = list(range(first, first + size))
            first += size
    return found


def assign_round_robin(order: Order, subscriptions: Subscriptions, counts: Mapping[str, int]) -> Assignments:
    """All partitions in turn, each to the next member that wants its topic."""
    found: Assignments = {member: {} for member in subscriptions}
    members = sorted(subscriptions, key=lambda member: order[member])
    turn = 0
    for topic in sorted(counts):
        if not any(topic in subscriptions[member] for member in members):
            continue
        for partition in range(counts[topic]):
            while topic not in subscriptions[members[turn % len(members)]]:
                turn += 1
            found[members[turn % len(members)]].setdefault(topic, []).append(partition)
            turn += 1
    return found


ASSIGNORS: Final[Mapping[str, Callable[[Order, Subscriptions, Mapping[str, int]], Assignments]]] = {
    "range": assign_range,
    "roundrobin": assign_round_robin,
}
"""By the name of the protocol in JoinGroup, the preferred one first."""
