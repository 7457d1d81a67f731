"""Who is asked to send again, and for how long."""

from __future__ import annotations

from odradek.node.partition.patience import NOBODY, Patience


class World:
    def __init__(self) -> None:
        self.now = 50_000
        self.patience = Patience(lambda: self.now)

    def asked(self, *, pid: int = 7, last_offset: int = -1, after: int = 0) -> bool:
        self.now += after
        return self.patience.asks_again(pid, last_offset)


def test_one_alone_that_refused_nothing_asks_nobody() -> None:
    world = World()
    world.patience.lead(NOBODY)
    assert not world.asked() and not world.asked(last_offset=12)


def test_who_has_written_nothing_to_this_leader_is_asked_for_two_seconds() -> None:
    world = World()
    world.patience.lead(10)
    world.now += 60_000
    assert world.asked(last_offset=9) and not world.asked(last_offset=10)
    assert world.asked(last_offset=9, after=1_999)
    assert not world.asked(last_offset=9, after=1), "what is lost stays lost"
    assert world.asked(pid=8), "one that is not known"
    assert not world.asked(last_offset=9, after=59_999), "still the same gap"
    assert world.asked(pid=8, after=1), "another one, after so long"


def test_a_new_log_with_followers_asks_only_whom_it_does_not_know() -> None:
    world = World()
    world.patience.lead(0)
    assert world.asked() and not world.asked(last_offset=0)


def test_after_a_refusal_everybody_is_asked_until_two_seconds_after_the_last_one() -> None:
    world = World()
    world.patience.lead(NOBODY)
    world.patience.on_refused()
    assert world.asked(last_offset=12) and world.asked(last_offset=12, after=1_999)
    world.patience.on_refused()
    assert world.asked(last_offset=12, after=1_999), "a disk that stays full"
    assert not world.asked(last_offset=12, after=1)


def test_it_forgets_rather_than_grows() -> None:
    world = World()
    world.patience.lead(10)
    for pid in range(10_000):
        assert world.asked(pid=pid)
    assert not world.asked(pid=9_999, after=2_000)
    assert world.asked(pid=0)
