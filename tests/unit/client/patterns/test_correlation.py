from __future__ import annotations

from odradek.client.patterns.correlation import Arrival, CorrelationTable


def test_each_answer_finds_its_question() -> None:
    table: CorrelationTable[str] = CorrelationTable("me")
    first, second = table.ask("first"), table.ask("second")
    assert first != second
    assert len(table) == 2
    assert table.arrive(second) == (Arrival.EXPECTED, "second")
    assert table.arrive(first) == (Arrival.EXPECTED, "first")
    assert len(table) == 0


def test_an_answer_that_comes_twice_or_after_giving_up_is_late() -> None:
    table: CorrelationTable[str] = CorrelationTable("me")
    answered, given_up = table.ask("a"), table.ask("b")
    table.arrive(answered)
    table.give_up(given_up)
    table.give_up(given_up)
    assert table.arrive(answered) == (Arrival.LATE, None)
    assert table.arrive(given_up) == (Arrival.LATE, None)


def test_an_answer_to_somebody_else_is_unknown() -> None:
    table: CorrelationTable[str] = CorrelationTable("me")
    table.ask("a")
    for foreign in (None, "", "you-0", "me-1", "me-x", "me-", "0"):
        assert table.arrive(foreign) == (Arrival.UNKNOWN, None), foreign


def test_all_can_be_given_up() -> None:
    table: CorrelationTable[str] = CorrelationTable("me")
    asked = table.ask("a")
    assert table.give_up_all() == ["a"]
    assert table.arrive(asked) == (Arrival.LATE, None)
