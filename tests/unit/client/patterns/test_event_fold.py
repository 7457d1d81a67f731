from __future__ import annotations

from odradek.client.patterns.event_fold import Aggregate, Commit, Event, EventFold, Versioned
from odradek.client.records import ConsumerRecord


def evolve(balance: int, event: Event) -> int:
    amount: int = event.data["amount"]
    return balance + (amount if event.type == "deposited" else -amount)


ACCOUNT = Aggregate(0, evolve)


def deposited(amount: int) -> Event:
    return Event("deposited", {"amount": amount})


def withdrawn(amount: int) -> Event:
    return Event("withdrawn", {"amount": amount})


def record(commit: Commit, offset: int, partition: int = 0) -> ConsumerRecord:
    return ConsumerRecord("t", partition, offset, 50, commit.key, commit.value, commit.headers)


def commit(expected_version: int, *events: Event, aggregate_id: str = "alice") -> Commit:
    return Commit(aggregate_id, f"c{expected_version}", expected_version, events)


def test_state_is_what_the_events_make_of_it() -> None:
    assert ACCOUNT.fold([deposited(10), withdrawn(3)]) == 7
    assert ACCOUNT.fold([deposited(1)], 5) == 6


def test_a_commit_survives_its_record() -> None:
    written = commit(3, deposited(1), Event("closed"))
    assert Commit.of(record(written, 9)) == written


def test_what_is_no_commit_is_passed_over() -> None:
    good = record(commit(0, deposited(1)), 0)
    fold = EventFold(ACCOUNT)
    for other in (
        good._replace(headers=()),
        good._replace(key=None),
        good._replace(value=None),
        good._replace(value=b"{"),
        good._replace(value=b"[1]"),
        good._replace(value=b'[{"type": "x"}]'),
        good._replace(key=b"\xff"),
    ):
        assert fold.apply(other) is None
    assert fold.lost_count == 0


def test_events_get_their_numbers_and_places() -> None:
    fold = EventFold(ACCOUNT)
    fold.apply(record(commit(0, deposited(10)), 4))
    found = fold.apply(record(commit(1, withdrawn(1), withdrawn(2)), 7))
    assert found is not None and found[1] is not None
    assert [(one.version, one.event, one.offset) for one in found[1]] == [
        (2, withdrawn(1), 7),
        (3, withdrawn(2), 7),
    ]
    assert fold.get("alice") == Versioned(7, 3, 0, 7)
    assert fold.get("bob") == Versioned(0)


def test_the_first_of_two_commits_on_one_version_counts() -> None:
    fold = EventFold(ACCOUNT)
    first, second, third = (
        commit(0, deposited(1)),
        commit(0, deposited(5), deposited(5)),
        commit(1, deposited(2)),
    )
    assert fold.apply(record(first, 0)) is not None
    assert fold.apply(record(second, 1)) == (second, None)
    assert fold.apply(record(third, 2)) is not None
    assert fold.get("alice").state == 3
    assert fold.lost_count == 1


def test_commits_of_a_version_that_is_not_there_yet_do_not_count() -> None:
    fold = EventFold(ACCOUNT)
    ahead = commit(2, deposited(1))
    assert fold.apply(record(ahead, 0)) == (ahead, None)


def test_what_a_snapshot_covers_is_passed_over() -> None:
    fold = EventFold(ACCOUNT)
    fold.restore("alice", Versioned(8, 2, 0, 5))
    assert fold.apply(record(commit(1, deposited(4)), 5)) is None
    assert fold.apply(record(commit(2, deposited(1)), 6)) is not None
    assert fold.get("alice") == Versioned(9, 3, 0, 6)


def test_what_changed_is_asked_for_once() -> None:
    fold = EventFold(ACCOUNT)
    fold.apply(record(commit(0, deposited(1)), 0))
    fold.apply(record(commit(0, deposited(2), aggregate_id="bob"), 1))
    assert {name: one.state for name, one in fold.take_changed().items()} == {"alice": 1, "bob": 2}
    assert fold.take_changed() == {}
    fold.put_back_changed(["bob"])
    assert list(fold.take_changed()) == ["bob"]
