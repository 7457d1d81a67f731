"""Which partitions and offsets are meant by the arguments of verbs, which only the cluster can say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from odradek.client.cli.exits import NOT_FOUND, CommandError
from odradek.client.cli.positions import Place, offset_between

if TYPE_CHECKING:
    from odradek.client.admin import Admin
    from odradek.client.records import Position, TopicPartition


async def partitions_of(
    admin: Admin, topic: str, numbers: Iterable[int] | None = None
) -> list[TopicPartition]:
    """The partitions of a topic, or those numbers of them. Raises CommandError for one that it does not have."""
    from odradek.client.records import TopicPartition

    count = (await admin.get_topic(topic)).partition_count
    wanted = list(range(count)) if numbers is None else list(numbers)
    for number in wanted:
        if number >= count:
            raise CommandError(f"topic {topic} has no partition {number}: it has 0 to {count - 1}", NOT_FOUND)
    return [TopicPartition(topic, number) for number in wanted]


def position_of(place: Place) -> Position:
    """A place that is no distance, as the client's own kind."""
    from odradek.client.records import Position

    assert not place.needs_edges, place
    if place.kind == "offset":
        return Position.at(place.value)
    if place.kind == "timestamp":
        return Position.at_time(place.value)
    return Position.earliest() if place.kind == "start" else Position.latest()


async def positions_of(
    admin: Admin, places: Mapping[TopicPartition, Place]
) -> dict[TopicPartition, Position]:
    """Places as positions: distances from an end are looked up, all others are left to whoever reads."""
    from odradek.client.records import Position

    far = {tp: place for tp, place in places.items() if place.needs_edges}
    start = await admin.list_offsets(dict.fromkeys(far, Position.earliest())) if far else {}
    end = await admin.list_offsets(dict.fromkeys(far, Position.latest())) if far else {}
    return {
        tp: Position.at(offset_between(place, start[tp], end[tp])) if tp in far else position_of(place)
        for tp, place in places.items()
    }


async def resolve_places(admin: Admin, places: Mapping[TopicPartition, Place]) -> dict[TopicPartition, int]:
    """Places as offsets; behind the last record where none is as new as the time asked for."""
    from odradek.client.records import Position

    positions = await positions_of(admin, places)
    offsets = {tp: one.value for tp, one in positions.items() if one.kind == "offset"}
    asked = {tp: one for tp, one in positions.items() if tp not in offsets}
    offsets |= await admin.list_offsets(asked) if asked else {}
    newest = [tp for tp, offset in offsets.items() if offset < 0]
    if newest:
        offsets |= await admin.list_offsets(dict.fromkeys(newest, Position.latest()))
    return offsets
