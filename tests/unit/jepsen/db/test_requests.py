"""What the answers of nodes that contradict each other say of a cluster, and requests to a node of few words."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from odradek.jepsen.db import requests
from odradek.jepsen.db.requests import Seen
from odradek.proto.kafka.headers import encode_response_frame
from odradek.proto.kafka.messages.metadata import MetadataResponse
from odradek.proto.kafka.messages.raft import DescribeQuorumResponse

OLD, NEW = Seen(1, 4, (1, 2, 3), (1, 2, 3)), Seen(2, 5, (1, 2, 3), (2, 3))


def _quorum(epoch: int, leader: int, error: int = 0) -> DescribeQuorumResponse:
    part = DescribeQuorumResponse.PartitionData(leader_id=leader, leader_epoch=epoch)
    topic = DescribeQuorumResponse.TopicData(topic_name="__cluster_metadata", partitions=[part])
    return DescribeQuorumResponse(error_code=error, topics=[topic])


def test_a_leader_of_an_older_epoch_is_not_believed() -> None:
    assert requests.newest([OLD, NEW]) == requests.newest([NEW, OLD]) == NEW
    assert requests.newest([]) is None


def test_who_knows_a_leader_of_an_epoch_is_believed_before_who_knows_none() -> None:
    nobody = NEW._replace(leader=-1)
    assert requests.newest([NEW, nobody]) == requests.newest([nobody, NEW]) == NEW


def test_the_controller_is_that_of_the_highest_epoch() -> None:
    assert requests.quorum_leader([_quorum(3, 1), _quorum(4, 2), _quorum(3, 3)]) == 2


def test_answers_with_errors_or_without_a_leader_name_no_controller() -> None:
    assert requests.quorum_leader([_quorum(9, 1, error=6), _quorum(8, -1)]) is None
    assert requests.quorum_leader([_quorum(9, 1, error=6), _quorum(2, 3)]) == 3
    assert requests.quorum_leader([]) is None


def test_partitions_are_in_sync_when_all_are_there_with_a_leader_and_enough_others() -> None:
    view = {"q/0": OLD, "q/1": NEW}
    assert requests.all_in_sync(view, {"q": 2}, 2)
    assert not requests.all_in_sync(view, {"q": 2}, 3)
    assert not requests.all_in_sync(view, {"q": 3}, 1)
    assert not requests.all_in_sync(view | {"q/1": NEW._replace(leader=-1)}, {"q": 2}, 2)


def test_an_answer_to_metadata_is_read_by_key() -> None:
    part = MetadataResponse.MetadataResponsePartition(
        partition_index=7, leader_id=2, leader_epoch=5, replica_nodes=[1, 2, 3], isr_nodes=[2, 3]
    )
    topic = MetadataResponse.MetadataResponseTopic(name="q", partitions=[part])
    assert requests.seen(MetadataResponse(topics=[topic])) == {"q/7": NEW}


@contextlib.contextmanager
def _node(answer: bytes) -> Iterator[tuple[str, int]]:
    """Somebody who takes one connection, hears one request, and sends these bytes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                (size,) = struct.unpack(">i", connection.recv(4, socket.MSG_WAITALL))
                connection.recv(size, socket.MSG_WAITALL)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()
        thread.join()


@pytest.fixture(autouse=True)
def _no_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "sockets_in", lambda _: contextlib.nullcontext())


def _ask(address: tuple[str, int]) -> MetadataResponse:
    return requests.ask("odk-t-n1", address, requests.metadata_request(["q"]), 7, MetadataResponse, 10)


def _answer(correlation_id: int = 1) -> bytes:
    message = MetadataResponse(cluster_id="c", controller_id=2)
    return b"".join(encode_response_frame(correlation_id, 3, 7, message))


def test_a_request_has_its_answer() -> None:
    with _node(_answer()) as address:
        assert _ask(address).cluster_id == "c"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        _answer()[:-1],
        _answer(correlation_id=2),
        struct.pack(">i", -1),
        struct.pack(">i", 1 << 30),
        struct.pack(">iii", 8, 1, 0),
    ],
)
def test_what_is_no_answer_is_an_error_of_the_connection(answer: bytes) -> None:
    with _node(answer) as address, pytest.raises(ConnectionError):
        _ask(address)


def test_topics_are_asked_for_and_not_created() -> None:
    asked = requests.metadata_request(["q"])
    assert not asked.allow_auto_topic_creation
    assert requests.metadata_request([]).topics == []


def test_a_topic_is_made_with_its_configuration() -> None:
    (wanted,) = requests.create_request("q", 4, 3, {"cleanup.policy": "compact"}, 2.5).topics
    assert (wanted.name, wanted.num_partitions, wanted.replication_factor) == ("q", 4, 3)
    assert [(config.name, config.value) for config in wanted.configs] == [("cleanup.policy", "compact")]
