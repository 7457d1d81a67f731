"""The configuration in force, whatever happens to the log, and its bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odradek.raft.core.membership import (
    Membership,
    changed,
    decode_configuration,
    encode_configuration,
    left,
)
from odradek.raft.core.quorum import Configuration
from odradek.raft.core.types import CONFIGURATION, NORMAL, Entry

NODES = st.frozensets(st.integers(-5, 2**31 - 1), max_size=6)


def of(*voters: int) -> Configuration:
    return Configuration(frozenset(voters))


def entry(configuration: Configuration, term: int = 1) -> Entry:
    return Entry(term, CONFIGURATION, encode_configuration(configuration))


PLAIN = Entry(1, NORMAL, b"x")


def test_the_newest_entry_is_in_force_as_soon_as_it_is_there() -> None:
    membership = Membership(of(1), is_recorded=False)
    assert (membership.configuration, membership.index, membership.needs_record) == (of(1), 0, True)
    membership.replace_from(1, [entry(of(1)), PLAIN, entry(of(1, 2))])
    assert (membership.configuration, membership.index, membership.needs_record) == (of(1, 2), 3, False)
    assert [membership.at(index) for index in (0, 1, 2, 3, 9)] == [of(1), of(1), of(1), of(1, 2), of(1, 2)]


def test_truncation_brings_back_the_one_before() -> None:
    membership = Membership(of(1), is_recorded=False)
    membership.replace_from(1, [entry(of(1, 2)), PLAIN, entry(of(3))])
    membership.replace_from(4, [PLAIN])
    assert membership.configuration == of(3)
    membership.replace_from(3, [PLAIN])
    assert (membership.configuration, membership.index) == (of(1, 2), 1)
    membership.replace_from(1, [])
    assert (membership.configuration, membership.index, membership.needs_record) == (of(1), 0, True)


def test_compaction_keeps_what_is_in_force_at_the_base() -> None:
    membership = Membership(of(1), is_recorded=False)
    membership.replace_from(1, [PLAIN, entry(of(1, 2)), PLAIN, entry(of(1, 2, 3))])
    membership.compact(1)
    assert membership.needs_record is False and membership.at(1) == of(1)
    membership.compact(3)
    assert (membership.at(3), membership.configuration, membership.index) == (of(1, 2), of(1, 2, 3), 4)
    membership.replace_from(4, [PLAIN])
    assert (membership.configuration, membership.needs_record) == (of(1, 2), False)
    membership.reset(of(7))
    assert (membership.configuration, membership.index, membership.needs_record) == (of(7), 0, False)


def test_a_change_of_voters_goes_through_a_joint_configuration() -> None:
    joint = changed(of(1, 2, 3), [1, 2, 4], [3, 5])
    assert joint == Configuration(frozenset({1, 2, 4}), frozenset({1, 2, 3}), frozenset({3, 5}))
    assert (joint.is_joint, joint.members) == (True, frozenset({1, 2, 3, 4, 5}))
    assert left(joint) == Configuration(frozenset({1, 2, 4}), learners=frozenset({3, 5}))


def test_a_change_of_learners_alone_does_not() -> None:
    assert changed(of(1, 2), [2, 1], [9]) == Configuration(frozenset({1, 2}), learners=frozenset({9}))


def test_targets_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="at least one voter"):
        changed(of(1), [], [2])
    with pytest.raises(ValueError, match="learners at once"):
        changed(of(1), [1, 2], [2])


@given(NODES, NODES, NODES)
def test_bytes_round_trip(
    incoming: frozenset[int], outgoing: frozenset[int], learners: frozenset[int]
) -> None:
    configuration = Configuration(incoming | {1}, outgoing, learners - incoming - {1})
    assert decode_configuration(encode_configuration(configuration)) == configuration


@given(st.binary(max_size=40))
def test_other_bytes_are_refused(data: bytes) -> None:
    try:
        configuration = decode_configuration(data)
    except ValueError:
        return
    assert decode_configuration(encode_configuration(configuration)) == configuration
