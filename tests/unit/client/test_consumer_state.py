from __future__ import annotations

from typing import Any

import pytest
from tests.unit.client.promises import Told
from tests.unit.client.responses import assigned, committed, records, revoking, seeked

from odradek.client.consumer_plan import Plan
from odradek.client.consumer_state import ACKNOWLEDGE_DELAY_MS, ConsumerState
from odradek.client.errors import ClosedError, CommitFailedError, InvalidRequestError
from odradek.client.records import Position, TopicPartition
from odradek.v1 import record_service_pb2 as pb

T0, T1 = TopicPartition("t", 0), TopicPartition("t", 1)


def member(**settings: Any) -> ConsumerState:
    return ConsumerState(Plan(topics=("t",), group_id="g", **settings))


def alone(**settings: Any) -> ConsumerState:
    return ConsumerState(Plan(topics=("t",), **settings))


def take(state: ConsumerState, most: int = 1000) -> list[int]:
    found: list[int] = []
    while len(found) < most and (record := state.take()) is not None:
        found.append(record.offset)
    return found


def told(state: ConsumerState, now_ms: int = 0) -> list[str]:
    """The requests to write now, shortly."""
    return [_short(request) for request in state.take_requests(now_ms)]


def _short(request: pb.ConsumeRequest) -> str:
    kind = request.WhichOneof("action")
    credit = f"+{request.credit}" if request.credit else ""
    if kind is None:
        return credit
    action = getattr(request, kind)
    if kind == "acknowledge":
        text = " ".join(f"{one.partition}:{one.offset}" for one in action.records)
    elif kind == "commit":
        text = f"#{action.request_id} " + " ".join(f"{one.partition}:{one.offset}" for one in action.offsets)
    elif kind == "seek":
        text = f"#{action.request_id} {action.partition}:{action.position.offset}"
    else:
        text = " ".join(str(one.partition) for one in action.partitions)
    return f"{kind} {text}{credit}"


# -- acknowledging and credit


def test_credit_is_granted_in_lots() -> None:
    state = alone(credit=4)
    state.on_response(assigned((0, 0)))
    state.on_response(records(0, range(4)))
    take(state, 1)
    assert told(state) == []
    assert not state.has_lot
    take(state, 1)
    assert state.has_lot
    assert told(state) == ["+2"]
    assert told(state) == []


def test_what_is_dropped_costs_no_credit() -> None:
    state = alone(credit=4)
    state.on_response(assigned((0, 2)))
    state.on_response(records(0, range(2)))
    state.on_response(records(9, range(2)))
    assert told(state) == ["+4"]


def test_acknowledgements_are_gathered() -> None:
    state = member()
    state.on_response(assigned((0, 0), (1, 0)))
    state.on_response(records(0, range(3)))
    state.on_response(records(1, range(3)))
    for now_ms in (100, 110, 120):
        take(state, 2)
        state.acknowledge_handed(now_ms)
    assert state.next_deadline() == 100 + ACKNOWLEDGE_DELAY_MS
    assert told(state, 199) == []
    assert told(state, 200) == ["acknowledge 0:2 1:2"]
    assert state.next_deadline() is None


def test_a_record_in_the_callers_hands_is_not_acknowledged() -> None:
    state = member()
    state.on_response(assigned((0, 0)))
    state.on_response(records(0, range(3)))
    take(state, 2)
    assert state.next_deadline() is None


def test_acknowledging_does_not_go_back() -> None:
    state = member(auto_commit=False)
    state.on_response(assigned((0, 0)))
    state.on_response(records(0, range(3)))
    found = [state.take() for _ in range(3)]
    for record in reversed(found):
        assert record is not None
        state.acknowledge(record, 0)
    assert told(state, ACKNOWLEDGE_DELAY_MS) == ["acknowledge 0:2"]


def test_without_a_group_there_is_nobody_to_tell() -> None:
    state = alone()
    state.on_response(assigned((0, 0)))
    state.on_response(records(0, range(3)))
    take(state)
    state.acknowledge_handed(0)
    assert state.next_deadline() is None


def test_the_last_occasion_is_taken() -> None:
    state = member()
    state.on_response(assigned((0, 0)))
    state.on_response(records(0, range(3)))
    take(state)
    state.acknowledge_handed(0)
    assert [_short(one) for one in state.take_requests(0, is_last=True)] == ["acknowledge 0:2"]


# -- commits


def test_a_commit_is_answered() -> None:
    state, promise = member(), Told()
    state.on_response(assigned((0, 0)))
    state.commit({T0: 5}, promise)
    assert told(state) == ["commit #1 0:5"]
    state.on_response(committed(1, (0, "")))
    assert promise.done()
    assert promise.error is None


def test_a_commit_that_failed_says_where_and_why() -> None:
    state, promise = member(), Told()
    state.on_response(assigned((0, 0), (1, 0)))
    state.commit({T0: 5, T1: 6}, promise)
    state.on_response(committed(1, (0, ""), (1, "REBALANCE_IN_PROGRESS")))
    assert isinstance(promise.error, CommitFailedError)
    assert promise.error.failed == {T1: "REBALANCE_IN_PROGRESS"}
    assert promise.error.is_retriable


def test_a_commit_of_nothing_in_particular() -> None:
    state = member(auto_commit=False)
    state.on_response(assigned((0, 0), (1, 0)))
    state.on_response(records(0, range(3)))
    nothing = Told()
    state.commit(None, nothing)
    assert nothing.done()
    take(state, 2)
    state.commit(None, Told())
    assert told(state) == ["commit #1 0:2"], "what was handed out"


def test_who_acknowledges_one_by_one_commits_no_more_than_that() -> None:
    state = member(auto_commit=False)
    state.on_response(assigned((0, 0)))
    state.on_response(records(0, range(3)))
    first = state.take()
    assert first is not None
    take(state)
    state.acknowledge(first, 0)
    state.commit(None, Told())
    assert told(state) == ["commit #1 0:1"]


def test_a_commit_that_was_not_answered_is_asked_for_again() -> None:
    state, promise = member(), Told()
    state.on_response(assigned((0, 0)))
    state.commit({T0: 5}, promise)
    state.on_disconnected()
    assert told(state) == []
    state.on_response(assigned((0, 0)))
    assert told(state) == ["commit #1 0:5", "acknowledge 0:4"]
    state.on_response(committed(1, (0, "")))
    assert promise.done()


def test_a_commit_waits_for_the_first_assignment() -> None:
    state = member()
    state.commit({T0: 5}, Told())
    assert told(state) == []
    state.on_response(assigned((0, 0)))
    assert told(state) == ["commit #1 0:5"]


def test_where_latest_begins_is_committed() -> None:
    """Else, if the stream broke before the first commit, the next would begin behind what came meanwhile."""
    state = member(offset_reset="latest")
    state.on_response(assigned((0, 40), (1, -1)))
    assert told(state) == ["commit #1 0:40"]
    state.on_response(committed(1, (0, "")))
    state.on_response(assigned((0, 40), (1, -1)))
    assert told(state) == []


# -- seeking


def test_what_follows_a_seek_comes_from_there() -> None:
    state, promise = alone(), Told()
    state.on_response(assigned((0, 0)))
    state.on_response(records(0, range(3)))
    assert take(state, 1) == [0]
    state.seek(T0, Position.at(50), promise)
    assert state.take() is None
    assert told(state) == ["seek #1 0:50"]
    state.on_response(records(0, range(3, 6)))
    assert state.take() is None, "it was under way"
    state.on_response(seeked(1, 0, 50))
    assert promise.result == 50
    state.on_response(records(0, range(50, 52)))
    assert take(state) == [50, 51]


def test_a_seek_back_reads_again_and_acknowledges_again() -> None:
    state = member()
    state.on_response(assigned((0, 0)))
    state.on_response(records(0, range(3)))
    take(state)
    state.acknowledge_handed(0)
    state.seek(T0, Position.at(0), Told())
    told(state)
    state.on_response(seeked(1, 0, 0))
    state.on_response(records(0, range(3)))
    assert take(state, 2) == [0, 1]
    state.acknowledge_handed(0)
    assert told(state, ACKNOWLEDGE_DELAY_MS) == ["acknowledge 0:1"]


def test_the_newer_of_two_seeks_counts() -> None:
    state, first, second = alone(), Told(), Told()
    state.on_response(assigned((0, 0)))
    state.seek(T0, Position.at(50), first)
    state.seek(T0, Position.at(70), second)
    state.on_response(seeked(1, 0, 50))
    state.on_response(records(0, range(50, 52)))
    assert state.take() is None
    state.on_response(seeked(2, 0, 70))
    state.on_response(records(0, range(70, 71)))
    assert take(state) == [70]
    assert (first.result, second.result) == (50, 70)


def test_a_seek_survives_the_stream() -> None:
    state, promise = alone(), Told()
    state.on_response(assigned((0, 0)))
    state.seek(T0, Position.at(50), promise)
    told(state)
    state.on_disconnected()
    state.on_response(assigned((0, 0), generation=1))
    assert told(state) == ["seek #1 0:50"]
    state.on_response(records(0, range(3)))
    assert state.take() is None
    state.on_response(seeked(1, 0, 50))
    assert promise.result == 50


def test_only_what_is_assigned_can_be_sought_and_paused() -> None:
    state = alone()
    state.on_response(assigned((0, 0)))
    with pytest.raises(InvalidRequestError, match="t-1"):
        state.seek(T1, Position.at(0), Told())
    with pytest.raises(InvalidRequestError):
        state.pause([T0, T1])
    with pytest.raises(InvalidRequestError):
        state.resume([T1])


def test_a_seek_in_what_is_lost_fails() -> None:
    state, promise = member(), Told()
    state.on_response(assigned((0, 0)))
    state.seek(T0, Position.at(5), promise)
    state.on_response(assigned((1, 0), generation=2))
    assert isinstance(promise.error, InvalidRequestError)


# -- pausing


def test_a_paused_partition_hands_out_nothing_and_is_read_on_from_there() -> None:
    state = alone()
    state.on_response(assigned((0, 0), (1, 0)))
    state.on_response(records(0, range(3)))
    state.on_response(records(1, range(2)))
    assert take(state, 1) == [0]
    state.pause([T0])
    assert told(state) == ["pause 0"]
    assert take(state) == [0, 1], "of the other one"
    state.on_response(records(0, range(3, 5)))
    state.resume([T0])
    assert told(state) == ["seek #1 0:1", "resume 0"]
    state.on_response(seeked(1, 0, 1))
    state.on_response(records(0, range(1, 5)))
    assert take(state) == [1, 2, 3, 4]


def test_a_pause_in_which_nothing_came_needs_no_seek() -> None:
    state = alone()
    state.on_response(assigned((0, 0)))
    state.pause([T0])
    state.pause([T0])
    state.resume([T0])
    state.resume([T0])
    assert told(state) == ["pause 0", "resume 0"]


def test_a_pause_survives_streams_and_rebalances() -> None:
    state = member()
    state.on_response(assigned((0, 0), (1, 0)))
    state.pause([T0])
    told(state)
    state.on_response(assigned((0, 0), generation=2))
    assert told(state) == ["pause 0"]
    state.on_disconnected()
    state.on_response(assigned((0, 0), generation=2))
    assert told(state) == ["pause 0"]


# -- another stream


@pytest.mark.parametrize("offset", [0, 1, 2, 9])
def test_alone_it_reads_on_behind_the_last_record(offset: int) -> None:
    state = alone()
    state.on_response(assigned((0, 0), generation=-1))
    state.on_response(records(0, range(5)))
    assert take(state, 2) == [0, 1]
    state.on_disconnected()
    state.on_response(assigned((0, offset), generation=-1))
    if offset != 2:
        assert told(state) == ["seek #1 0:2"]
        state.on_response(records(0, range(offset, offset + 9)))
        state.on_response(seeked(1, 0, 2))
    state.on_response(records(0, range(2, 5)))
    assert take(state) == [2, 3, 4]


def test_given_partitions_are_opened_where_they_were() -> None:
    state = ConsumerState(Plan(partitions={T0: None}))
    state.on_response(assigned((0, 0), generation=-1))
    state.on_response(records(0, range(5)))
    take(state, 2)
    state.on_disconnected()
    assert state.first_request().assign.partitions[0].position.offset == 2
    state.on_response(assigned((0, 3), generation=-1))
    assert told(state) == [], "what is gone is gone"


def test_a_member_that_kept_its_place_reads_on_behind_the_last_record() -> None:
    state = member()
    state.on_response(assigned((0, 0)))
    state.on_response(records(0, range(5)))
    take(state, 3)
    state.on_disconnected()
    state.on_response(assigned((0, 1)))
    assert told(state) == ["seek #1 0:3"]


def test_a_member_that_kept_its_place_does_not_skip() -> None:
    state = member(offset_reset="latest")
    state.on_response(assigned((0, 10)))
    told(state)
    state.on_disconnected()
    state.on_response(assigned((0, 15)))
    assert "seek #2 0:10" in told(state)


def test_after_a_rebalance_what_others_committed_counts() -> None:
    state = member()
    state.on_response(assigned((0, 0)))
    state.on_response(records(0, range(5)))
    take(state, 3)
    state.on_disconnected()
    state.on_response(assigned((0, 8), generation=2))
    assert told(state) == []
    state.on_response(records(0, range(8, 9)))
    assert take(state) == [8]


def test_after_a_rebalance_nothing_is_read_twice() -> None:
    state = member()
    state.on_response(assigned((0, 0)))
    state.on_response(records(0, range(5)))
    take(state, 3)
    state.on_disconnected()
    state.on_response(assigned((0, 1), generation=2))
    assert told(state) == ["seek #1 0:3"]


def test_what_was_acknowledged_and_not_committed_is_acknowledged_again() -> None:
    state = member()
    state.on_response(assigned((0, 0), (1, 0)))
    state.on_response(records(0, range(5)))
    state.on_response(records(1, range(5)))
    take(state)
    state.acknowledge_handed(0)
    told(state, ACKNOWLEDGE_DELAY_MS)
    state.on_disconnected()
    state.on_response(assigned((0, 2), (1, 5)))
    assert told(state, ACKNOWLEDGE_DELAY_MS) == ["seek #1 0:5", "acknowledge 0:4"]


def test_a_new_stream_has_all_of_its_credit() -> None:
    state = alone(credit=4)
    state.on_response(assigned((0, 0)))
    state.on_response(records(0, range(4)))
    take(state, 3)
    state.on_disconnected()
    assert state.first_request().credit == 4
    state.on_response(assigned((0, 3)))
    assert told(state) == []


# -- rebalances


def test_what_is_lost_is_not_handed_out() -> None:
    state = member()
    state.on_response(assigned((0, 0), (1, 0)))
    state.on_response(records(0, range(2)))
    state.on_response(records(1, range(2)))
    take(state, 1)
    state.on_response(assigned((1, 0), generation=2))
    assert state.assignment == {T1}
    assert take(state) == [0, 1]
    state.acknowledge_handed(0)
    assert told(state, ACKNOWLEDGE_DELAY_MS) == ["acknowledge 1:1"]


def test_what_stays_goes_on() -> None:
    state = member()
    state.on_response(assigned((0, 0)))
    state.on_response(records(0, range(2)))
    assert take(state, 1) == [0]
    state.on_response(assigned((0, 0), generation=2))
    state.on_response(records(0, range(4)))
    assert take(state) == [1, 2, 3]


def test_a_rebalance_hears_of_acknowledgements_at_once() -> None:
    state = member()
    state.on_response(assigned((0, 0)))
    state.on_response(records(0, range(2)))
    take(state)
    state.on_response(revoking())
    state.acknowledge_handed(0)
    assert state.has_lot
    assert told(state, 0) == ["acknowledge 0:1"]


def test_callers_hear_of_a_rebalance() -> None:
    state = member()
    state.on_response(assigned((0, 0), (1, 0)))
    state.on_response(revoking())
    state.on_response(assigned((1, 0), generation=2))
    assert state.take_events() == [("assigned", (T0, T1)), ("revoked", (T0, T1)), ("assigned", (T1,))]
    assert state.take_events() == []


def test_callers_hear_of_a_loss_that_was_not_announced() -> None:
    state = member()
    state.on_response(assigned((0, 0), (1, 0)))
    state.take_events()
    state.on_disconnected()
    state.on_response(assigned((1, 0), generation=2))
    assert state.take_events() == [("revoked", (T0,)), ("assigned", (T1,))]


def test_callers_do_not_hear_of_another_stream() -> None:
    state = member()
    state.on_response(assigned((0, 0)))
    state.take_events()
    state.on_disconnected()
    state.on_response(assigned((0, 0)))
    assert state.take_events() == []


def test_nobody_waits_after_the_end() -> None:
    state, commit, seek = member(), Told(), Told()
    state.on_response(assigned((0, 0)))
    state.commit({T0: 1}, commit)
    state.seek(T0, Position.at(0), seek)
    state.fail(ClosedError("closed"))
    assert commit.error is not None
    assert seek.error is not None
