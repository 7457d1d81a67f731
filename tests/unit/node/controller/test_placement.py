from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random

import pytest

from odradek.node.controller.image import BrokerImage
from odradek.node.controller.placement import PlacementError, place_replicas

Make = Callable[..., BrokerImage]


def test_one_broker_gets_everything_as_one_shared_tuple(make_broker: Make, random: Random) -> None:
    placements = place_replicas([make_broker(7)], 10_000, 1, random)
    assert set(placements) == {(7,)}
    assert len({id(placement) for placement in placements}) == 1


def test_more_replicas_than_brokers_are_refused(make_broker: Make, random: Random) -> None:
    with pytest.raises(PlacementError, match="3 is larger than the number of brokers, 1"):
        place_replicas([make_broker(1)], 1, 3, random)


def test_without_a_live_broker_nobody_can_lead(make_broker: Make, random: Random) -> None:
    with pytest.raises(PlacementError, match="fenced"):
        place_replicas([make_broker(1, fenced=True)], 1, 1, random)


def test_leaders_and_followers_spread_evenly(make_broker: Make, random: Random) -> None:
    brokers = [make_broker(number) for number in range(1, 6)]
    placements = place_replicas(brokers, 100, 3, random)
    assert all(len(set(placement)) == 3 for placement in placements)
    assert set(Counter(placement[0] for placement in placements).values()) == {20}
    assert set(Counter(each for placement in placements for each in placement).values()) == {60}
    # The followers of one leader rotate: its load spreads over all the others when it fails.
    assert len({placement[1] for placement in placements if placement[0] == 1}) == 4


def test_replicas_are_in_different_racks_where_there_are_enough(make_broker: Make, random: Random) -> None:
    racks = {1: "a", 2: "a", 3: "b", 4: "b", 5: "c", 6: "c"}
    brokers = [make_broker(number, rack) for number, rack in racks.items()]
    for placement in place_replicas(brokers, 60, 3, random):
        assert {racks[each] for each in placement} == {"a", "b", "c"}


def test_a_fenced_broker_follows_only_when_it_must_and_never_leads(make_broker: Make, random: Random) -> None:
    brokers = [make_broker(1), make_broker(2), make_broker(3, fenced=True)]
    assert all(3 not in placement for placement in place_replicas(brokers, 20, 2, random))
    assert all(placement[2] == 3 for placement in place_replicas(brokers, 20, 3, random))
