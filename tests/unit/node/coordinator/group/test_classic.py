import pytest
from tests.scripts.group.interpreter import subscription

from odradek.node.coordinator.group.classic import TRANSITIONS, ClassicGroup, GroupState, Member
from odradek.node.coordinator.group.commands import GroupProtocol
from odradek.proto.kafka.errors import ErrorCode


def member(name: str, *protocols: str, instance: str | None = None, rebalance_ms: int = 1) -> Member:
    return Member(
        name, instance, name, "/h", rebalance_ms, 10, tuple(GroupProtocol(p, p.encode()) for p in protocols)
    )


def group_of(*members: Member, protocol_type: str = "consumer") -> ClassicGroup:
    group = ClassicGroup("g", 0)
    for one in members:
        group.add(one, protocol_type)
    return group


def test_only_the_moves_of_the_protocol_are_legal() -> None:
    for before, allowed in TRANSITIONS.items():
        for after in GroupState:
            group = ClassicGroup("g", 0)
            group.state = before
            if after in allowed:
                group.move_to(after, 5)
                assert (group.state, group.previous_state, group.state_timestamp_ms) == (after, before, 5)
            else:
                with pytest.raises(AssertionError):
                    group.move_to(after, 5)


def test_the_protocol_with_most_votes_among_those_all_support() -> None:
    group = group_of(member("a", "x", "y"), member("b", "y", "x"), member("c", "z", "y", "x"))
    assert group.candidate_protocols() == ("x", "y")
    assert group.select_protocol() == "y"


def test_a_tie_goes_to_the_leaders_preference() -> None:
    group = group_of(member("a", "x", "y"), member("b", "y", "x"))
    assert group.select_protocol() == "x"
    group.leader_id = "b"
    assert group.select_protocol() == "y"


def test_who_may_join() -> None:
    group = ClassicGroup("g", 0)
    assert group.supports_protocols("consumer", (GroupProtocol("x", b""),))
    assert not group.supports_protocols("consumer", ())
    assert not group.supports_protocols("", (GroupProtocol("x", b""),))
    group = group_of(member("a", "x", "y"), member("b", "y"))
    group.state = GroupState.STABLE
    assert group.supports_protocols("consumer", (GroupProtocol("y", b""),))
    assert not group.supports_protocols("consumer", (GroupProtocol("x", b""),))
    assert not group.supports_protocols("connect", (GroupProtocol("y", b""),))


def test_changed_protocols_change_the_support() -> None:
    a, b = member("a", "x"), member("b", "x")
    group = group_of(a, b)
    group.update(b, (GroupProtocol("y", b""),), (7, 8))
    assert group.candidate_protocols() == ()
    assert (b.rebalance_timeout_ms, b.session_timeout_ms) == (7, 8)
    group.remove("a")
    assert group.candidate_protocols() == ("y",)


def test_the_longest_rebalance_timeout_counts() -> None:
    assert (
        group_of(member("a", "x", rebalance_ms=5), member("b", "x", rebalance_ms=9)).rebalance_timeout_ms == 9
    )
    assert ClassicGroup("g", 0).rebalance_timeout_ms == 0


def test_identities() -> None:
    group = group_of(member("a", "x"), member("b", "x", instance="i"))
    assert group.check_member("a", None) is ErrorCode.NONE
    assert group.check_member("b", "i") is ErrorCode.NONE
    assert group.check_member("b", None) is ErrorCode.NONE
    assert group.check_member("a", "i") is ErrorCode.FENCED_INSTANCE_ID
    assert group.check_member("a", "j") is ErrorCode.UNKNOWN_MEMBER_ID
    assert group.check_member("c", None) is ErrorCode.UNKNOWN_MEMBER_ID


def test_when_the_leader_goes_the_oldest_member_leads() -> None:
    group = group_of(member("a", "x"), member("b", "x"), member("c", "x"))
    group.remove("b")
    assert group.leader_id == "a"
    group.remove("a")
    assert group.leader_id == "c"
    group.remove("c")
    assert group.leader_id is None


def test_a_leader_that_did_not_rejoin_is_replaced() -> None:
    group = group_of(member("a", "x", instance="i"), member("b", "x"))
    assert not group.elect_joined_leader()
    group.park_join(group.members["b"], 1)
    assert group.elect_joined_leader() and group.leader_id == "b"
    group.park_join(group.members["a"], 2)
    assert group.elect_joined_leader() and group.leader_id == "b"


def test_a_replaced_static_member_keeps_place_assignment_and_leadership() -> None:
    group = group_of(member("a", "x", instance="i"), member("b", "x"))
    group.members["a"].assignment = b"p0"
    group.replace_static("i", "a2")
    assert list(group.members) == ["a2", "b"] and group.leader_id == "a2"
    assert group.members["a2"].assignment == b"p0" and group.static_members == {"i": "a2"}


def test_an_empty_generation_forgets_its_protocol_and_keeps_its_type() -> None:
    group = group_of(member("a", "x"))
    group.move_to(GroupState.PREPARING_REBALANCE, 1)
    group.start_generation(2)
    assert (group.generation, group.protocol_name) == (1, "x")
    group.move_to(GroupState.PREPARING_REBALANCE, 3)
    group.remove("a")
    group.start_generation(4)
    assert (group.generation, group.protocol_name, group.protocol_type) == (2, None, "consumer")
    assert group.state is GroupState.EMPTY and group.state_timestamp_ms == 4


def consuming(topics: str) -> Member:
    return Member("a", None, "a", "/h", 1, 1, (GroupProtocol("range", subscription(topics)),))


def test_subscriptions_of_consumers_are_read() -> None:
    group = group_of(consuming("t+u"))
    group.protocol_name = "range"
    group.refresh_subscriptions()
    assert group.is_subscribed_to("t") and not group.is_subscribed_to("v")


def test_consumers_whose_subscription_is_unreadable_may_be_subscribed_to_anything() -> None:
    group = group_of(member("a", "range"))
    group.protocol_name = "range"
    group.refresh_subscriptions()
    assert group.subscribed_topics is None and group.is_subscribed_to("t")


def test_other_protocol_types_subscribe_to_nothing() -> None:
    group = group_of(member("a", "x"), protocol_type="connect")
    group.refresh_subscriptions()
    assert not group.is_subscribed_to("t")


def test_metadata_is_described_when_stable_only() -> None:
    group = group_of(member("a", "x"))
    group.protocol_name = "x"
    described = group.describe()
    assert (described.protocol_name, described.members[0].metadata) == ("", b"")
    group.state, group.generation = GroupState.STABLE, 4
    described = group.describe()
    assert (described.state, described.protocol_name, described.members[0].metadata) == ("Stable", "x", b"x")
    assert described.generation == 4
