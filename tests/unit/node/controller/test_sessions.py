from __future__ import annotations

from odradek.node.controller.sessions import Claim, Sessions

OTHER = b"o" * 16


def sessions() -> Sessions:
    """Sessions of a second, heartbeats of a tenth, brokers 1 and 2 at 0."""
    made = Sessions(1_000, 100)
    made.begin([(1, 11), (2, 12)], 0)
    return made


def test_everybody_begins_with_a_whole_session() -> None:
    made = sessions()
    assert made.next_deadline_ms() == 1_000
    assert made.pop_lapsed(999) == []
    assert sorted(made.pop_lapsed(1_000)) == [(1, 11), (2, 12)]
    assert made.pop_lapsed(1_000) == []
    assert made.next_deadline_ms() is None


def test_a_heartbeat_puts_the_end_off() -> None:
    made = sessions()
    made.touch(1, 11, 0, 900)
    made.touch(2, 12, 0, 1_000)
    assert made.next_deadline_ms() == 1_900
    assert made.pop_lapsed(1_900) == [(1, 11)]
    assert made.next_deadline_ms() == 2_000


def test_a_broker_that_was_not_fenced_after_all_is_watched_again() -> None:
    made = sessions()
    made.pop_lapsed(1_200)
    made.touch(1, 11, 0, 1_250)
    assert not made.is_lapsed(1, 1_250)
    assert made.is_lapsed(2, 1_250)
    made.watch(1, 1_250)
    made.watch(2, 1_250)
    assert made.pop_lapsed(1_350) == [(2, 12)]
    assert made.pop_lapsed(2_250) == [(1, 11)]


def test_another_epoch_is_another_session() -> None:
    made = sessions()
    made.touch(1, 11, 7, 100).is_let_go = True
    assert not made.touch(1, 20, 3, 200).is_let_go
    made.open(2, 21, 300)
    session = made.get(2)
    assert session is not None
    assert (session.epoch, session.heard) == (21, True)
    assert made.pop_lapsed(1_200) == [(1, 20)]
    assert made.pop_lapsed(1_300) == [(2, 21)]
    made.remove(1)
    assert made.get(1) is None
    assert made.is_lapsed(1, 0)
    assert len(made) == 1


def test_who_is_known_to_be_alive() -> None:
    made = sessions()
    assert made.heard() == frozenset()
    made.touch(1, 11, 0, 10)
    made.touch(2, 12, 0, 10).is_connection_gone = True
    assert made.heard() == {1}
    made.touch(2, 12, 0, 20)
    assert made.heard() == {1, 2}


def test_a_number_whose_broker_is_gone_is_free_at_once() -> None:
    made = sessions()
    assert made.claim(9, OTHER, 0) == Claim(True)  # never seen
    assert made.claim(1, OTHER, 0) == Claim(True)  # not heard of by this controller
    made.touch(1, 11, 0, 10).is_connection_gone = True
    assert made.claim(1, OTHER, 20) == Claim(True)
    made.touch(1, 11, 0, 30).is_let_go = True
    assert made.claim(1, OTHER, 40) == Claim(True)
    made.touch(2, 12, 0, 50)
    assert made.claim(2, OTHER, 1_050) == Claim(True)


def test_a_broker_that_is_silent_during_a_trial_loses_its_number() -> None:
    made = sessions()
    made.touch(1, 11, 0, 90)
    assert made.claim(1, OTHER, 100) == Claim(False, 300)
    assert made.claim(1, OTHER, 299) == Claim(False, 300)
    assert made.claim(1, OTHER, 300) == Claim(True)


def test_a_broker_that_is_heard_of_during_a_trial_keeps_it() -> None:
    made = sessions()
    made.touch(1, 11, 0, 90)
    made.claim(1, OTHER, 100)
    made.touch(1, 11, 0, 190)
    assert made.claim(1, OTHER, 200) == Claim(False)
    # The next attempt is the next trial, and so is another process.
    assert made.claim(1, OTHER, 250) == Claim(False, 450)
    assert made.claim(1, b"third" + bytes(11), 300) == Claim(False, 500)


def test_a_broker_may_go_when_the_others_know() -> None:
    made = sessions()
    assert made.may_go(1, [1, 2])
    made.touch(1, 11, 40, 0).leaving_at = 50
    made.touch(2, 12, 49, 0)
    assert not made.may_go(1, [1, 2])
    made.touch(2, 12, 50, 10)
    assert made.may_go(1, [1, 2])
    assert made.may_go(1, [1, 2, 3])  # nobody has heard of 3


def test_time_in_which_nothing_could_be_heard_does_not_count() -> None:
    made = sessions()
    made.touch(1, 11, 0, 0)
    made.forgive(60_000)
    assert made.pop_lapsed(60_100) == []
    assert made.next_deadline_ms() == 60_200
    made.clear()
    assert made.next_deadline_ms() is None
