"""Groups that forget, let zombies commit or skip records are caught; races that are allowed are not."""

from __future__ import annotations

from random import Random
from typing import Any

from odradek.jepsen.checkers import groups
from odradek.jepsen.checkers.anomaly import Anomaly
from odradek.jepsen.checkers.linearizability import Call, check
from odradek.jepsen.history import NEVER, Event, Operation, pair

KEY = "q/0"


class _Story:
    """A history told in the order of time; every call takes one tick unless it says when it begins and ends."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._op = 0
        self._now = 0

    def _call(
        self, who: str, f: str, asked: Any, kind: Any, told: Any, at: tuple[int, int] | None, more: Any = None
    ) -> None:
        self._op += 1
        begin, end = at or (self._now + 1, self._now + 2)
        self._now = max(self._now, end)
        self.events.append(Event(begin, who, self._op, "invoke", f, asked))
        if kind != "lost":
            self.events.append(Event(end, who, self._op, kind, f, told, None, more))

    def commit(self, who: str, offset: int, kind: str = "ok", at: tuple[int, int] | None = None) -> None:
        value = {"group": "g", "member": who, "offsets": {KEY: offset}}
        self._call(who, "commit", value, kind, value, at)

    def committed(self, offset: int | None, at: tuple[int, int] | None = None) -> None:
        self._call("r", "committed", {"group": "g"}, "ok", {"group": "g", "offsets": {KEY: offset}}, at)

    def poll(
        self, who: str, *offsets: int, at: tuple[int, int] | None = None, group: str | None = "g"
    ) -> None:
        told = [["poll", {KEY: [[offset, 100 + offset] for offset in offsets]}]]
        self._call(who, "poll", [["poll"]], "ok", told, at, {"group": group} if group else None)

    def send(self, offset: int) -> None:
        value = 100 + offset
        self._call("s", "send", [["send", KEY, value]], "ok", [["send", KEY, [offset, value]]], None)

    def rebalance(self, who: str, f: str, *keys: str, at: int | None = None, lost: bool = False) -> None:
        self._op += 1
        self._now = max(self._now + 1, at or 0)
        value = {"group": "g", "member": who, "keys": list(keys)}
        more = {"lost": True} if lost else None
        self.events.append(Event(at or self._now, who, self._op, "ok", f, value, None, more))

    def check(self) -> list[Anomaly]:
        events = sorted(self.events, key=lambda event: event.time)
        return groups.check(pair(events), events)

    def kinds(self) -> list[str]:
        return [anomaly.kind for anomaly in self.check()]


def test_readings_of_what_was_committed() -> None:
    story = _Story()
    story.committed(None)
    story.commit("a", 5)
    story.committed(5)
    story.commit("a", 9)
    story.committed(9)
    story.commit("b", 7)  # whoever rewinds may
    story.committed(7)
    assert story.kinds() == []


def test_a_reading_of_an_older_commit() -> None:
    story = _Story()
    story.commit("a", 5)
    story.commit("a", 9)
    story.committed(5)
    (found,) = story.check()
    assert found.kind == "committed-offset-regression"
    assert (found.data["found"], found.data["committed"]) == (5, 9)
    assert [event.f for event in found.evidence] == ["commit"] * 4 + ["committed"] * 2


def test_a_commit_in_flight_may_count_or_not() -> None:
    for offset in (5, 9):
        story = _Story()
        story.commit("a", 5)
        story.commit("a", 9, at=(10, 20))
        story.committed(offset, at=(15, 25))
        assert story.kinds() == []


def test_commits_that_overlapped_may_count_in_either_order() -> None:
    for offset in (5, 9):
        story = _Story()
        story.commit("a", 9, at=(1, 5))
        story.commit("b", 5, at=(2, 4))
        story.committed(offset)
        assert story.kinds() == []


def test_a_commit_without_an_answer_may_count_at_any_time() -> None:
    for kind in ("info", "lost"):
        story = _Story()
        story.commit("a", 5, kind)
        story.commit("a", 9)
        story.committed(5)
        assert story.kinds() == []


def test_no_offset_after_an_acknowledged_one() -> None:
    for nothing in (None, -1):
        story = _Story()
        story.commit("a", 5)
        story.committed(nothing)
        assert story.kinds() == ["commit-lost"]


def test_no_offset_while_the_first_commit_is_in_flight() -> None:
    story = _Story()
    story.commit("a", 5, at=(1, 10))
    story.committed(None, at=(5, 12))
    assert story.kinds() == []


def test_a_replaced_higher_offset_comes_back() -> None:
    story = _Story()
    story.commit("a", 9)
    story.commit("b", 5)
    story.committed(9)
    assert story.kinds() == ["commit-lost"]


def test_offsets_that_nobody_committed_or_that_were_refused() -> None:
    story = _Story()
    story.commit("a", 5)
    story.committed(8)
    assert story.kinds() == ["committed-offset-invented"]
    story = _Story()
    story.commit("a", 5)
    story.commit("a", 8, "fail")
    story.committed(8)
    assert story.kinds() == ["failed-commit-visible"]


def _taken_over(first: int, *, more: bool = False) -> _Story:
    story = _Story()
    story.rebalance("a", "assigned", KEY)
    story.poll("a", 0, 1, 2, 3)
    story.commit("a", 4)
    if more:
        story.commit("a", 2)
    story.rebalance("a", "revoked", KEY)
    story.rebalance("b", "assigned", KEY)
    story.poll("b", first, first + 1)
    return story


def test_a_new_owner_begins_where_the_group_was() -> None:
    assert _taken_over(4).kinds() == []
    (found,) = _taken_over(3).check()
    assert (found.kind, found.data["member"], found.data["found"]) == ("committed-offset-regression", "b", 3)


def test_a_new_owner_begins_at_a_lower_commit_that_came_later() -> None:
    assert _taken_over(2, more=True).kinds() == []
    assert _taken_over(1, more=True).kinds() == ["committed-offset-regression"]


def test_a_commit_that_was_in_flight_when_the_owner_changed() -> None:
    story = _Story()
    story.commit("a", 2)
    story.commit("a", 4)
    story.commit("a", 2, at=(10, 30))
    story.rebalance("b", "assigned", KEY, at=20)
    story.poll("b", 2, at=(31, 32))
    assert story.kinds() == []
    story = _Story()
    story.commit("a", 2, "info")
    story.commit("a", 4)
    story.rebalance("b", "assigned", KEY)
    story.poll("b", 2)
    assert story.kinds() == []


def test_a_poll_that_ran_through_the_rebalance_shows_nothing() -> None:
    story = _Story()
    story.rebalance("a", "assigned", KEY)
    story.poll("a", 0, 1, 2, 3)
    story.commit("a", 4)
    story.rebalance("a", "assigned", KEY, at=15)
    story.poll("a", 2, 3, 4, at=(10, 20))
    story.poll("a", 5)
    assert story.kinds() == []


def _zombie(*steps: tuple[str, str], kind: str = "ok") -> list[str]:
    story = _Story()
    for who, step in (("a", "assigned"), ("b", "assigned"), *steps):
        if step == "commit":
            story.commit(who, 0, kind)
        elif step == "lost":
            story.rebalance(who, "revoked", KEY, lost=True)
        elif step == "joined":
            story.rebalance(who, "assigned")
        else:
            story.rebalance(who, step, KEY)
    return story.kinds()


def test_a_zombie_that_commits() -> None:
    assert _zombie(("a", "commit")) == ["ownership-overlap"]
    assert _zombie(("b", "commit")) == []


def test_a_zombie_that_is_refused_or_not_answered() -> None:
    assert _zombie(("a", "commit"), kind="fail") == []
    assert _zombie(("a", "commit"), kind="info") == []


def test_a_zombie_is_none_when_the_other_gave_the_key_back_or_it_got_it_anew() -> None:
    assert _zombie(("b", "revoked"), ("a", "commit")) == []
    assert _zombie(("a", "assigned"), ("a", "commit")) == []


def test_a_member_that_was_dropped_and_has_not_joined_again() -> None:
    assert _zombie(("a", "lost"), ("a", "commit")) == ["ownership-overlap"]
    assert _zombie(("a", "lost"), ("a", "joined"), ("a", "commit")) == []


def test_a_client_that_commits_what_it_gave_back_is_not_the_broker_s_fault() -> None:
    assert _zombie(("a", "revoked"), ("a", "commit")) == []


def test_a_commit_that_was_on_its_way_when_the_key_was_assigned_elsewhere() -> None:
    story = _Story()
    story.rebalance("a", "assigned", KEY)
    story.commit("a", 0, at=(10, 30))
    story.rebalance("b", "assigned", KEY, at=20)
    assert story.kinds() == []


def _delivered(*given: int, committed: tuple[int, int] = (1, 6), group: str = "g") -> list[Anomaly]:
    story = _Story()
    for offset in range(8):
        story.send(offset)
    story.rebalance("a", "assigned", KEY)
    story.poll("a", 0)
    story.commit("a", committed[0])
    story.poll("a", *given, group=group)
    story.commit("a", committed[1])
    return story.check()


def test_everything_between_two_commits_was_given() -> None:
    assert _delivered(1, 2, 3, 4, 5) == []
    assert _delivered(5, 2, 2, 4, 1, 3) == []


def test_records_that_no_member_was_given() -> None:
    found = _delivered(1, 4)
    assert [anomaly.kind for anomaly in found] == ["group-skip"] * 2
    assert [(anomaly.data["first"], anomaly.data["last"]) for anomaly in found] == [(2, 3), (5, 5)]
    assert "send" in {event.f for event in found[0].evidence}
    assert len(_delivered(1, 2, 3, 4, 5, group="other")) == 1


def test_records_outside_of_the_commits_are_not_counted() -> None:
    assert _delivered(3, 4, committed=(3, 5)) == []


def test_offsets_without_records_are_no_skip() -> None:
    story = _Story()
    for offset in (0, 1, 4):  # the two between are markers
        story.send(offset)
    story.commit("a", 1)
    story.poll("a", 1, 4)
    story.commit("a", 5)
    assert story.kinds() == []


def test_offsets_of_transactions_are_commits() -> None:
    for kind, kinds in (("ok", []), ("fail", ["failed-commit-visible"])):
        story = _Story()
        story.events.append(Event(1, "t", 99, "invoke", "txn", [], None, {"offsets": {"g": {KEY: 5}}}))
        story.events.append(Event(2, "t", 99, kind, "txn", []))  # type: ignore[arg-type]
        story.committed(5, at=(3, 4))
        assert story.kinds() == kinds


class _Offset:
    """A committed offset as a register."""

    initial: int | None = None

    def step(self, state: int | None, operation: Operation) -> tuple[bool, int | None]:
        if operation.invoke.f == "commit":
            return True, operation.invoke.value["offsets"][KEY]
        return operation.completion.value["offsets"][KEY] == state, state


def test_a_reading_is_caught_if_and_only_if_no_order_of_the_commits_explains_it() -> None:
    random, verdicts = Random(3), set()
    for _ in range(150):
        story = _Story()
        for number in range(6):
            begin = random.randrange(20)
            kind = random.choice(("ok", "ok", "ok", "info", "lost"))
            story.commit(f"m{number}", random.randrange(4), kind, at=(begin, begin + random.randrange(1, 9)))
        begin = random.randrange(5, 30)
        story.committed(random.choice((None, 0, 1, 2, 3)), at=(begin, begin + random.randrange(1, 5)))
        operations = pair(sorted(story.events, key=lambda event: event.time))
        calls = [Call(o.invoke.time, o.completion.time if o.type == "ok" else NEVER, o) for o in operations]
        is_explained = check(calls, _Offset()).verdict == "linearizable"
        assert bool(story.kinds()) != is_explained, operations
        verdicts.add(is_explained)
    assert verdicts == {True, False}
