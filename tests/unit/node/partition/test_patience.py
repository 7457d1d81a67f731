"""Who is asked to send again, and for how long."""

from __future__ import annotations

from odradek.node.partition.patience import Patience
from odradek.proto.kafka.record_batch import Record, build_batch, parse_header
from odradek.storage.producer_entry import FIRST_SPARSE_PRODUCER_ID


def batch(pid: int = 7, sequence: int = 5, epoch: int = 0) -> bytearray:
    return build_batch(
        [Record(0, 0, None, b"v", ())], producer_id=pid, producer_epoch=epoch, base_sequence=sequence
    )


class World:
    def __init__(self) -> None:
        self.now = 50_000
        self.patience = Patience(lambda: self.now)

    def lead(self, epoch_start_offset: int, *, is_new: bool = True, is_followed: bool = True) -> None:
        self.patience.lead(epoch_start_offset, is_new=is_new, is_followed=is_followed)

    def asked(
        self, last_offset: int = -1, *, pid: int = 7, sequence: int = 5, epoch: int = 0, after: int = 0
    ) -> bool:
        self.now += after
        return self.patience.ask_again(parse_header(batch(pid, sequence, epoch)), last_offset)


def test_one_that_always_led_alone_asks_nobody() -> None:
    world = World()
    world.lead(0, is_followed=False)
    assert not world.asked() and not world.asked(12)


def test_who_has_written_nothing_to_this_leader_is_asked_for_two_seconds() -> None:
    world = World()
    world.lead(10)
    world.now += 60_000
    assert world.asked(9) and not world.asked(10)
    assert world.asked(9, after=1_999)
    assert not world.asked(9, after=1), "what is lost stays lost"
    assert not world.asked(9, after=59_999), "still the same gap"
    assert world.asked(9, after=60_000), "another one, after so long"
    assert not world.asked(9, after=2_000)
    assert world.asked(9, epoch=1) and world.asked(8), "another gap"


def test_one_alone_that_was_led_elsewhere_asks_too() -> None:
    world = World()
    world.patience.follow()
    world.lead(10, is_followed=False)
    assert world.asked(9) and not world.asked(10)


def test_every_leadership_begins_anew() -> None:
    world = World()
    world.lead(10)
    assert world.asked(9) and not world.asked(9, after=2_000)
    world.lead(10, is_new=False)
    assert not world.asked(9), "only the followers are others"
    world.patience.follow()
    world.lead(10)
    assert world.asked(9)


def test_of_an_unknown_producer_the_earliest_batch_is_taken_first() -> None:
    world = World()
    world.lead(0)
    assert not world.asked(0), "it has written here"
    assert world.asked(sequence=5) and world.asked(sequence=6)
    assert world.asked(sequence=5, after=1_999)
    assert world.asked(sequence=6, after=1), "its time is over, but 5 is not here yet"
    assert not world.asked(sequence=5), "taken"
    assert not world.asked(sequence=6, after=2_000), "5 never came"


def test_who_was_refused_is_asked_until_two_seconds_after_the_last_time() -> None:
    world = World()
    world.lead(0, is_followed=False)
    world.patience.on_refused(batch())
    assert world.asked(12) and not world.asked(12, pid=8)
    assert world.asked(12, after=1_999)
    world.patience.on_refused(batch())
    assert world.asked(12, after=1_999), "a disk that stays full"
    assert not world.asked(12, after=1)


def test_what_is_no_batch_of_such_a_producer_is_forgotten_at_once() -> None:
    world = World()
    world.lead(0, is_followed=False)
    for refused in (None, bytearray(), bytearray(20), batch(-1), batch(FIRST_SPARSE_PRODUCER_ID)):
        world.patience.on_refused(refused)
    assert not world.asked(12) and not world.patience._asked


def test_however_many_there_are_the_time_of_each_comes_to_its_end() -> None:
    world = World()
    world.lead(0)
    waiting, rounds = set(range(10_000)), 0
    while waiting:
        waiting = {pid for pid in waiting if world.asked(pid=pid)}
        assert len(world.patience._asked) <= 4_096
        world.now += 500
        rounds += 1
    assert rounds <= 6
