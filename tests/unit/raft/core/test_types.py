"""Words of the core that other parts rely on."""

from odradek.raft.core.quorum import Configuration
from odradek.raft.core.types import NO_NODE, HardState, SnapshotMeta

ONE = Configuration(frozenset({1}))


def test_nobody_is_not_a_node() -> None:
    """Kafka allows 0 as a node id."""
    assert NO_NODE < 0
    assert HardState() == (0, NO_NODE, 0, False)


def test_a_snapshot_is_named_by_what_it_covers() -> None:
    assert SnapshotMeta(3, 1, 10, ONE) == SnapshotMeta(index=3, term=1, size=10, configuration=ONE)
