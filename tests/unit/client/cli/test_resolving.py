from __future__ import annotations

import asyncio

import pytest
from tests.unit.client.cli.conftest import Command

from odradek.client.admin import Admin
from odradek.client.cli.exits import NOT_FOUND, CommandError
from odradek.client.cli.positions import Place
from odradek.client.cli.resolving import partitions_of, position_of, positions_of, resolve_places
from odradek.client.records import Position, TopicPartition


def test_places_that_are_no_distance() -> None:
    assert position_of(Place("offset", 7)) == Position.at(7)
    assert position_of(Place("timestamp", 7)) == Position.at_time(7)
    assert position_of(Place("start")) == Position.earliest()
    assert position_of(Place("end")) == Position.latest()


def test_what_only_the_cluster_knows(odradek: Command, server: str) -> None:
    odradek("topic", "create", "resolve", "-p", "2")
    for key in "abc":
        odradek("produce", "resolve", "-k", key, "--tombstone", "-p", "0")
    zero, one = TopicPartition("resolve", 0), TopicPartition("resolve", 1)

    async def ask() -> None:
        async with Admin(server) as admin:
            assert await partitions_of(admin, "resolve") == [zero, one]
            assert await partitions_of(admin, "resolve", [1]) == [one]
            with pytest.raises(CommandError) as raised:
                await partitions_of(admin, "resolve", [2])
            assert raised.value.exit_code == NOT_FOUND
            places = {zero: Place("end", 2), one: Place("start")}
            assert await positions_of(admin, places) == {zero: Position.at(1), one: Position.earliest()}
            assert await resolve_places(admin, places) == {zero: 1, one: 0}
            future = Place("timestamp", 1 << 45)
            assert await resolve_places(admin, {zero: future, one: Place("offset", 5)}) == {zero: 3, one: 5}

    asyncio.run(ask())
