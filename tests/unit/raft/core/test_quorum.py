"""Even groups: half is not a quorum (the enumeration is in tests/property/test_raft_quorum.py)."""

import pytest

from odradek.raft.core.quorum import Configuration, VoteResult, quorum_size, quorum_value


@pytest.mark.parametrize(("voters", "needed"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4)])
def test_even_size_quorum_arithmetic(voters: int, needed: int) -> None:
    assert quorum_size(voters) == needed
    configuration = Configuration(frozenset(range(voters)))
    votes = dict.fromkeys(range(needed - 1), True)
    assert configuration.vote_result(votes) == VoteResult.PENDING
    assert configuration.vote_result({**votes, needed: False, needed - 1: True}) == VoteResult.WON
    assert quorum_value([9] * (needed - 1) + [1] * (voters - needed + 1)) == 1


def test_a_configuration_needs_voters() -> None:
    with pytest.raises(ValueError, match="at least one voter"):
        Configuration(frozenset())
