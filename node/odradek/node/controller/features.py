"""The features that a cluster has agreed on, and changing their levels (UpdateFeatures).

Decides which features this release knows, in which levels, what a new cluster begins with, and which changes are
refused. A request is carried out as a whole or not at all. What is not served here (transactions, new group protocols)
has no levels yet and is not known.

Source: KIP-584, KIP-1022; Kafka 4.3 FeatureControlManager, for the outcomes; the levels are those of 4.3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

from odradek.node.controller.elections import (
    ELR_FEATURE,
    Electorate,
    RulesOf,
    TopicRules,
    change_partitions,
    next_state,
)
from odradek.node.controller.image import MetadataImage, PartitionImage
from odradek.node.controller.records import FeatureLevelRecord, Record, Result
from odradek.node.controller.replica_index import LEADERLESS, WITH_ELR, index_of
from odradek.proto.kafka.errors import ErrorCode

METADATA_VERSION: Final = "metadata.version"
KRAFT_VERSION: Final = "kraft.version"


class FeatureRange(NamedTuple):
    lowest: int
    highest: int


SUPPORTED: Final[Mapping[str, FeatureRange]] = MappingProxyType(
    {
        ELR_FEATURE: FeatureRange(0, 1),
        KRAFT_VERSION: FeatureRange(0, 1),
        METADATA_VERSION: FeatureRange(7, 30),
    }
)
"""Every feature that this release knows. Level 0 is 'switched off'."""

FOUNDING_LEVELS: Final[Mapping[str, int]] = MappingProxyType({ELR_FEATURE: 1, METADATA_VERSION: 30})
"""What a new cluster begins with."""


class UpgradeType(IntEnum):
    """What a client allows, with the numbers of the wire."""

    UPGRADE = 1
    SAFE_DOWNGRADE = 2
    UNSAFE_DOWNGRADE = 3


class FeatureUpdate(Protocol):
    """The level that one feature should have."""

    @property
    def name(self) -> str: ...
    @property
    def level(self) -> int: ...
    @property
    def upgrade_type(self) -> int: ...


@dataclass(frozen=True, slots=True)
class FeaturesOutcome:
    """For the request as a whole: all levels were changed, or none."""

    error: ErrorCode = ErrorCode.NONE
    message: str | None = None


def update_features(
    image: MetadataImage, updates: Sequence[FeatureUpdate], rules_of: RulesOf
) -> Result[FeaturesOutcome]:
    """Changes the levels of features. Without eligible leader replicas, those that there are go."""
    records: list[Record] = []
    after = dict(image.features)
    for update in updates:
        wrong = _wrong(update, after.get(update.name, 0))
        if wrong is not None:
            message = f"Invalid update version {update.level} for feature {update.name}. {wrong}"
            return Result([], FeaturesOutcome(ErrorCode.INVALID_UPDATE_VERSION, message))
        if after.get(update.name, 0) != update.level:
            after[update.name] = update.level
            records.append(FeatureLevelRecord(name=update.name, feature_level=update.level))
    if image.features.get(ELR_FEATURE, 0) and not after.get(ELR_FEATURE, 0):
        records += _without_elr(image, after, rules_of)
    return Result(records, FeaturesOutcome())


def _wrong(update: FeatureUpdate, current: int) -> str | None:
    """In the words that clients of Apache Kafka look for."""
    if update.upgrade_type not in list(UpgradeType):
        return "The controller does not support the given upgrade type."
    if update.level < 0:
        return "A feature version cannot be less than 0."
    known = SUPPORTED.get(update.name)
    if known is None:
        return "The controller does not support this feature."
    if not known.lowest <= update.level <= known.highest:
        return f"The controller only supports versions {known.lowest}-{known.highest}."
    if update.level < current and update.upgrade_type == UpgradeType.UPGRADE:
        return (
            "Can't downgrade the version of this feature without setting the upgrade type to either safe or "
            "unsafe downgrade."
        )
    if update.level > current and update.upgrade_type != UpgradeType.UPGRADE:
        return "Can't downgrade to a newer version."
    return None


def _without_elr(image: MetadataImage, features: Mapping[str, int], rules_of: RulesOf) -> list[Record]:
    electorate = Electorate(image.brokers, features)

    def clear(before: PartitionImage, rules: TopicRules) -> PartitionImage:
        if before.isr and not before.eligible_leader_replicas:
            return before
        return next_state(before, electorate, rules)

    index = index_of(image)
    touched = {**index.ids(WITH_ELR), **index.ids(LEADERLESS)}
    return change_partitions(map(image.topics_by_id.__getitem__, touched), rules_of, clear).records()
