"""Carries out what `metadata` asks of topics, each as one Kafka request to one node.

Decides: which request an operation is, and what its answer means for the history.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from random import Random
from time import monotonic_ns
from typing import Any, Final

from odradek.jepsen.history import Type, Writer
from odradek.jepsen.outcomes import outcome
from odradek.jepsen.workloads.kafka_wire import NoAnswer, NotSent, ask
from odradek.jepsen.workloads.metadata import TopicOperation, TopicOperations
from odradek.jepsen.workloads.pace import Pace
from odradek.jepsen.workloads.recorder import Recorder
from odradek.jepsen.workloads.spec import WorkerSpec
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.configs import (
    DescribeConfigsRequest,
    DescribeConfigsResponse,
    IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
)
from odradek.proto.kafka.messages.metadata import MetadataRequest, MetadataResponse
from odradek.proto.kafka.messages.topics import (
    CreateTopicsRequest,
    CreateTopicsResponse,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
)

_ANSWER_S: Final = 6.0
_TIMEOUT_MS: Final = 5_000
_TOPIC, _SET, _RETENTION = 2, 0, "retention.ms"
_DYNAMIC_TOPIC_CONFIG: Final = 1
_NAMES: Final = {int(code): code.name for code in ErrorCode}
Address = tuple[str, int]


def create(address: Address, topic: str, partitions: int, replication: int) -> tuple[int, bytes]:
    """Error code and id. NotSent, NoAnswer, as all of these."""
    wanted = CreateTopicsRequest.CreatableTopic(
        name=topic, num_partitions=partitions, replication_factor=replication
    )
    request = CreateTopicsRequest(topics=[wanted], timeout_ms=_TIMEOUT_MS)
    (told,) = ask(address, request, 7, CreateTopicsResponse, _ANSWER_S).topics
    return told.error_code, told.topic_id


def delete(address: Address, topic: str) -> tuple[int, bytes]:
    request = DeleteTopicsRequest(
        topics=[DeleteTopicsRequest.DeleteTopicState(name=topic)], timeout_ms=_TIMEOUT_MS
    )
    (told,) = ask(address, request, 6, DeleteTopicsResponse, _ANSWER_S).responses
    return told.error_code, told.topic_id


def configure(address: Address, topic: str, value: int) -> int:
    changed = IncrementalAlterConfigsRequest.AlterableConfig(
        name=_RETENTION, config_operation=_SET, value=str(value)
    )
    resource = IncrementalAlterConfigsRequest.AlterConfigsResource(
        resource_type=_TOPIC, resource_name=topic, configs=[changed]
    )
    request = IncrementalAlterConfigsRequest(resources=[resource])
    (told,) = ask(address, request, 1, IncrementalAlterConfigsResponse, _ANSWER_S).responses
    return told.error_code


def look_up(address: Address, topic: str) -> tuple[int, bytes]:
    request = MetadataRequest(
        topics=[MetadataRequest.MetadataRequestTopic(name=topic)], allow_auto_topic_creation=False
    )
    (told,) = ask(address, request, 12, MetadataResponse, _ANSWER_S).topics
    return told.error_code, told.topic_id


def look_at_config(address: Address, topic: str) -> tuple[int, int | None]:
    """None where the topic has no value of its own."""
    resource = DescribeConfigsRequest.DescribeConfigsResource(
        resource_type=_TOPIC, resource_name=topic, configuration_keys=[_RETENTION]
    )
    request = DescribeConfigsRequest(resources=[resource])
    (told,) = ask(address, request, 4, DescribeConfigsResponse, _ANSWER_S).results
    own = [config for config in told.configs if config.config_source == _DYNAMIC_TOPIC_CONFIG]
    return told.error_code, int(own[0].value or 0) if own else None


class KafkaAdmin:
    """One Jepsen process, one operation at a time."""

    def __init__(self, addresses: Sequence[Address], recorder: Recorder) -> None:
        self._addresses = addresses
        self._recorder = recorder

    def carry_out(self, operation: TopicOperation) -> None:
        f, value, node, _ = operation
        more = {"node": node}
        op = self._recorder.invoke(f, value, more)
        is_look = f == "topic-describe"
        try:
            code, found = self._ask(operation)
        except NotSent:
            self._recorder.complete(op, "fail", f, value, "NOT_SENT", more)
        except NoAnswer:
            self._recorder.complete(op, "fail" if is_look else "info", f, value, "NO_ANSWER", more)
        else:
            type_, error, told = judge(f, code, found)
            self._recorder.complete(op, type_, f, {**value, **told}, error, more)

    def _ask(self, operation: TopicOperation) -> tuple[int, Mapping[str, Any]]:
        """Error code, and what else the answer says."""
        address = self._addresses[operation.node - 1]
        topic: str = operation.value["topic"]
        if operation.f == "topic-config":
            return configure(address, topic, operation.value["value"]), {}
        if operation.by == "configs":
            code, value = look_at_config(address, topic)
            return code, {"value": value}
        if operation.f == "topic-create":
            replication = min(3, len(self._addresses))
            code, topic_id = create(address, topic, operation.value["partitions"], replication)
        elif operation.f == "topic-delete":
            code, topic_id = delete(address, topic)
        else:
            code, topic_id = look_up(address, topic)
        return code, {"topic_id": topic_id.hex()} if any(topic_id) else {}


def judge(f: str, code: int, found: Mapping[str, Any]) -> tuple[Type, str | None, Mapping[str, Any]]:
    """Outcome, error and what is told, of an answer."""
    error = _NAMES.get(code, f"CODE_{code}")
    if f == "topic-describe":
        if error == "NONE" or error == "LEADER_NOT_AVAILABLE":
            return "ok", None, {"exists": True, **found}
        if error == "UNKNOWN_TOPIC_OR_PARTITION":
            return "ok", None, {"exists": False}
        return "fail", error, {}
    if error == "NONE":
        return "ok", None, found
    return outcome("kafka", "admin", error), error, {}


def addresses_of(bootstrap: str) -> list[Address]:
    """HOST:PORT,... in its order."""
    pairs = [address.rpartition(":") for address in bootstrap.split(",")]
    return [(host, int(port)) for host, _, port in pairs]


def run(spec: WorkerSpec, writer: Writer, stopping: threading.Event) -> None:
    """One operation after another at the rate of the spec."""
    addresses = addresses_of(spec.bootstrap)
    operations = TopicOperations(Random(spec.seed + spec.incarnation), len(addresses), spec.first_value)
    admin = KafkaAdmin(addresses, Recorder(writer, spec.name))
    pace = Pace(spec.rate, monotonic_ns())
    while not stopping.is_set():
        pace.due(monotonic_ns())
        pace.take(1)
        admin.carry_out(operations.next())
        stopping.wait(pace.wait_s())
