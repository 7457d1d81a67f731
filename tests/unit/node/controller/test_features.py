from __future__ import annotations

from typing import NamedTuple

import pytest
from tests.unit.node.controller.image_world import ImageWorld

from odradek.node.controller.elections import ELR_FEATURE
from odradek.node.controller.features import (
    FOUNDING_LEVELS,
    METADATA_VERSION,
    SUPPORTED,
    FeaturesOutcome,
    UpgradeType,
    update_features,
)
from odradek.proto.kafka.errors import ErrorCode


class Wanted(NamedTuple):
    name: str
    level: int
    upgrade_type: int = UpgradeType.UPGRADE


def update(world: ImageWorld, *wanted: Wanted) -> FeaturesOutcome:
    return world.run(lambda image: update_features(image, wanted, world.rules_of))


def test_levels_go_up_and_down() -> None:
    world = ImageWorld()
    assert update(world, Wanted(METADATA_VERSION, 29)) == FeaturesOutcome()
    assert update(world, Wanted(METADATA_VERSION, 28, UpgradeType.SAFE_DOWNGRADE)) == FeaturesOutcome()
    assert world.image.features == {ELR_FEATURE: 1, METADATA_VERSION: 28}
    entries = len(world.entries)
    assert update(world, Wanted(METADATA_VERSION, 28)) == FeaturesOutcome()
    assert len(world.entries) == entries


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (Wanted("no.such.feature", 1), "does not support this feature"),
        (Wanted(METADATA_VERSION, 99), "only supports versions 7-30"),
        (Wanted(METADATA_VERSION, 1), "only supports versions 7-30"),
        (Wanted(ELR_FEATURE, -1), "less than 0"),
        (Wanted(ELR_FEATURE, 0), "without setting the upgrade type"),
        (Wanted(METADATA_VERSION, 20, UpgradeType.SAFE_DOWNGRADE), "Can't downgrade to a newer version"),
        (Wanted(ELR_FEATURE, 1, 0), "does not support the given upgrade type"),
    ],
)
def test_what_is_refused(wanted: Wanted, says: str) -> None:
    world = ImageWorld()
    outcome = update(world, wanted)
    assert outcome.error is ErrorCode.INVALID_UPDATE_VERSION
    assert outcome.message is not None and says in outcome.message


def test_all_or_nothing() -> None:
    world = ImageWorld()
    update(world, Wanted(METADATA_VERSION, 20), Wanted("no.such.feature", 1))
    assert METADATA_VERSION not in world.image.features


def test_without_the_feature_there_are_no_eligible_replicas_and_nobody_is_locked_out() -> None:
    world = ImageWorld()
    world.create("t", (1, 2), (1,))
    world.propose("t", (1,))
    world.fence(1)
    assert world.show("t", 1) == "nobody leads 1, isr -, elr 1, last known 1 (epoch 1)"
    update(world, Wanted(ELR_FEATURE, 0, UpgradeType.SAFE_DOWNGRADE))
    assert world.show("t", 1) == "nobody leads 1, isr 1 (epoch 1)"
    world.unfence(1)
    assert world.at("t", 1).leader == 1
    assert not world.at("t", 0).eligible_leader_replicas


def test_a_new_cluster_begins_with_what_this_release_knows() -> None:
    for name, level in FOUNDING_LEVELS.items():
        assert level in range(SUPPORTED[name].lowest, SUPPORTED[name].highest + 1)
