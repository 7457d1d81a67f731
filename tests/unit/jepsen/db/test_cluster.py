"""What a cluster is said to be, by nodes that answer, are silent, or contradict each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from odradek.jepsen.db import cluster as cluster_module
from odradek.jepsen.db import leftovers, network, requests
from odradek.jepsen.db.cluster import ServerCluster, TopicRefused
from odradek.jepsen.db.kafka import Kafka
from odradek.jepsen.db.node import Flavour, ServerNode
from odradek.jepsen.db.odradek import Odradek
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.metadata import MetadataResponse
from odradek.proto.kafka.messages.raft import DescribeQuorumResponse
from odradek.proto.kafka.messages.topics import CreateTopicsRequest, CreateTopicsResponse
from odradek.proto.kafka.schema import Message


class Stub:
    """A node that is nothing but its state."""

    def __init__(self, node: int) -> None:
        self.id = node
        self.address = f"10.77.0.{10 + node}"
        self.namespace = f"odk-t-n{node}"
        self.pid: int | None = 100 + node
        self.paused = False
        self.exit_status: int | None = None

    def log_tail(self, size: int = 0) -> str:
        return f"last words of {self.id}"


class Told(ServerCluster):
    """A cluster whose nodes answer what a test says; a node without an answer to a kind of request is silent."""

    def __init__(self, flavour: Flavour | None = None, nodes: int = 3) -> None:
        self.stubs = {node: Stub(node) for node in range(1, nodes + 1)}
        net = network.plan("t", nodes)
        super().__init__(flavour or Odradek(), net, cast("Mapping[int, ServerNode]", self.stubs))
        self.answers: dict[tuple[int, type], Message | Iterator[Message]] = {}
        self.asked: list[tuple[int, Message]] = []

    def ask(
        self, node: int, message: Message, version: int, expected: type[requests.M], timeout_s: float = 1.0
    ) -> requests.M:
        self.asked.append((node, message))
        answer = self.answers.get((node, expected))
        if answer is None:
            raise TimeoutError
        return cast(requests.M, answer if isinstance(answer, Message) else next(answer))

    def tell(self, node: int, brokers: tuple[int, ...] = (), **parts: tuple[int, int, list[int]]) -> None:
        """Its metadata: partition 0 of each topic as (leader, epoch, isr)."""
        topics = [
            MetadataResponse.MetadataResponseTopic(
                name=name,
                partitions=[
                    MetadataResponse.MetadataResponsePartition(
                        leader_id=leader, leader_epoch=epoch, replica_nodes=[1, 2, 3], isr_nodes=isr
                    )
                ],
            )
            for name, (leader, epoch, isr) in parts.items()
        ]
        alive = [MetadataResponse.MetadataResponseBroker(node_id=broker) for broker in brokers]
        self.answers[node, MetadataResponse] = MetadataResponse(brokers=alive, topics=topics)


def _created(*codes: ErrorCode) -> Iterator[Message]:
    for code in codes:
        result = CreateTopicsResponse.CreatableTopicResult(name="q", error_code=int(code))
        yield CreateTopicsResponse(topics=[result])


def test_addresses_are_those_of_all_nodes_whether_they_run_or_not() -> None:
    told = Told()
    told.stubs[2].pid = None
    assert told.bootstrap == "10.77.0.11:9092,10.77.0.12:9092,10.77.0.13:9092"
    assert told.grpc == "10.77.0.11:50051,10.77.0.12:50051,10.77.0.13:50051"
    kafka = Told(Kafka(class_path="libs/*"))
    assert (kafka.flavour, kafka.grpc) == ("kafka", "")
    assert kafka.ports == {"CLIENT": 9092, "INTERNAL": 9093, "CONTROLLER": 9094}


def test_a_node_that_is_cut_off_does_not_say_who_leads() -> None:
    told = Told()
    told.tell(1, q=(1, 4, [1, 2, 3]))
    told.tell(2, q=(2, 5, [2, 3]))
    assert told.leader_of("q/0") == 2
    assert told.leader_of("q/1") is None
    assert told.leader_of("other/0") is None


def test_nobody_leads_when_the_newest_say_so_or_nobody_answers() -> None:
    told = Told()
    assert told.leader_of("q/0") is None
    told.tell(1, q=(1, 4, [1]))
    told.tell(2, q=(-1, 5, [1]))
    assert told.leader_of("q/0") is None


def test_nodes_that_do_not_run_or_stand_still_are_not_asked() -> None:
    told = Told()
    told.stubs[1].pid, told.stubs[2].paused = None, True
    told.leader_of("q/0")
    assert [node for node, _ in told.asked] == [3]


def test_the_controller_is_whom_the_newest_epoch_names() -> None:
    told = Told()
    assert told.controller() is None
    for node, (epoch, leader) in {1: (7, 1), 3: (8, 3)}.items():
        part = DescribeQuorumResponse.PartitionData(leader_id=leader, leader_epoch=epoch)
        topic = DescribeQuorumResponse.TopicData(topic_name="__cluster_metadata", partitions=[part])
        told.answers[node, DescribeQuorumResponse] = DescribeQuorumResponse(topics=[topic])
    assert told.controller() == 3


def test_in_sync_is_what_every_single_node_says() -> None:
    told = Told()
    assert not told.in_sync({"q": 1}, 1)
    told.tell(1, q=(1, 4, [1, 2, 3]))
    told.tell(2, q=(1, 4, [1, 2, 3]))
    assert not told.in_sync({"q": 1}, 3), "the third is silent, and was perhaps struck"
    told.tell(3, q=(1, 4, [1, 2]))
    assert not told.in_sync({"q": 1}, 3)
    assert told.in_sync({"q": 1}, 2)
    assert not told.in_sync({"q": 2}, 2)


EVERYONE = (1, 2, 3)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_module, "_APART_S", 0.0)


@pytest.mark.usefixtures("at_once")
def test_a_wait_for_replicas_is_for_all_nodes() -> None:
    told = Told()
    for node in (1, 2):
        told.tell(node, brokers=EVERYONE, q=(1, 4, [1, 2, 3]))
    with pytest.raises(TimeoutError, match=r"\[3\] do not serve"):
        told.await_in_sync({"q": 1}, 3, timeout_s=0)
    told.tell(3, brokers=EVERYONE, q=(1, 4, [1, 2]))
    with pytest.raises(TimeoutError, match="q/0"):
        told.await_in_sync({"q": 1}, 3, timeout_s=0)
    told.tell(3, brokers=EVERYONE, q=(1, 4, [1, 2, 3]))
    told.await_in_sync({"q": 1}, 3, timeout_s=0)
    told.stubs[2].pid = None
    with pytest.raises(TimeoutError, match="do not run"):
        told.await_in_sync({"q": 1}, 3, timeout_s=600)


@pytest.mark.usefixtures("at_once")
def test_a_wait_for_replicas_ends_when_nothing_changed_between_two_looks() -> None:
    told = Told(nodes=1)
    looks = []
    for epoch in (4, 4, 5, 6, 7, 8, 8):
        told.tell(1, brokers=(1,), q=(1, epoch, [1]))
        looks.append(told.answers[1, MetadataResponse])
    told.answers[1, MetadataResponse] = cast("Iterator[Message]", iter(looks))
    told.await_in_sync({"q": 1}, 1, timeout_s=60)
    assert len(told.asked) == len(looks)


def test_a_cluster_serves_when_each_node_knows_all_that_were_asked_for() -> None:
    told = Told()
    told.tell(1, brokers=(1, 2))
    told.tell(2, brokers=(1, 2))
    told.await_serving([1, 2], timeout_s=0)
    with pytest.raises(TimeoutError, match="last words of 3"):
        told.await_serving(timeout_s=0)
    for node in (1, 2, 3):
        told.tell(node, brokers=(1, 2, 3))
    told.await_serving(timeout_s=0)


def test_a_node_that_has_ended_is_not_waited_for() -> None:
    told = Told()
    told.stubs[2].pid, told.stubs[2].exit_status = None, 1
    with pytest.raises(TimeoutError, match=r"(?s)\{2: 1\}.*last words of 2"):
        told.await_serving(timeout_s=600)


def test_a_topic_is_asked_for_until_a_controller_takes_it() -> None:
    told = Told()
    told.answers[2, CreateTopicsResponse] = _created(ErrorCode.NOT_CONTROLLER, ErrorCode.NONE)
    told.answers[3, CreateTopicsResponse] = _created(ErrorCode.REQUEST_TIMED_OUT)
    told.tell(1, q=(1, 0, [1, 2, 3]))
    told.create_topic("q")
    tries = [node for node, message in told.asked if isinstance(message, CreateTopicsRequest)]
    assert tries == [1, 2, 3, 1, 2]


def test_a_topic_that_is_there_after_a_try_without_an_answer_is_ours() -> None:
    told = Told()
    told.tell(1, q=(1, 0, [1, 2, 3]))
    told.answers[2, CreateTopicsResponse] = _created(ErrorCode.TOPIC_ALREADY_EXISTS)
    told.create_topic("q")


def test_a_topic_that_was_there_before_or_cannot_be_is_refused() -> None:
    for code in (ErrorCode.TOPIC_ALREADY_EXISTS, ErrorCode.INVALID_CONFIG):
        told = Told()
        told.answers[1, CreateTopicsResponse] = _created(code)
        with pytest.raises(TopicRefused, match=code.name):
            told.create_topic("q")


def test_a_topic_that_nobody_takes_ends_in_time() -> None:
    with pytest.raises(TimeoutError, match="creation of q"):
        Told().create_topic("q", timeout_s=0.05)


def test_an_end_whose_set_up_fails_takes_away_what_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(leftovers, "sweep", list)
    monkeypatch.setattr(leftovers, "CLAIMS", tmp_path / "claims")
    monkeypatch.setattr(leftovers, "release", seen.append)

    def fail(net: network.Network) -> None:
        raise network.NetworkError("no bridge")

    monkeypatch.setattr(network, "set_up", fail)
    with pytest.raises(network.NetworkError), cluster_module.cluster(Odradek(), 3, tmp_path / "run", "t"):
        raise AssertionError("entered")
    assert [(claim.tag, claim.folder) for claim in seen] == [("t", tmp_path / "run")]
