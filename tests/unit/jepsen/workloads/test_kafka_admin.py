"""Topics through the Kafka admin API: which answer is which outcome."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.jepsen.workloads.conftest import Bench, at_least

from odradek.jepsen import history
from odradek.jepsen.history import Operation, Writer
from odradek.jepsen.workloads.kafka_admin import KafkaAdmin, addresses_of, judge
from odradek.jepsen.workloads.metadata import TopicOperation
from odradek.jepsen.workloads.recorder import Recorder
from odradek.proto.kafka.errors import ErrorCode

VALUE = 10**10 + 7


class _Client:
    def __init__(self, bench: Bench, path: Path) -> None:
        self._path = path
        addresses = addresses_of(bench.broker.bootstrap_servers)
        self._admin = KafkaAdmin(addresses, Recorder(Writer(path), "x"))

    def ask(self, f: str, by: str = "", **value: object) -> Operation:
        self._admin.carry_out(TopicOperation(f, value, 1, by))
        return history.pair(history.read(self._path))[-1]


@pytest.fixture
def client(bench: Bench, tmp_path: Path) -> _Client:
    return _Client(bench, tmp_path / "h.jsonl")


def test_a_topic_from_its_creation_to_its_end(client: _Client) -> None:
    topic = "admin-life"
    assert client.ask("topic-describe", "metadata", topic=topic).completion.value == {
        "topic": topic,
        "exists": False,
    }
    created = client.ask("topic-create", topic=topic, partitions=2)
    topic_id = created.completion.value["topic_id"]
    assert created.type == "ok" and len(topic_id) == 32 and created.completion.more == {"node": 1}
    seen = client.ask("topic-describe", "metadata", topic=topic)
    assert seen.completion.value == {"topic": topic, "exists": True, "topic_id": topic_id}
    seen = client.ask("topic-describe", "configs", topic=topic)
    assert seen.completion.value == {"topic": topic, "exists": True, "value": None}
    assert client.ask("topic-config", topic=topic, value=VALUE).type == "ok"
    seen = client.ask("topic-describe", "configs", topic=topic)
    assert seen.completion.value == {"topic": topic, "exists": True, "value": VALUE}
    deleted = client.ask("topic-delete", topic=topic)
    assert (deleted.type, deleted.completion.value["topic_id"]) == ("ok", topic_id)
    seen = client.ask("topic-describe", "configs", topic=topic)
    assert seen.completion.value == {"topic": topic, "exists": False}


def test_what_is_refused_is_a_fail(client: _Client) -> None:
    topic = "admin-refused"
    gone = [client.ask("topic-delete", topic=topic), client.ask("topic-config", topic=topic, value=VALUE)]
    client.ask("topic-create", topic=topic, partitions=1)
    again = client.ask("topic-create", topic=topic, partitions=1)
    assert {one.type for one in [*gone, again]} == {"fail"}
    assert [one.completion.error for one in gone] == ["UNKNOWN_TOPIC_OR_PARTITION"] * 2
    assert again.completion.error == "TOPIC_ALREADY_EXISTS"


def test_a_change_without_an_answer_is_an_info_and_a_look_a_fail(bench: Bench, client: _Client) -> None:
    for api in ("CreateTopics", "Metadata"):
        bench.broker.faults.drop_connection(api, when="after", times=1)
    created = client.ask("topic-create", topic="admin-silent", partitions=1)
    looked = client.ask("topic-describe", "metadata", topic="admin-silent")
    assert (created.type, created.completion.error) == ("info", "NO_ANSWER")
    assert (looked.type, looked.completion.error) == ("fail", "NO_ANSWER")
    assert client.ask("topic-describe", "metadata", topic="admin-silent").completion.value["exists"]


@pytest.mark.parametrize(
    ("error", "type_"),
    [
        (ErrorCode.REQUEST_TIMED_OUT, "info"),
        (ErrorCode.NOT_CONTROLLER, "info"),
        (ErrorCode.UNKNOWN_SERVER_ERROR, "info"),
        (ErrorCode.TOPIC_ALREADY_EXISTS, "fail"),
        (ErrorCode.NONE, "ok"),
    ],
)
def test_errors_of_changes(error: ErrorCode, type_: str) -> None:
    name = None if error is ErrorCode.NONE else error.name
    assert judge("topic-create", int(error), {}) == (type_, name, {})


def test_errors_of_looks() -> None:
    found = {"topic_id": "00"}
    assert judge("topic-describe", 3, {}) == ("ok", None, {"exists": False})
    assert judge("topic-describe", int(ErrorCode.LEADER_NOT_AVAILABLE), found)[0] == "ok"
    assert judge("topic-describe", int(ErrorCode.UNKNOWN_SERVER_ERROR), {})[0] == "fail"
    assert judge("topic-create", 12_345, {}) == ("info", "CODE_12345", {})


def test_a_worker_asks_for_everything(bench: Bench) -> None:
    spec = bench.spec("kafka-admin", {}, 500.0)
    events = bench.run(spec, at_least(3, "topic-describe"))
    assert all(event.process == spec.name for event in events)
    assert addresses_of("a:1,b:2") == [("a", 1), ("b", 2)]
