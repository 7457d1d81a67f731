from hypothesis import given
from hypothesis import strategies as st

from odradek.node.coordinator.group.subscription import subscribed_topics


def test_topics_of_a_subscription_of_any_version() -> None:
    head = b"\0\0\0\2\0\1a\0\2bc"
    for version in range(4):
        found = subscribed_topics(version.to_bytes(2, "big") + head + b"whatever follows")
        assert found == frozenset({"a", "bc"})


def test_no_topics() -> None:
    assert subscribed_topics(b"\0\0\0\0\0\0") == frozenset()


def test_what_is_no_subscription() -> None:
    for data in (
        b"",
        b"\0\0\0\0\0",
        b"\xff\xff\0\0\0\0",
        b"\0\0\xff\xff\xff\xff",
        b"\0\0\x7f\xff\xff\xff\0\1a",
        b"\0\0\0\0\0\1\0\5a",
        b"\0\0\0\0\0\1\xff\xff",
        b"\0\0\0\0\0\1\0\1\xff",
        b"\0\0\0\0\0\2\0\1a\0",
    ):
        assert subscribed_topics(data) is None, data


@given(st.binary(max_size=40))
def test_never_raises(data: bytes) -> None:
    subscribed_topics(data)
