import pytest

from odradek.node.kafka_api.registry import Registry, Route
from odradek.proto.kafka.api import ApiKey
from odradek.proto.kafka.messages.metadata import MetadataRequest


def nothing(*_: object) -> None:
    return None


def test_what_is_advertised_is_what_is_routed_in_key_order() -> None:
    registry = Registry([Route(ApiKey.METADATA, 0, 13, nothing), Route(ApiKey.FETCH, 4, 18, nothing)])
    assert registry.advertised() == [(1, 4, 18), (3, 0, 13)]
    assert registry.routes.get(0) is None
    route = registry.routes.get(3)
    assert route is not None and route.key is ApiKey.METADATA
    assert registry.request_class(3) is MetadataRequest


def test_kafka_18659_produce_is_advertised_from_0() -> None:
    registry = Registry([Route(ApiKey.PRODUCE, 3, 13, nothing)])
    assert registry.advertised() == [(0, 0, 13)]
    route = registry.routes.get(0)
    assert route is not None and route.min_version == 3


def test_two_handlers_for_a_key_are_a_bug() -> None:
    with pytest.raises(AssertionError, match="FETCH"):
        Registry([Route(ApiKey.FETCH, 4, 18, nothing), Route(ApiKey.FETCH, 4, 18, nothing)])
