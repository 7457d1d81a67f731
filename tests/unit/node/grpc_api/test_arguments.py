from __future__ import annotations

import pytest

from odradek.node.grpc_api import arguments
from odradek.node.grpc_api.refusal import RefusalError
from odradek.v1 import record_pb2


def refused(call: object, *args: object) -> str:
    assert callable(call)
    with pytest.raises(RefusalError) as raised:
        call(*args)
    assert raised.value.status.name == "INVALID_ARGUMENT"
    return raised.value.message


def test_what_has_to_be_there() -> None:
    assert arguments.required("a", "name") == "a"
    assert refused(arguments.required, "", "name").startswith("name is empty")
    arguments.some([1], "changes")
    assert refused(arguments.some, [], "changes").startswith("changes is empty")


def test_a_number_of_an_enum_exists() -> None:
    names = dict(record_pb2.Edge.items())
    arguments.chosen(record_pb2.EDGE_LATEST, names, "edge")
    message = refused(arguments.chosen, 9, names, "edge")
    assert message == "edge 9 does not exist: allowed are EDGE_UNSPECIFIED, EDGE_EARLIEST, EDGE_LATEST"


def test_regular_expressions() -> None:
    assert arguments.pattern_of("", "pattern") is None
    found = arguments.pattern_of("a.", "pattern")
    assert found is not None and found.fullmatch("ab")
    assert "no regular expression of RE2's syntax: missing )" in refused(arguments.pattern_of, "(", "p")
    assert "1000 are allowed" in refused(arguments.pattern_of, "a" * 1001, "pattern")
    assert "look" not in refused(arguments.pattern_of, "(?=a)", "pattern"), "RE2 looks neither ahead nor back"
    # Takes for ever where expressions are tried one way after another.
    slow = arguments.pattern_of("(a|a)*b", "pattern")
    assert slow is not None and slow.fullmatch("a" * 249) is None


def test_a_partition_is_there_once() -> None:
    pairs = [("t", 0), ("t", 1), ("u", 0)]
    assert arguments.distinct(pairs, "partitions") == pairs
    assert "partition 1 of topic 't' more than once" in refused(
        arguments.distinct, [*pairs, ("t", 1)], "partitions"
    )
    assert "empty" in refused(arguments.distinct, [("", 1)], "partitions")
