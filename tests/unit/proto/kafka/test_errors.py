import pytest

from odradek.proto.kafka.errors import ErrorCode


def test_the_codes_are_dense_from_minus_one_to_136() -> None:
    assert [int(code) for code in ErrorCode] == list(range(-1, 137))


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("UNKNOWN_SERVER_ERROR", -1),
        ("NONE", 0),
        ("UNKNOWN_TOPIC_OR_PARTITION", 3),
        ("UNSUPPORTED_VERSION", 35),
        ("MEMBER_ID_REQUIRED", 79),
        ("UNKNOWN_TOPIC_ID", 100),
        ("REBOOTSTRAP_REQUIRED", 129),
        ("CONTROLLER_ID_NOT_REGISTERED", 136),
    ],
)
def test_names_that_clients_depend_on(name: str, code: int) -> None:
    assert int(ErrorCode[name]) == code


def test_what_a_client_may_retry() -> None:
    assert ErrorCode.NOT_LEADER_OR_FOLLOWER.retriable
    assert ErrorCode.COORDINATOR_LOAD_IN_PROGRESS.retriable
    assert not ErrorCode.NONE.retriable
    assert not ErrorCode.MESSAGE_TOO_LARGE.retriable
    assert not ErrorCode.OFFSET_OUT_OF_RANGE.retriable
