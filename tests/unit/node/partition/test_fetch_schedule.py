"""The follower's side of a fetch session."""

from odradek.node.partition.fetch_schedule import BACKOFF_MS_MIN, Ask, FetchSchedule, Followed

TOPIC = b"t" * 16


def schedule() -> FetchSchedule:
    return FetchSchedule(wait_ms_max=500, backoff_ms_max=1_000)


def followed(plan: FetchSchedule, index: int, offset: int = 0, epoch: int = 1) -> Followed:
    one = Followed(TOPIC, index)
    plan.add(one)
    plan.moved(one, epoch, offset, -1, 0)
    return one


def ask(plan: FetchSchedule, now_ms: int = 0) -> Ask:
    found = plan.next_ask(now_ms)
    assert found is not None
    return found


def indices(found: Ask) -> list[int]:
    return [one.index for one in found.mentioned]


def test_everything_is_mentioned_once_and_then_only_what_moved() -> None:
    plan = schedule()
    first, _ = followed(plan, 0), followed(plan, 1)
    full = ask(plan)
    assert (full.session_id, full.session_epoch, indices(full), full.max_wait_ms) == (0, 0, [0, 1], 500)
    plan.on_answer(77, is_session_lost=False)
    assert ask(plan)[:4] == (77, 1, [], [])
    plan.on_answer(77, is_session_lost=False)
    plan.moved(first, 1, 5, 1, 0)
    third = ask(plan)
    assert (third.session_epoch, indices(third), third.mentioned[0].fetch_offset) == (2, [0], 5)


def test_nothing_is_asked_before_there_is_a_position() -> None:
    plan = schedule()
    plan.add(Followed(TOPIC, 0))
    assert plan.next_ask(0) is None and len(plan) == 1


def test_what_leaves_is_forgotten() -> None:
    plan = schedule()
    first, _ = followed(plan, 0), followed(plan, 1)
    ask(plan)
    plan.on_answer(77, is_session_lost=False)
    plan.remove(first)
    assert ask(plan).forgotten == [(TOPIC, 0)]
    plan.on_answer(77, is_session_lost=False)
    assert ask(plan).forgotten == []


def test_what_leaves_and_comes_back_is_mentioned_and_not_forgotten() -> None:
    plan = schedule()
    first = followed(plan, 0)
    followed(plan, 1)
    ask(plan)
    plan.on_answer(77, is_session_lost=False)
    plan.remove(first)
    again = followed(plan, 0, offset=9, epoch=2)
    assert not again.is_told
    found = ask(plan)
    assert (indices(found), found.forgotten) == ([0], []) and again.is_told


def test_an_answer_is_not_for_whoever_has_not_asked_with_its_position() -> None:
    plan = schedule()
    first = followed(plan, 0)
    ask(plan)
    assert first.is_told
    plan.moved(first, 1, 5, 1, 0)
    assert not first.is_told


def test_a_lost_session_begins_anew() -> None:
    plan = schedule()
    followed(plan, 0)
    ask(plan)
    plan.on_answer(77, is_session_lost=False)
    plan.start_over()
    again = ask(plan)
    assert (again.session_id, again.session_epoch, indices(again)) == (77, 0, [0]), "and ends the old one"
    plan.on_answer(0, is_session_lost=True)
    assert ask(plan)[:2] == (0, 0)


def test_a_source_without_a_session_to_spare_is_asked_for_everything_each_time() -> None:
    plan = schedule()
    followed(plan, 0)
    for _ in range(3):
        found = ask(plan)
        assert found[:2] == (0, 0) and indices(found) == [0] and found.mentioned[0].is_told
        plan.on_answer(0, is_session_lost=False)


def test_errors_put_a_partition_off_for_longer_each_time() -> None:
    plan = schedule()
    first, _ = followed(plan, 0), followed(plan, 1)
    ask(plan)
    plan.on_answer(77, is_session_lost=False)
    plan.back_off(first, 0)
    assert plan.next_deadline_ms() == BACKOFF_MS_MIN
    found = ask(plan)
    assert (found.forgotten, found.max_wait_ms) == ([(TOPIC, 0)], BACKOFF_MS_MIN), "the answer comes in time"
    plan.on_answer(77, is_session_lost=False)
    assert indices(ask(plan, BACKOFF_MS_MIN)) == [0]
    plan.on_answer(77, is_session_lost=False)
    plan.back_off(first, 100)
    assert plan.next_deadline_ms() == 100 + 2 * BACKOFF_MS_MIN
    for _ in range(20):
        plan.back_off(first, 0)
    assert first.delayed_until_ms == 1_000
    plan.moved(first, 1, 3, 1, 0)
    assert first.backoff_ms == BACKOFF_MS_MIN and plan.next_deadline_ms() is None


def test_a_partition_that_waits_for_its_disk_is_not_asked_for() -> None:
    plan = schedule()
    first = followed(plan, 0)
    plan.hold(first)
    assert plan.next_ask(0) is None
    plan.moved(first, 1, 4, 1, 0)
    assert ask(plan).mentioned[0].fetch_offset == 4


def test_old_news_of_a_partition_that_has_left_is_nothing() -> None:
    plan = schedule()
    first = followed(plan, 0)
    plan.remove(first)
    plan.moved(first, 1, 4, 1, 0)
    plan.back_off(first, 0)
    plan.hold(first)
    assert plan.next_ask(0) is None and plan.next_deadline_ms() is None and not len(plan)


def test_the_same_key_is_followed_once() -> None:
    plan = schedule()
    followed(plan, 0)
    followed(plan, 0, offset=3)
    assert len(plan) == 1 and [one.fetch_offset for one in ask(plan).mentioned] == [3]


def test_the_epoch_of_a_session_wraps_to_one() -> None:
    plan = schedule()
    followed(plan, 0)
    plan.on_answer(77, is_session_lost=False)
    plan._session_epoch = 2**31 - 1
    plan.on_answer(77, is_session_lost=False)
    assert ask(plan).session_epoch == 1
