"""Quorum arithmetic against enumeration: for every set of voters, also of even size, and for joint
configurations."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from odradek.raft.core.quorum import Configuration, VoteResult, quorum_size, quorum_value, vote_result

NODES = st.integers(0, 9)
VOTERS = st.frozensets(NODES, min_size=1, max_size=7)
VOTES = st.dictionaries(NODES, st.booleans())


def quorums(voters: frozenset[int]) -> list[frozenset[int]]:
    """All smallest sets that are more than half of the voters, by definition."""
    sizes = [size for size in range(len(voters) + 1) if 2 * size > len(voters)]
    return [frozenset(chosen) for chosen in combinations(sorted(voters), min(sizes))]


@given(VOTERS)
def test_any_two_quorums_share_a_voter(voters: frozenset[int]) -> None:
    found = quorums(voters)
    assert all(len(quorum) == quorum_size(len(voters)) for quorum in found)
    assert all(one & other for one in found for other in found)


@given(VOTERS, VOTES)
def test_vote_result(voters: frozenset[int], votes: dict[int, bool]) -> None:
    won = any(all(votes.get(voter) for voter in quorum) for quorum in quorums(voters))
    possible = any(all(votes.get(voter, True) for voter in quorum) for quorum in quorums(voters))
    expected = VoteResult.WON if won else VoteResult.PENDING if possible else VoteResult.LOST
    assert vote_result(voters, votes) == expected
    assert Configuration(voters).vote_result(votes) == expected


@given(VOTERS, st.lists(st.integers(0, 20), min_size=10, max_size=10))
def test_quorum_value(voters: frozenset[int], values: list[int]) -> None:
    expected = max(min(values[voter] for voter in quorum) for quorum in quorums(voters))
    assert quorum_value([values[voter] for voter in voters]) == expected
    assert Configuration(voters).quorum_value(values.__getitem__) == expected


@given(VOTERS, VOTERS, VOTES, st.lists(st.integers(0, 20), min_size=10, max_size=10))
def test_a_joint_configuration_needs_both_halves(
    incoming: frozenset[int], outgoing: frozenset[int], votes: dict[int, bool], values: list[int]
) -> None:
    joint = Configuration(incoming, outgoing)
    halves = [vote_result(incoming, votes), vote_result(outgoing, votes)]
    assert (joint.vote_result(votes) == VoteResult.WON) == all(half == VoteResult.WON for half in halves)
    assert (joint.vote_result(votes) == VoteResult.LOST) == any(half == VoteResult.LOST for half in halves)
    both = [one | other for one in quorums(incoming) for other in quorums(outgoing)]
    assert joint.quorum_value(values.__getitem__) == max(
        min(values[voter] for voter in quorum) for quorum in both
    )
    # Which half is which makes no difference.
    mirrored = Configuration(outgoing, incoming)
    assert mirrored.vote_result(votes) == joint.vote_result(votes)
    assert mirrored.quorum_value(values.__getitem__) == joint.quorum_value(values.__getitem__)
