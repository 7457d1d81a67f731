from __future__ import annotations

from odradek.client import descriptions as d
from odradek.client.errors import UnknownTopicError
from odradek.v1 import (
    cluster_service_pb2,
    config_service_pb2,
    error_pb2,
    group_service_pb2,
    topic_service_pb2,
)
from odradek.v1.record_pb2 import TopicPartition


def test_lists_become_tuples() -> None:
    message = topic_service_pb2.Partition(topic="t", partition=1, leader_id=-1, replicas=[1, 2])
    found = d.value_of(d.Partition, message)
    assert (found.leader_id, found.replicas, found.in_sync_replicas) == (-1, (1, 2), ())


def test_topics() -> None:
    message = topic_service_pb2.Topic(name="t", topic_id=b"x" * 16, partition_count=2, configs={"a": "1"})
    assert d.topic_of(message) == d.Topic("t", b"x" * 16, 2, 0, {"a": "1"})


def test_a_config_without_a_value_has_none() -> None:
    source = config_service_pb2.CONFIG_SOURCE_STATIC
    hidden = d.config_of(config_service_pb2.Config(name="password", sensitive=True, source=source))
    assert hidden == d.Config("password", None, "static", False, True, "")
    assert d.config_of(config_service_pb2.Config(name="a", value="")).value == ""


def test_groups() -> None:
    member = group_service_pb2.GroupMember(member_id="m", partitions=[TopicPartition(topic="t", partition=1)])
    state = group_service_pb2.GROUP_STATE_PREPARING_REBALANCE
    group = d.group_of(group_service_pb2.Group(group_id="g", state=state, generation=4, members=[member]))
    assert (group.state, group.generation, group.members[0].partitions) == (
        "preparing_rebalance",
        4,
        (("t", 1),),
    )


def test_a_state_of_a_later_release_is_unknown() -> None:
    message = group_service_pb2.Group()
    message.MergeFromString(b"\x10\x63")
    assert d.enum_text(message, "state") == "unknown"


def test_lag() -> None:
    assert d.GroupOffset("t", 0, 5, -1, "", 9).lag == 4
    assert d.GroupOffset("t", 0, 5, -1, "", 3).lag == 0
    assert d.GroupOffset("t", 0, 5, -1, "", -1).lag is None


def test_the_cluster_and_its_quorum() -> None:
    listener = cluster_service_pb2.Listener(name="GRPC", host="h", port=1)
    node = cluster_service_pb2.ClusterNode(node_id=1, alive=True, listeners=[listener])
    cluster = d.cluster_of(cluster_service_pb2.GetClusterResponse(controller_id=1, nodes=[node], time_ms=7))
    assert cluster.nodes[0].listeners == (d.Listener("GRPC", "h", 1),) and cluster.time_ms == 7
    voter = cluster_service_pb2.QuorumVoter(node_id=1, last_heard_ms=-1)
    assert d.quorum_of(cluster_service_pb2.GetQuorumResponse(voters=[voter])).voters[0].last_heard_ms == -1


def test_outcomes_hold_errors() -> None:
    error = error_pb2.Error(reason="UNKNOWN_TOPIC_OR_PARTITION", message="no", code=3)
    outcome = d.outcome_of(cluster_service_pb2.PartitionOutcome(topic="t", partition=0, error=error))
    assert isinstance(outcome.error, UnknownTopicError) and outcome.error.code == 3
    assert d.outcome_of(cluster_service_pb2.PartitionOutcome(topic="t")).error is None
    part = cluster_service_pb2.LogDirPartition(topic="t", size_bytes=5)
    log_dir = d.log_dir_of(cluster_service_pb2.LogDir(path="/d", partitions=[part]))
    assert log_dir.partitions == (d.LogDirPartition("t", 0, 5, 0),) and log_dir.error is None


def test_resources() -> None:
    assert d.ConfigResource.topic("t") == d.ConfigResource("topic", "t")
    assert d.ConfigResource.node(3) == d.ConfigResource("node", "3")
    assert d.ConfigResource.cluster() == d.ConfigResource("node", "")
