"""Topics, partitions and replicas as one node tells them."""

from __future__ import annotations

from prometheus_client import Metric
from tests.unit.node.http_api.fakes import NODE, FakeNode, Series, fake_node, names, series, value

from odradek.node.controller.image import PartitionImage
from odradek.node.http_api.partitions import PARTITIONS_PER_STEP, PartitionTables, is_under_replicated
from odradek.node.http_api.text import Writer

OTHER = 2
REPLICAS_FAMILY = "kafka_server_replicamanager_"
CONTROLLER_FAMILY = "kafka_controller_kafkacontroller_"


def tables(node: FakeNode, *, per_partition: bool = True) -> tuple[PartitionTables, int]:
    made = PartitionTables(node.sources, per_partition=per_partition)
    return made, sum(1 for _ in made.visit(node.image))


def told(node: FakeNode, *, per_partition: bool = True) -> Series:
    made, _ = tables(node, per_partition=per_partition)
    writer = Writer("")
    for metric in made.families(node.image):
        writer.write(metric)
    for _ in made.write(writer):
        pass
    return series(b"".join(writer.end()).decode())


def place(
    leader: int, replicas: tuple[int, ...] = (1, 2, 3), isr: tuple[int, ...] = (1, 2, 3)
) -> PartitionImage:
    return PartitionImage(replicas, isr, leader)


def test_a_partition_is_told_by_its_leader() -> None:
    with fake_node() as node:
        node.is_controller = False
        node.add_topic("mine", place(NODE, (2, 1, 3), (1, 3)), place(OTHER))
        node.replicas.open("mine", 0, 5, 42, 1000)
        node.replicas.open("mine", 1, 0, 9, 77)  # followed here
        found = told(node)
    labels = {"topic": "mine", "partition": "0"}
    prefix = "kafka_topic_partition_"
    assert value(found, prefix + "leader", **labels) == NODE
    assert value(found, prefix + "replicas", **labels) == 3
    assert value(found, prefix + "in_sync_replica", **labels) == 2
    assert value(found, prefix + "leader_is_preferred", **labels) == 0
    assert value(found, prefix + "under_replicated_partition", **labels) == 1
    assert value(found, prefix + "current_offset", **labels) == 42
    assert value(found, prefix + "oldest_offset", **labels) == 5
    of_others = [key for key in found if ("partition", "1") in key[1] and key[0] != "kafka_log_size"]
    assert of_others == []
    assert value(found, "kafka_log_size", topic="mine", partition="0") == 1000
    assert value(found, "kafka_log_size", topic="mine", partition="1") == 77
    assert "kafka_topic_partitions" not in names(found), "topics are told by the active controller"
    assert "kafka_brokers" not in names(found)


def test_what_has_no_leader_is_told_by_the_active_controller() -> None:
    with fake_node() as node:
        node.add_topic("t", place(-1, (2, 3, 4), (2,)), place(OTHER, (2, 3, 4), (2, 3, 4)))
        node.add_broker(1)
        node.add_broker(2, fenced=True)
        found = told(node)
        node.is_controller = False
        of_follower = told(node)
    assert value(found, "kafka_topic_partition_leader", topic="t", partition="0") == -1
    assert value(found, "kafka_topic_partitions", topic="t") == 2
    assert value(found, "kafka_brokers") == 1
    assert value(found, "kafka_broker_info", id="2", address="host2:9092") == 1
    assert value(found, CONTROLLER_FAMILY + "activecontrollercount") == 1
    assert value(found, CONTROLLER_FAMILY + "offlinepartitionscount") == 1
    assert value(found, CONTROLLER_FAMILY + "globaltopiccount") == 1
    assert value(found, CONTROLLER_FAMILY + "globalpartitioncount") == 2
    assert value(found, CONTROLLER_FAMILY + "activebrokercount") == 1
    assert value(found, CONTROLLER_FAMILY + "fencedbrokercount") == 1
    assert value(found, CONTROLLER_FAMILY + "preferredreplicaimbalancecount") == 1
    assert value(of_follower, CONTROLLER_FAMILY + "activecontrollercount") == 0
    assert CONTROLLER_FAMILY + "offlinepartitionscount" not in names(of_follower)
    assert "kafka_topic_partition_leader" not in names(of_follower)


def test_every_partition_of_a_cluster_is_told_once() -> None:
    places = [place(leader, (1, 2, 3)) for leader in (1, 2, 3, 1, -1)]
    seen: list[str] = []
    for node_id in (1, 2, 3):
        with fake_node() as node:
            object.__setattr__(node.sources, "node_id", node_id)
            node.is_controller = node_id == 2
            node.add_topic("t", *places)
            seen += [
                dict(labels)["partition"]
                for name, labels in told(node)
                if name == "kafka_topic_partition_leader"
            ]
    assert sorted(seen) == ["0", "1", "2", "3", "4"]


def test_replicas_are_counted_as_kafka_counts_them() -> None:
    with fake_node() as node:
        node.min_isr = 2
        node.add_topic(
            "t",
            place(NODE),
            place(NODE, isr=(1, 2)),  # at the minimum
            place(NODE, isr=(1,)),  # under it
            place(OTHER, isr=(2,)),  # counted by its leader
            place(OTHER, (2, 3), (2, 3)),  # no replica here
        )
        node.log_dirs.dirs[0].log_count = 4
        node.log_dirs.dirs[0].error = OSError("gone")
        found = told(node)
    assert value(found, REPLICAS_FAMILY + "partitioncount") == 4
    assert value(found, REPLICAS_FAMILY + "leadercount") == 3
    assert value(found, REPLICAS_FAMILY + "underreplicatedpartitions") == 2
    assert value(found, REPLICAS_FAMILY + "underminisrpartitioncount") == 1
    assert value(found, REPLICAS_FAMILY + "atminisrpartitioncount") == 1
    assert value(found, REPLICAS_FAMILY + "offlinereplicacount") == 4
    assert value(found, "kafka_log_logmanager_offlinelogdirectorycount") == 1


def test_replicas_that_are_only_being_added_may_lag() -> None:
    moving = PartitionImage((1, 2, 3), (1, 2), 1, adding_replicas=(3,))
    assert not is_under_replicated(moving)
    assert is_under_replicated(PartitionImage((1, 2, 3), (1,), 1, adding_replicas=(3,)))


def test_a_log_that_nobody_used_is_told_from_its_checkpoint_and_not_loaded() -> None:
    with fake_node() as node:
        node.add_topic("t", place(NODE), place(NODE), place(NODE))
        node.log_dirs.checkpointed["t", 0] = 8
        node.replicas.open("t", 1, 2, 3).is_loaded = False
        node.log_dirs.checkpointed["t", 1] = 9
        made, _ = tables(node)
        found = told(node)
    assert made.high_watermarks == {("t", 0): 8, ("t", 1): 9}
    assert value(found, "kafka_topic_partition_current_offset", topic="t", partition="0") == 8
    assert "kafka_topic_partition_oldest_offset" not in names(found)
    assert "kafka_log_size" not in names(found)


def test_series_of_single_partitions_can_be_left_out() -> None:
    with fake_node() as node:
        node.add_topic("t", place(NODE))
        node.replicas.open("t", 0, 0, 5)
        made, _ = tables(node, per_partition=False)
        found = told(node, per_partition=False)
    assert made.high_watermarks == {("t", 0): 5}, "lags are still summed up"
    assert not [labels for _, labels in found if "partition" in dict(labels)]
    assert value(found, "kafka_topic_partitions", topic="t") == 1
    assert value(found, REPLICAS_FAMILY + "leadercount") == 1


def test_names_are_escaped() -> None:
    with fake_node() as node:
        node.add_topic('odd"\\\nname', place(NODE))
        found = told(node)
    assert value(found, "kafka_topic_partition_leader", topic='odd"\\\nname', partition="0") == NODE


def test_the_look_is_taken_in_small_steps() -> None:
    with fake_node() as node:
        node.add_topic("t", *[place(NODE)] * (PARTITIONS_PER_STEP * 10))
        for index in range(PARTITIONS_PER_STEP * 10):
            node.replicas.open("t", index, 0, 1)
        _, steps = tables(node)
    assert steps == 20


def test_a_node_that_has_not_joined_tells_zeros() -> None:
    with fake_node() as node:
        node.is_controller = False
        made, _ = tables(node)
        metrics: list[Metric] = list(made.families(node.image))
    assert {sample.value for metric in metrics for sample in metric.samples} == {0}
