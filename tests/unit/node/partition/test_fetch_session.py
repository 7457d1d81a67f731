"""KIP-227, rule by rule."""

from itertools import count

from odradek.node.partition.fetch_session import FetchPartition, FetchPlan, FetchSessions, Key
from odradek.proto.kafka.errors import ErrorCode


def sessions(slots: int = 2) -> FetchSessions:
    ids = count(101)
    return FetchSessions(slots_max=slots, eviction_ms_min=120_000, new_id=lambda: next(ids))


def ask(*indices: int, offset: int = 0, topic: str = "t") -> list[tuple[Key, FetchPartition]]:
    return [((topic, index), FetchPartition(topic, bytes(16), index, offset, 1000)) for index in indices]


def resolve(
    cache: FetchSessions,
    session_id: int,
    epoch: int,
    asked: list[tuple[Key, FetchPartition]],
    forgotten: tuple[Key, ...] = (),
    now_ms: int = 0,
    ids: bool = False,
) -> FetchPlan:
    return cache.resolve(session_id, epoch, asked, forgotten, ids, now_ms)


def test_epoch_minus_one_is_sessionless() -> None:
    cache = sessions()
    plan = resolve(cache, 0, -1, ask(0, 1))
    assert (plan.session_id, plan.incremental, len(plan.partitions)) == (0, False, 2)
    assert len(cache) == 0


def test_a_session_remembers_partitions_and_counts_epochs() -> None:
    cache = sessions()
    plan = resolve(cache, 0, 0, ask(0, 1))
    assert plan.session_id == 101 and not plan.incremental
    plan = resolve(cache, 101, 1, ask(1, offset=7))
    assert plan.incremental
    assert [(p.index, p.fetch_offset) for p in plan.partitions] == [(0, 0), (1, 7)]
    plan = resolve(cache, 101, 2, ask(2), forgotten=(("t", 0),))
    assert [p.index for p in plan.partitions] == [1, 2] and [p.index for p in plan.dropped] == [0]


def test_unknown_ids_and_wrong_epochs() -> None:
    cache = sessions()
    assert resolve(cache, 55, 1, []).error is ErrorCode.FETCH_SESSION_ID_NOT_FOUND
    session_id = resolve(cache, 0, 0, ask(0)).session_id
    assert resolve(cache, session_id, 2, []).error is ErrorCode.INVALID_FETCH_SESSION_EPOCH
    assert resolve(cache, session_id, 1, [], ids=True).error is ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR
    assert resolve(cache, session_id, 1, []).error is ErrorCode.NONE


def test_closing_a_session_and_emptying_one() -> None:
    cache = sessions()
    session_id = resolve(cache, 0, 0, ask(0)).session_id
    assert resolve(cache, session_id, -1, ask(0)).session_id == 0
    assert resolve(cache, session_id, 1, []).error is ErrorCode.FETCH_SESSION_ID_NOT_FOUND
    session_id = resolve(cache, 0, 0, ask(0)).session_id
    emptied = resolve(cache, session_id, 1, [], forgotten=(("t", 0),))
    assert (emptied.error, emptied.session_id, emptied.partitions) == (ErrorCode.NONE, 0, [])
    assert len(cache) == 0


def test_the_epoch_wraps_to_one() -> None:
    cache = sessions()
    plan = resolve(cache, 0, 0, ask(0))
    assert plan.session is not None
    plan.session.epoch = 2**31 - 1
    resolve(cache, plan.session_id, 2**31 - 1, [])
    assert plan.session.epoch == 1


def test_a_full_cache_refuses_unless_a_session_is_stale_or_smaller() -> None:
    cache = sessions(slots=1)
    first = resolve(cache, 0, 0, ask(0, 1)).session_id
    assert resolve(cache, 0, 0, ask(0, 1), now_ms=120_000).session_id == 0
    larger = resolve(cache, 0, 0, ask(0, 1, 2), now_ms=1).session_id
    assert larger not in (0, first)
    assert resolve(cache, 0, 0, ask(0), now_ms=120_002).session_id not in (0, larger)


def test_an_incremental_answer_mentions_only_what_changed() -> None:
    partition = ask(0)[0][1]
    assert partition.note_answer(ErrorCode.NONE, 5, 5, 0, has_records=False)
    assert not partition.note_answer(ErrorCode.NONE, 5, 5, 0, has_records=False)
    assert partition.note_answer(ErrorCode.NONE, 5, 5, 0, has_records=True)
    assert partition.note_answer(ErrorCode.NONE, 6, 5, 0, has_records=False)
    assert partition.note_answer(ErrorCode.NONE, 6, 6, 0, has_records=False)
    assert partition.note_answer(ErrorCode.NONE, 6, 6, 2, has_records=False)
    assert partition.note_answer(ErrorCode.NOT_LEADER_OR_FOLLOWER, -1, -1, -1, has_records=False)
    assert partition.note_answer(ErrorCode.NONE, 6, 6, 2, has_records=False), "recovery is told"


def test_only_what_changed_is_looked_at_and_served_partitions_go_last() -> None:
    cache = sessions()
    plan = resolve(cache, 0, 0, ask(0, 1, 2))
    assert plan.session is not None and [p.index for p in plan.partitions] == [0, 1, 2]
    plan.session.dirty.clear()
    assert resolve(cache, plan.session_id, 1, []).partitions == []
    plan.session.dirty[plan.partitions[2]] = None  # its watch has heard of news
    plan.session.dirty[plan.partitions[0]] = None
    again = resolve(cache, plan.session_id, 2, ask(2, offset=5))
    assert [(p.index, p.fetch_offset) for p in again.partitions] == [(0, 0), (2, 5)]
    gone = resolve(cache, plan.session_id, 3, [], forgotten=(("t", 2), ("t", 9)))
    assert [p.index for p in gone.partitions] == [0] and [p.index for p in gone.dropped] == [2]


def test_a_position_that_is_told_anew_is_to_be_taken_note_of() -> None:
    cache = sessions()
    plan = resolve(cache, 0, 0, ask(0))
    plan.partitions[0].is_reported = True
    assert resolve(cache, plan.session_id, 1, []).partitions[0].is_reported
    assert not resolve(cache, plan.session_id, 2, ask(0, offset=3)).partitions[0].is_reported


def test_a_consumer_never_displaces_a_follower() -> None:
    cache = sessions(slots=1)
    removed: list[int] = []
    cache.on_removed = lambda session: removed.append(session.session_id)
    consumer = resolve(cache, 0, 0, ask(0, 1, 2)).session_id
    follower = cache.resolve(0, 0, ask(0), (), False, 1, is_replica=True).session_id
    assert follower and removed == [consumer]
    assert resolve(cache, 0, 0, ask(0, 1, 2), now_ms=2).session_id == 0
    assert resolve(cache, follower, -1, []).session_id == 0 and removed == [consumer, follower]
