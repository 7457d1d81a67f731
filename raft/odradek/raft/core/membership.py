"""Who takes part, as the log tells it: the configuration in force, and the way from one to the next.

Decides which configuration a log implies, and what entry a change begins and ends with. Does not decide when a
change may begin (`raft`) nor who has a quorum (`quorum`). Invariants: the newest configuration entry of the log is
in force, committed or not; truncating it brings back the one before; a change of voters passes through a joint
configuration, so that no two disjoint majorities ever exist. Source: Raft thesis 4.1 and 4.3 (joint consensus),
4.2.1 (learners).
"""

import struct
from collections.abc import Iterable, Sequence
from typing import Final

from .quorum import Configuration
from .types import CONFIGURATION, Entry

_HEADER: Final = struct.Struct("<BHHH")
_VERSION: Final = 1
MEMBERS_MAX: Final = 1000
"""Of each kind: a bound for what is read from a disk or a wire."""


class Membership:
    """The configurations of one log, from its base on. `is_recorded`: `base` was found on the disk."""

    __slots__ = ("_base", "_changes", "configuration", "index", "is_recorded")

    def __init__(self, base: Configuration, is_recorded: bool) -> None:
        self._base = base
        self._changes: list[tuple[int, Configuration]] = []
        self.is_recorded = is_recorded
        self.configuration = base
        # Where the configuration in force stands in the log; 0 when it precedes the log.
        self.index = 0

    def replace_from(self, first_index: int, entries: Sequence[Entry]) -> None:
        """`entries` now stand at `first_index` and after, in the place of whatever was there."""
        while self._changes and self._changes[-1][0] >= first_index:
            self._changes.pop()
        for index, entry in enumerate(entries, first_index):
            if entry.kind == CONFIGURATION:
                self._changes.append((index, decode_configuration(entry.data)))
        self._settle()

    def compact(self, index: int) -> None:
        """The log begins after `index` now."""
        while self._changes and self._changes[0][0] <= index:
            self._base = self._changes.pop(0)[1]
            self.is_recorded = True
        self._settle()

    def reset(self, configuration: Configuration) -> None:
        """A snapshot replaced the log."""
        self._base, self.is_recorded = configuration, True
        self._changes.clear()
        self._settle()

    def at(self, index: int) -> Configuration:
        """The configuration that was in force at `index`, which is not below the log's base."""
        found = self._base
        for changed, configuration in self._changes:
            if changed > index:
                break
            found = configuration
        return found

    @property
    def needs_record(self) -> bool:
        """Neither a snapshot nor the log says who takes part: only the one who opened the group knows."""
        return not self.is_recorded and not self._changes

    def _settle(self) -> None:
        self.index, self.configuration = self._changes[-1] if self._changes else (0, self._base)


def changed(current: Configuration, voters: Iterable[int], learners: Iterable[int]) -> Configuration:
    """The configuration with which a change to `voters` and `learners` begins. Raises ValueError for a target
    that cannot be (no voter, or someone who is both)."""
    assert not current.is_joint, current
    target = Configuration(frozenset(voters), frozenset(), frozenset(learners))
    if target.incoming == current.incoming:
        # Learners do not count, so no majority changes.
        return target
    return Configuration(target.incoming, current.incoming, target.learners)


def left(joint: Configuration) -> Configuration:
    """The configuration with which a change ends."""
    assert joint.is_joint, joint
    return Configuration(joint.incoming, frozenset(), joint.learners)


def encode_configuration(configuration: Configuration) -> bytes:
    """The content of a configuration entry; equal configurations have equal bytes."""
    groups = [sorted(part) for part in _parts(configuration)]
    header = _HEADER.pack(_VERSION, *map(len, groups))
    return header + b"".join(struct.pack(f"<{len(group)}i", *group) for group in groups)


def decode_configuration(data: bytes) -> Configuration:
    """The opposite of `encode_configuration`. Raises ValueError for anything else."""
    if len(data) < _HEADER.size:
        raise ValueError(f"a configuration of {len(data)} bytes is too short")
    version, *counts = _HEADER.unpack_from(data)
    if version != _VERSION or max(counts) > MEMBERS_MAX or len(data) != _HEADER.size + 4 * sum(counts):
        raise ValueError(f"not a configuration: version {version}, counts {counts}, {len(data)} bytes")
    numbers = struct.unpack_from(f"<{sum(counts)}i", data, _HEADER.size)
    incoming, outgoing = counts[0], counts[0] + counts[1]
    return Configuration(
        frozenset(numbers[:incoming]),
        frozenset(numbers[incoming:outgoing]),
        frozenset(numbers[outgoing:]),
    )


def _parts(configuration: Configuration) -> tuple[frozenset[int], frozenset[int], frozenset[int]]:
    return configuration.incoming, configuration.outgoing, configuration.learners
