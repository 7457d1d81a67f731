"""What this release serves, against the version ranges that a Kafka 4.3 broker really advertises."""

from types import SimpleNamespace
from typing import Any, cast

from kafka.protocol.broker_version_data import BROKER_API_VERSIONS

from odradek.node.kafka_api.routes import Services, build_registry
from odradek.proto.kafka.api import ApiKey, request_class

SERVED = [
    "PRODUCE",
    "FETCH",
    "LIST_OFFSETS",
    "METADATA",
    "OFFSET_FOR_LEADER_EPOCH",
    "FIND_COORDINATOR",
    "JOIN_GROUP",
    "SYNC_GROUP",
    "HEARTBEAT",
    "LEAVE_GROUP",
    "OFFSET_COMMIT",
    "OFFSET_FETCH",
    "OFFSET_DELETE",
    "DESCRIBE_GROUPS",
    "LIST_GROUPS",
    "DELETE_GROUPS",
    "API_VERSIONS",
    "CREATE_TOPICS",
    "DELETE_TOPICS",
    "CREATE_PARTITIONS",
    "DELETE_RECORDS",
    "DESCRIBE_CONFIGS",
    "ALTER_CONFIGS",
    "INCREMENTAL_ALTER_CONFIGS",
    "LIST_CONFIG_RESOURCES",
    "INIT_PRODUCER_ID",
    "DESCRIBE_PRODUCERS",
    "ALTER_REPLICA_LOG_DIRS",
    "DESCRIBE_LOG_DIRS",
    "DESCRIBE_CLUSTER",
    "DESCRIBE_TOPIC_PARTITIONS",
    "ELECT_LEADERS",
    "ALTER_PARTITION_REASSIGNMENTS",
    "LIST_PARTITION_REASSIGNMENTS",
    "UPDATE_FEATURES",
    "UNREGISTER_BROKER",
    "DESCRIBE_QUORUM",
    "ADD_RAFT_VOTER",
    "REMOVE_RAFT_VOTER",
]


class NoServices(SimpleNamespace):
    """Handlers only keep their services until a request comes."""

    def __getattr__(self, name: str) -> Any:
        return None


REGISTRY = build_registry(cast(Services, NoServices()))


def test_every_key_of_this_release_is_served_and_no_other() -> None:
    assert {ApiKey(key).name for key, _, _ in REGISTRY.advertised()} == set(SERVED)


def test_version_ranges_are_those_of_kafka_4_3() -> None:
    kafka = BROKER_API_VERSIONS[(4, 3)]
    for key, low, high in REGISTRY.advertised():
        assert (low, high) == tuple(kafka[key]), ApiKey(key).name


def test_what_only_the_controller_can_do_goes_to_it() -> None:
    assert {route.key.name for route in REGISTRY.routes.values() if route.to_controller} == {
        "CREATE_TOPICS",
        "DELETE_TOPICS",
        "CREATE_PARTITIONS",
        "ALTER_CONFIGS",
        "INCREMENTAL_ALTER_CONFIGS",
        "ELECT_LEADERS",
        "ALTER_PARTITION_REASSIGNMENTS",
        "LIST_PARTITION_REASSIGNMENTS",
        "DESCRIBE_QUORUM",
        "UPDATE_FEATURES",
        "UNREGISTER_BROKER",
        "ADD_RAFT_VOTER",
        "REMOVE_RAFT_VOTER",
    }


def test_what_nodes_ask_each_other_is_served_and_not_advertised() -> None:
    served = {route.key for route in REGISTRY.routes.values() if route.inter_broker}
    assert ApiKey.ENVELOPE in served
    assert not served.intersection(key for key, _, _ in REGISTRY.advertised())


def test_every_served_version_has_a_schema() -> None:
    for key, _, high in REGISTRY.advertised():
        route = REGISTRY.routes.get(key)
        assert route is not None
        versions = request_class(ApiKey(key)).INFO.versions
        assert route.min_version in versions and high in versions, ApiKey(key).name
