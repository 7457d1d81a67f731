"""Watches of sessions: idle partitions cost nothing, whatever happens to the others."""

from tests.unit.node.app.data_path import Place, World, at, batch

from odradek.node.app.fetch import FetchService
from odradek.node.partition.replicas import Partition

MANY = 3_000


class CountingReads:
    """How many partitions a service has looked at."""

    def __init__(self, service: FetchService) -> None:
        self.count = 0
        read = service.reader.read

        def counted(*arguments: object, **more: object) -> object:
            self.count += 1
            return read(*arguments, **more)  # type: ignore[arg-type]

        service.reader.read = counted  # type: ignore[method-assign,assignment]


def large_session() -> tuple[World, CountingReads, int]:
    world = World()
    world.topics.known["t"].partitions = [Place()] * MANY
    full = world.fetch(*(at(0, index=index) for index in range(MANY)), session=(0, 0), max_wait_ms=0)
    assert len(full.partitions) == MANY
    return world, CountingReads(world.fetches), full.deferred.value.session_id


def test_a_record_costs_a_look_at_its_partition_and_at_no_other_of_thousands() -> None:
    world, reads, session_id = large_session()
    parked = world.fetch(session=(session_id, 1))
    assert not parked.done and reads.count == 0
    world.produce(("t", 7, batch()))
    world.flush()
    assert [answer.asked.index for answer in parked.partitions] == [7] and reads.count == 1
    again = world.fetch(at(1, index=7), session=(session_id, 2))
    assert not again.done and reads.count == 2
    world.pass_time(600)
    assert again.partitions == [], "what was told is not told again"


def test_what_changed_between_two_requests_is_noted() -> None:
    world, reads, session_id = large_session()
    world.produce(("t", 3, batch()), ("t", 5, batch()))
    world.flush()
    answer = world.fetch(session=(session_id, 1))
    assert [one.asked.index for one in answer.partitions] == [3, 5] and reads.count == 2


def test_a_partition_that_was_not_read_for_want_of_room_comes_next() -> None:
    world, _, session_id = large_session()
    size = len(batch())
    for index in (1, 2, 3):
        world.produce(("t", index, batch()))
    world.flush()
    first = world.fetch(session=(session_id, 1), max_bytes=size)
    assert [one.asked.index for one in first.partitions] == [1]
    second = world.fetch(at(1, index=1), session=(session_id, 2), max_bytes=size)
    assert [one.asked.index for one in second.partitions] == [2]


def test_what_is_forgotten_is_watched_no_longer_and_a_session_that_ends_watches_nothing() -> None:
    world, _, session_id = large_session()
    parked = world.fetch(at(0, index=0), session=(session_id, 1))
    parked.deferred.abandon()
    watch = next(iter(world.fetches._watches.values()))
    gone = [(("t", index)) for index in range(1, MANY)]
    plan = world.fetches._sessions.resolve(session_id, 2, [], gone, False, 0)
    world.fetches._watch_of(watch.session, plan.dropped)
    assert len(watch._asked) == 1
    world.fetch(session=(session_id, -1), max_wait_ms=0)
    assert len(world.replicas.watchers) == 0 and not world.fetches._watches


def test_a_deleted_topic_is_told_in_a_session_and_one_made_again_is_found() -> None:
    world = World()
    session_id = world.fetch(at(0), session=(0, 0), max_wait_ms=0).deferred.value.session_id
    parked = world.fetch(session=(session_id, 1))
    deleted = world.topics.known.pop("t")
    world.replicas.on_topics_changed([deleted], [])
    world.turn()
    assert parked.errors == ["UNKNOWN_TOPIC_OR_PARTITION"]
    world.topics.known["t"] = type(deleted)("t", b"T" * 16)
    found = world.fetch(session=(session_id, 2), max_wait_ms=0)
    assert found.errors == ["NONE"]
    waiting = world.fetch(session=(session_id, 3))
    world.produce(("t", 0, batch()))
    world.flush()
    assert waiting.errors == ["NONE"] and waiting.sizes[0] > 0


def test_a_client_that_asks_again_without_waiting_gets_its_first_answer() -> None:
    world, _, session_id = large_session()
    first = world.fetch(session=(session_id, 1))
    second = world.fetch(session=(session_id, 2))
    assert first.done and first.partitions == [] and not second.done
    world.produce(("t", 3, batch()))
    world.flush()
    assert [one.asked.index for one in second.partitions] == [3]


def test_a_session_that_waits_for_many_bytes_reads_when_there_can_be_enough() -> None:
    world, reads, session_id = large_session()
    size = len(batch(1, b"x" * 1000))
    parked = world.fetch(session=(session_id, 1), min_bytes=3 * size)
    for index in (1, 2):
        world.produce(("t", index, batch(1, b"x" * 1000)))
        world.flush()
    assert not parked.done and reads.count == 0
    world.produce(("t", 2, batch(1, b"x" * 1000)))
    world.flush()
    assert parked.done and reads.count == 2


def test_a_partition_led_elsewhere_is_told_at_once() -> None:
    world = World()
    session_id = world.fetch(at(0), session=(0, 0), max_wait_ms=0).deferred.value.session_id
    parked = world.fetch(session=(session_id, 1))
    partition = world.partition()
    world.replicas.apply(partition, Place(leader=2, leader_epoch=1, replicas=(1, 2)))
    world.turn()
    assert parked.errors == ["NOT_LEADER_OR_FOLLOWER"]
    assert isinstance(world.replicas.get("t", 0), Partition)
