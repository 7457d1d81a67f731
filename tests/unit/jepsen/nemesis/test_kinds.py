"""Names, groups, and what is said of a name that nobody knows."""

from __future__ import annotations

import pytest

from odradek.jepsen.nemesis.kinds import GROUPS, KINDS, WEIGHTS, UnknownKindError, resolve


def test_kinds_and_groups_are_named_alike() -> None:
    assert [kind.name for kind in resolve(["pause", "kill"])] == ["kill", "pause"]
    assert [kind.name for kind in resolve(["clock", "clock-step"])] == ["clock-step", "clock-strobe"]
    assert resolve(["none"]) == ()
    assert resolve(["all"]) == tuple(KINDS.values())


def test_no_group_hides_a_kind() -> None:
    assert not set(KINDS) & set(GROUPS)


def test_an_unknown_name_is_answered_with_the_nearest_and_all() -> None:
    with pytest.raises(UnknownKindError) as caught:
        resolve(["kill", "power-al"])
    assert "perhaps power-all?" in str(caught.value)
    assert all(name in str(caught.value) for name in [*KINDS, *GROUPS])


def test_holds_are_ranges() -> None:
    assert all(0 < kind.hold[0] <= kind.hold[1] <= 20 for kind in KINDS.values())


def test_what_damages_a_disk_takes_its_node_and_strikes_one() -> None:
    for kind in KINDS.values():
        if kind.damages:
            assert kind.takes and kind.aims == ("one",), kind.name


def test_weights_are_of_families() -> None:
    assert set(WEIGHTS) <= {kind.groups[0] for kind in KINDS.values()}
