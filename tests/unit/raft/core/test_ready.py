"""When a `Ready` needs the disk."""

from odradek.raft.core.ready import Ready
from odradek.raft.core.types import NORMAL, Entry, HardState

NOTHING = Ready(1, None, None, 7, 1, 0, (), (), (), (), 1, (), ())


def test_only_entries_and_hard_state_are_written() -> None:
    assert not NOTHING.must_write
    assert NOTHING._replace(hard_state=HardState(1)).must_write
    assert NOTHING._replace(entries=[Entry(1, NORMAL, b"")]).must_write
    # The commit index travels with other writes and is no reason for one.
    assert not NOTHING._replace(commit=9, committed=[Entry(1, NORMAL, b"")]).must_write
