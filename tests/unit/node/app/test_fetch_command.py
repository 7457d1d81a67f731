"""What an answer says of itself."""

from tests.unit.node.app.data_path import at

from odradek.node.app.fetch_command import READ_COMMITTED, FetchedPartition, no_aborted_transactions
from odradek.proto.kafka.errors import ErrorCode


def test_quiet_is_who_has_nothing_but_offsets() -> None:
    answer = FetchedPartition(at(0), ErrorCode.NONE)
    assert answer.is_quiet
    answer.is_held_back = True
    assert not answer.is_quiet
    assert not FetchedPartition(at(0), ErrorCode.KAFKA_STORAGE_ERROR).is_quiet
    for name, value in (("records", b"x"), ("diverging", (1, 2)), ("preferred_read_replica", 3)):
        answer = FetchedPartition(at(0), ErrorCode.NONE)
        setattr(answer, name, value)
        assert not answer.is_quiet


def test_nothing_new_is_what_was_told_before() -> None:
    asked = at(0)
    answer = FetchedPartition(asked, ErrorCode.NONE)
    answer.high_watermark, answer.last_stable_offset, answer.log_start_offset = 5, 5, 0
    assert not answer.says_nothing_new
    asked.note_answer(ErrorCode.NONE, 5, 5, 0, has_records=False)
    assert answer.says_nothing_new
    answer.high_watermark = 6
    assert not answer.says_nothing_new


def test_aborted_transactions_are_a_list_for_read_committed_only() -> None:
    assert no_aborted_transactions(READ_COMMITTED) == [] and no_aborted_transactions(0) is None
