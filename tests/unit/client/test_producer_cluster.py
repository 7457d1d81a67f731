from __future__ import annotations

from random import Random

from odradek.client.errors import UnknownTopicError
from odradek.client.producer_cluster import MAX_AGE_MS, ClusterView
from odradek.v1 import log_service_pb2 as pb


def answer(
    leaders: dict[int, tuple[int, int]], *, nodes: tuple[int, ...] = (1, 2, 3), topic_id: bytes = b"a"
) -> pb.MetadataResponse:
    """A topic "t" with a leader and its epoch by partition."""
    response = pb.MetadataResponse()
    for node in nodes:
        response.nodes.add(node_id=node, host="h", port=node)
    topic = response.topics.add(name="t", topic_id=topic_id)
    for partition, (leader, epoch) in leaders.items():
        topic.partitions.add(partition=partition, leader_id=leader, leader_epoch=epoch)
    return response


def unknown(topic: str) -> pb.MetadataResponse:
    response = pb.MetadataResponse()
    response.topics.add(name=topic).error.reason = "UNKNOWN_TOPIC_OR_PARTITION"
    return response


def view_of(response: pb.MetadataResponse, now_ms: int = 0) -> ClusterView:
    view = ClusterView(Random(1))
    view.mark_stale("t")
    assert view.due(now_ms) == ("t",)
    view.on_metadata(response, now_ms)
    return view


def test_nothing_is_asked_before_something_is_missing() -> None:
    view = ClusterView(Random(1))
    assert view.due(0) == ()
    assert view.next_deadline() is None


def test_a_missing_topic_is_asked_for_once_at_a_time() -> None:
    view = ClusterView(Random(1))
    assert view.leader_of("t", 0) is None
    assert view.due(0) == ("t",)
    assert view.leader_of("t", 0) is None
    assert view.due(0) == ()


def test_leaders_and_addresses() -> None:
    view = view_of(answer({0: (1, 5), 1: (2, 5)}))
    assert [view.leader_of("t", partition) for partition in (0, 1)] == [1, 2]
    assert view.address_of(2) == "h:2"
    assert view.partition_count("t") == 2


def test_a_leader_that_is_not_among_the_nodes_is_none() -> None:
    view = view_of(answer({0: (1, 5)}, nodes=(2, 3)))
    assert view.leader_of("t", 0) is None
    assert view.due(10_000) == ("t",)


def test_an_older_epoch_is_no_news() -> None:
    view = view_of(answer({0: (1, 5)}))
    view.mark_stale("t")
    assert view.due(1_000) == ("t",)
    assert view.on_metadata(answer({0: (2, 4)}), 1_000).moved == []
    assert view.leader_of("t", 0) == 1


def test_a_topic_made_again_begins_with_its_first_epoch() -> None:
    view = view_of(answer({0: (1, 5)}))
    view.mark_stale("t")
    view.due(1_000)
    view.on_metadata(answer({0: (2, 0)}, topic_id=b"b"), 1_000)
    assert view.leader_of("t", 0) == 2


def test_the_same_leader_in_a_newer_epoch_has_moved() -> None:
    view = view_of(answer({0: (1, 5)}))
    view.mark_stale("t")
    view.due(1_000)
    assert view.on_metadata(answer({0: (1, 6)}), 1_000).moved == [("t", 0)]


def test_a_hint_counts_if_it_is_newer_and_the_node_is_known() -> None:
    view = view_of(answer({0: (1, 5)}))
    assert not view.on_hint("t", 0, 2, 5)
    assert not view.on_hint("t", 0, 9, 6)
    assert view.on_hint("t", 0, 2, 6)
    assert view.leader_of("t", 0) == 2


def test_a_topic_that_is_refused_is_told() -> None:
    view = ClusterView(Random(1))
    view.mark_stale("t")
    view.due(0)
    learnt = view.on_metadata(unknown("t"), 0)
    assert isinstance(learnt.refused["t"], UnknownTopicError)
    assert learnt.known == {}


def test_look_ups_that_do_not_help_come_ever_more_slowly() -> None:
    view = ClusterView(Random(1))
    now_ms = 0
    pauses = []
    for _ in range(8):
        view.mark_stale("t")
        assert view.due(now_ms) == ("t",)
        view.on_metadata(unknown("t"), now_ms)
        view.mark_stale("t")
        deadline = view.next_deadline()
        assert deadline is not None
        assert view.due(deadline - 1) == ()
        pauses.append(deadline - now_ms)
        now_ms = deadline
    assert pauses[0] < 50
    assert 300 <= pauses[-1] <= 500


def test_a_question_nobody_answered_is_asked_again() -> None:
    view = ClusterView(Random(1))
    view.mark_stale("t")
    view.due(0)
    view.on_failed(0)
    deadline = view.next_deadline()
    assert deadline is not None
    assert view.due(deadline) == ("t",)


def test_what_is_known_is_looked_up_again_in_time() -> None:
    view = view_of(answer({0: (1, 5)}))
    assert view.next_deadline() == MAX_AGE_MS
    assert view.due(MAX_AGE_MS - 1) == ()
    assert view.due(MAX_AGE_MS) == ("t",)


def test_records_without_a_key_go_where_somebody_leads() -> None:
    view = view_of(answer({0: (1, 5), 1: (-1, 5), 2: (3, 1)}))
    assert view.led_partitions("t") == [0, 2]
    assert view_of(answer({0: (-1, 5), 1: (-1, 5)})).led_partitions("t") == [0, 1]
